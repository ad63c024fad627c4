"""One layer of a torch network for images: what has its numbers on the nodes of a grid, or why nothing does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import nn

from graphgdl.nn import grid_steps as run
from graphgdl.nn.grid_conv import GridConv
from graphgdl.nn.grid_conv_transpose import GridConvTranspose
from graphgdl.nn.grid_pool import GridPool
from graphgdl.nn.grid_readout import GridGlobalPool
from graphgdl.nn.grid_upsample import GridUpsample

_GRID: dict[type[nn.Module], Callable[..., nn.Module]] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), GridConv.from_torch),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), GridConvTranspose.from_torch),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), GridPool.from_torch),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), GridPool.from_torch),
}
_GLOBAL: dict[type[nn.Module], str] = {
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), "mean"),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), "max"),
}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_IMAGES = (
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.GroupNorm, nn.LocalResponseNorm),
)
_ROWS = (
    *(nn.Identity, nn.Dropout, nn.AlphaDropout, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU),
    *(nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardtanh),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.Threshold),
)
_SOFTMAX = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
NEEDS_GRID = (*_GRID, *_GLOBAL, nn.Upsample)
"""Layers that there is no converting of where the image has left its grid."""


class How(NamedTuple):
    """How a step runs.

    Attributes:
        run: one of `grid_steps`.
        call: what it is given to call.
        kind: of the result, see `grid_network.Step`; None for that of the images that come in.
        args: what to call it with; None for what torch calls it with.
        kwargs: the named ones.
    """

    run: Callable[..., Any]
    call: Any
    kind: str | None = None
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None


def convert(child: nn.Module, what: str, dim: int | None) -> How:
    """Return what does on a grid what `child` does with images of `dim` axes.

    Raises:
        TypeError: it is not known; the message begins with `what`.
        ValueError: it has an option that is not known.
    """
    kind = type(child)
    if kind in _ROWS:
        return How(run.on_rows, child)
    if kind in _SOFTMAX:
        if child.dim != 1:
            raise ValueError(f"{what} must have `dim` 1, the channels, got {child.dim}")
        return How(run.on_rows, child)
    if kind in _NORMS:
        return How(run.on_points, child)
    if kind in _IMAGES:
        return How(run.on_images, child)
    if kind is nn.Flatten:
        return How(run.whole, child, "plain")
    if kind is nn.Linear:
        raise ValueError(f"{what} acts on the last axis of the image; put a Flatten before it")
    if kind in _GLOBAL:
        size = child.output_size
        if any(n != 1 for n in (size if isinstance(size, Sequence) else [size])):
            raise ValueError(f"{what} must pool to one pixel, output_size=1, got {size}; other sizes are no windows")
        if getattr(child, "return_indices", False):
            raise ValueError(f"{what} must not return indices")
        return How(run.on_grid, GridGlobalPool(_GLOBAL[kind]).train(child.training), "pooled")
    if kind is nn.Upsample:
        return How(run.on_grid, _upsample(child, what, dim))
    if kind not in _GRID:
        raise TypeError(f"{what} is not known on grids; see `graphgdl.nn.from_torch` for what is")
    try:
        return How(run.on_grid, _GRID[kind](child))
    except ValueError as error:
        raise ValueError(f"{what} does not convert: {error}") from error


def _upsample(child: Any, what: str, dim: int | None) -> nn.Module:
    factors = child.scale_factor if isinstance(child.scale_factor, tuple) else (child.scale_factor,)
    if child.mode != "nearest" or any(f is None or f != int(f) or f < 1 for f in factors):
        raise ValueError(f"{what} must repeat pixels by whole factors, mode='nearest' and an integer scale_factor")
    whole = [int(f) for f in factors if f is not None]
    if len(whole) == 1 and dim is None:
        raise ValueError(f"{what} must have one scale_factor for each axis: no other layer tells the number of axes")
    layer = GridUpsample(whole if isinstance(child.scale_factor, tuple) else whole[0], dim)
    return layer.train(child.training)

"""A network of torch for images becomes message passing on grids; its numbers stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from graphgdl.nn.grid_conv import GridConv
from graphgdl.nn.grid_conv_transpose import GridConvTranspose
from graphgdl.nn.grid_pool import GridPool
from graphgdl.nn.grid_readout import GridFlatten, GridGlobalPool
from graphgdl.nn.grid_sequential import GridSequential
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
_ROWS = (
    *(nn.Identity, nn.Dropout, nn.AlphaDropout, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU),
    *(nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardtanh),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.Threshold),
)


def from_torch(network: nn.Sequential) -> GridSequential:
    """Return `network` as message passing on a `Grid`: same numbers, parameters, names of parameters, and mode.

    Convolutions (also transposed), pooling, nearest upsampling, batch norms, activations, dropout, global pooling,
    `Flatten`, then `Linear` and what works on rows; sequences may be nested. Parameters are shared: training one trains
    the other. Batch norms, linear layers, activations and dropout are the very modules of `network`.

    Args:
        network: takes images (g, c, *shape).

    Returns:
        A module called as `module(x, structure)` with x (n, c), the pixels of all images row by row, and structure a
        `Grid` (see `graphgdl.domains.from_grid`). A network that pads circularly takes periodic grids, any other open ones.

    Raises:
        TypeError: a child that is not known, by name.
        ValueError: a child with an option that is not known, or in the wrong place.

    Example:
        >>> import torch
        >>> from graphgdl.domains import Grid
        >>> network = nn.Sequential(
        ...     nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        ... ).eval()
        >>> images = torch.rand(5, 1, 8, 8)
        >>> out = from_torch(network)(images.view(5 * 64, 1), Grid((8, 8), ptr=range(0, 321, 64)))
        >>> assert torch.allclose(out, network(images), atol=1e-5)
    """
    if not isinstance(network, nn.Sequential):
        raise TypeError(
            f"`network` must be a torch.nn.Sequential, got {type(network).__name__}; wrap a single layer in one"
        )
    dims = [int(type(module).__name__[-2]) for module in network.modules() if type(module) in (*_GRID, *_GLOBAL)]
    return _sequence(network, "", False, dims[0] if dims else None)[0]


def _sequence(network: nn.Sequential, prefix: str, flat: bool, dim: int | None) -> tuple[GridSequential, bool]:
    out = GridSequential()
    _refuse_custom(network, prefix.removesuffix(".") or "network")
    for name, child in network._modules.items():
        if isinstance(child, nn.Sequential):
            converted, flat = _sequence(child, f"{prefix}{name}.", flat, dim)
        else:
            converted, flat = _layer(child, f"{prefix}{name}", flat, dim)  # type: ignore[assignment]
        out.add_module(name, converted)
    out.training = network.training
    return out, flat


def _layer(child: nn.Module, name: str, flat: bool, dim: int | None) -> tuple[nn.Module, bool]:
    """Return the child as it works on a grid, or after a `Flatten`, and whether the nodes are flattened after it."""
    kind = type(child)
    shown = f"{kind.__name__}(...)" if "\n" in repr(child) else repr(child)
    what = f"`network` child '{name}', {shown},"
    _refuse_custom(child, name)
    if kind in _ROWS or kind in _NORMS:
        return child, flat
    if kind in (nn.Softmax, nn.LogSoftmax, nn.Softmin):
        if child.dim not in ((1, -1) if flat else (1,)):
            raise ValueError(f"{what} must have `dim` 1, the channels, got {child.dim}")
        return child, flat
    if flat:
        if kind is nn.Linear:
            return child, True
        raise ValueError(f"{what} comes after a Flatten, where there is no grid; expected Linear or what works on rows")
    if kind is nn.Linear:
        raise ValueError(f"{what} acts on the last axis of the image; put a Flatten before it")
    if kind is nn.Flatten:
        if (child.start_dim, child.end_dim) != (1, -1):
            raise ValueError(f"{what} must flatten everything but the batch, start_dim=1 and end_dim=-1")
        return GridFlatten(), True
    if kind in _GLOBAL:
        size = child.output_size
        if any(n != 1 for n in (size if isinstance(size, Sequence) else [size])):
            raise ValueError(f"{what} must pool to one pixel, output_size=1, got {size}; other sizes are no windows")
        if getattr(child, "return_indices", False):
            raise ValueError(f"{what} must not return indices")
        return GridGlobalPool(_GLOBAL[kind]).train(child.training), False
    if isinstance(child, nn.Upsample) and kind is nn.Upsample:
        return _upsample(child, what, dim), False
    if kind not in _GRID:
        raise TypeError(
            f"{what} is not known on grids: only it knows what its forward does; expected layers of torch.nn in nested "
            f"Sequentials, see `graphgdl.nn.from_torch`"
        )
    try:
        return _GRID[kind](child), False
    except ValueError as error:
        raise ValueError(f"{what} does not convert: {error}") from error


def _upsample(child: nn.Upsample, what: str, dim: int | None) -> nn.Module:
    factors = child.scale_factor if isinstance(child.scale_factor, tuple) else (child.scale_factor,)
    if child.mode != "nearest" or any(f is None or f != int(f) or f < 1 for f in factors):
        raise ValueError(f"{what} must repeat pixels by whole factors, mode='nearest' and an integer scale_factor")
    whole = [int(f) for f in factors if f is not None]
    if len(whole) == 1 and dim is None:
        raise ValueError(f"{what} must have one scale_factor for each axis: no other layer tells the number of axes")
    layer = GridUpsample(whole if isinstance(child.scale_factor, tuple) else whole[0], dim)
    return layer.train(child.training)


def _refuse_custom(module: nn.Module, name: str) -> None:
    hooks = [module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks]
    if any(hooks):
        raise ValueError(
            f"`network` child '{name}' has hooks, which would be lost; remove them and hang them on the result"
        )
    if isinstance(module, nn.Sequential) and type(module).forward is not nn.Sequential.forward:
        raise TypeError(f"`network` child '{name}', a {type(module).__name__}, overrides the forward of Sequential")

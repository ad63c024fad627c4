"""Read the options of a layer that slides a window over a grid, and the grid it is called with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import Window

Ends = tuple[tuple[int, int], ...]


class Options(NamedTuple):
    """Options of a window, one entry for each axis."""

    dim: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    ends: Ends


def kernel_options(dim: int | None, kernel_size: Any, stride: Any, dilation: Any, padding: Any) -> Options:
    """Return the options with one entry for each axis.

    Raises:
        ValueError: no option tells the number of axes, they disagree, or a number is out of range.
    """
    given = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "padding": padding}
    lengths = [len(v) for v in given.values() if isinstance(v, Sequence) and not isinstance(v, str)]
    if dim is None and not lengths:
        raise ValueError(f"`dim` must say the number of axes where `kernel_size` is one number, got {kernel_size}")
    axes = lengths[0] if dim is None else dim
    if axes < 1:
        raise ValueError(f"`dim` must be at least 1, got {axes}")
    size = each_axis("kernel_size", kernel_size, axes, 1)
    step = each_axis("stride", stride, axes, 1)
    spread = each_axis("dilation", dilation, axes, 1)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"`padding` must be numbers, 'same' or 'valid', got {padding!r}")
        if padding == "same" and any(s != 1 for s in step):
            raise ValueError(f"`padding` 'same' needs stride 1, got {step}; pad by numbers")
        reach = [d * (k - 1) * (padding == "same") for k, d in zip(size, spread)]
        return Options(axes, size, step, spread, tuple((r // 2, r - r // 2) for r in reach))
    return Options(axes, size, step, spread, tuple((p, p) for p in each_axis("padding", padding, axes, 0)))


def each_axis(name: str, value: Any, dim: int, least: int) -> tuple[int, ...]:
    """Return one integer for each axis.

    Raises:
        ValueError: another number of them, no integers, or one below `least`.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * dim
    if len(values) != dim or any(isinstance(v, bool) or not isinstance(v, int) or v < least for v in values):
        raise ValueError(
            f"`{name}` must be one integer or {dim}, one for each axis, each at least {least}, got {value}"
        )
    return values


def check_channels(groups: int, **channels: int) -> None:
    """Refuse channels that do not fall into groups.

    Raises:
        ValueError: naming the argument.
    """
    for name, count in channels.items():
        if groups < 1 or count % groups:
            raise ValueError(f"`{name}` must be a multiple of `groups` {groups}, got {count}")


def check_grid(structure: Any, x: Any, dim: int, channels: int | None) -> None:
    """Refuse what is no grid of `dim` axes with features (n, channels).

    Raises:
        TypeError: `structure` is no `Grid`; `x` is no tensor.
        ValueError: another number of axes, nodes or channels, or no grid at all.
    """
    if not isinstance(structure, Grid):
        raise TypeError(
            f"`structure` must be a Grid, got {type(structure).__name__}; edges alone do not say which neighbour lies "
            f"where, `graphgdl.domains.Grid((height, width))` does"
        )
    if not isinstance(x, Tensor):
        raise TypeError(f"`x` must be a tensor (n, c), got {type(x).__name__}")
    if structure.num_graphs == 0:
        raise ValueError("`structure` must hold at least one grid, got a batch of none; skip the empty batch")
    if len(structure.periodic) != dim:
        raise ValueError(f"`structure` must have {dim} axes, got a grid of {len(structure.periodic)}: {structure}")
    if x.dim() != 2 or x.size(0) != structure.num_nodes or (channels is not None and x.size(1) != channels):
        raise ValueError(
            f"`x` must have shape ({structure.num_nodes}, {'c' if channels is None else channels}), one row for each node "
            f"of the grid, got {tuple(x.shape)}; for images use `images.movedim(1, -1).flatten(0, -2)`"
        )


def window_of(grid: Grid, size: Any, stride: Any, dilation: Any, ends: Ends, mode: str | None) -> Window:
    """Return the window as it lies on a grid.

    Raises:
        ValueError: `mode` says other than the grid what lies beyond the end of an axis.
    """
    if mode is None:
        return Window(size, stride, dilation, ends, tuple("circular" if ring else "zeros" for ring in grid.periodic))
    for axis, ring in enumerate(grid.periodic):
        if any(ends[axis]) and ring != (mode == "circular"):
            raise ValueError(
                f"`padding_mode` {mode!r} does not fit a grid that is {'periodic' if ring else 'open'} along axis {axis}; "
                f"pass `Grid(shape, periodic={not ring})`, or `padding_mode=None`, which follows the grid"
            )
    return Window(size, stride, dilation, ends, (mode,) * len(size))

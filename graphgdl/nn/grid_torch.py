"""Windows over grids in matrices: torch's own kernels on node-major features (n, c), which are channels-last images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import Window, runs

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolve(x: Tensor, grid: Grid, window: Window, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """Return the convolution (n', c_out) of features (n, c) with a weight (c_out, c / groups, *kernel)."""
    convolution = _CONVOLUTIONS[len(window.size)]

    def kernel(images: Tensor, padding: tuple[int, ...]) -> Tensor:
        return convolution(images, weight, bias, window.stride, padding, window.dilation, groups)

    return slide(x, grid, window, kernel)


def slide(x: Tensor, grid: Grid, window: Window, kernel: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Tensor:
    """Return the result (n', c') of a kernel of torch's on features (n, c).

    Args:
        x: the features.
        grid: where they lie.
        window: what slides; padding other than plain zeros is done before the kernel.
        kernel: images (g, c, *shape) and the padding that is left to it -> (g, c', *shape').
    """
    outs = [kernel(*given).movedim(1, -1).flatten(0, -2) for given in _images(x, grid, window)]
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def repeat(x: Tensor, grid: Grid, times: tuple[int, ...]) -> Tensor:
    """Return features (n', c) that repeat each node of (n, c) so many times along each axis."""
    outs = []
    for _, rows in _runs(x, grid):
        for axis, count in enumerate(times):
            rows = rows.repeat_interleave(count, axis + 1)
        outs.append(rows.flatten(0, -2))
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def convolve_transposed(
    x: Tensor, grid: Grid, window: Window, weight: Tensor, bias: Tensor | None, groups: int, more: tuple[int, ...]
) -> Tensor:
    """Return the transposed convolution of features (n, c) with a weight (c, c_out / groups, *kernel).

    Along a ring the nodes whose windows reach round it stand at both ends, and what they add beyond the result is cut.
    """
    convolution = _TRANSPOSED[len(window.size)]
    outs = []
    for shape, rows in _runs(x, grid):
        cut = []
        for axis, (n, k, s, d) in enumerate(zip(shape, window.size, window.stride, window.dilation)):
            before = window.padding[axis][0]
            reach = -(-(d * (k - 1) + before) // s) if window.mode[axis] == "circular" else 0
            if reach:
                rows = rows.index_select(axis + 1, torch.arange(-reach, n + reach, device=x.device) % n)
            cut.append(before + reach * s)
        out = convolution(rows.movedim(-1, 1), weight, bias, window.stride, cut, more, groups, window.dilation)
        outs.append(out.movedim(1, -1).flatten(0, -2))
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def weigh(x_j: Tensor, counts: tuple[int, ...], weight: Tensor) -> Tensor:
    """Multiply messages (e, c), sorted by tap, with the matrices (k, groups, c / groups, c_out / groups) of their taps."""
    if weight.size(1) == 1:
        return torch.cat([rows @ tap[0] for rows, tap in zip(x_j.split(counts), weight)])
    parts = x_j.view(x_j.size(0), weight.size(1), -1).split(counts)
    return torch.cat([torch.einsum("egi,gio->ego", rows, tap) for rows, tap in zip(parts, weight)]).flatten(1)


def _images(x: Tensor, grid: Grid, window: Window) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
    """Yield images (g, c, *shape) for grids of one shape in a row, and the zero padding that is left to torch."""
    for shape, rows in _runs(x, grid):
        window.shape(shape)  # refuses in our words
        left = []
        for axis, ((before, after), mode) in enumerate(zip(window.padding, window.mode)):
            own = mode != "zeros" or before != after
            left.append(0 if own else before)
            if own and before + after:
                rows = _padded(rows, window, axis)
        yield rows.movedim(-1, 1), tuple(left)


def _runs(x: Tensor, grid: Grid) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Yield the shape and features (g, *shape, c) of grids of one shape in a row."""
    found = list(runs(grid))
    parts = x.split([count * math.prod(shape) for shape, count in found]) if len(found) > 1 else (x,)  # no copy back
    for (shape, count), rows in zip(found, parts):
        yield shape, rows.reshape(count, *shape, x.size(1))


def _padded(rows: Tensor, window: Window, axis: int) -> Tensor:
    """Pad one axis of (g, *shape, c)."""
    if window.mode[axis] == "zeros":
        return F.pad(rows, [0, 0] * (rows.dim() - 2 - axis) + list(window.padding[axis]))
    return rows.index_select(axis + 1, window.axis(axis, rows.size(axis + 1)).to(rows.device))

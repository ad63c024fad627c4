"""How one step of a torch network for images runs on the nodes of a grid: each function takes the step's call and arguments.

Arguments that are images come as `Signal`; all others are the very values that torch would see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.node import map_aggregate

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import runs


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """Features (n, c) of the nodes of a batch of grids: what torch holds as images (g, c, *shape)."""

    x: Tensor
    grid: Grid


def on_grid(call: Any, signal: Signal) -> Tensor:
    """Run a layer that takes the grid."""
    return call(signal.x, signal.grid)


def on_rows(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run what works on each node alone, channels in dimension 1."""
    return call(*_rows(args), **_rows(kwargs))


def on_points(norm: nn.Module, signal: Signal) -> Tensor:
    """Run a batch norm of images, which takes the nodes for images of one pixel."""
    return norm(signal.x[(..., *[None] * len(signal.grid.periodic))]).flatten(1)


def on_images(call: Callable[..., Tensor], signal: Signal) -> Tensor:
    """Run what keeps the shape of an image, on the grids of one shape after another."""
    found = list(runs(signal.grid))
    parts = signal.x.split([math.prod(shape) * count for shape, count in found])
    outs = [call(_images(x, shape, count)) for x, (shape, count) in zip(parts, found)]
    outs = [out.movedim(1, -1).flatten(0, -2) for out in outs]
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def combined(call: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """Run an operation of images, tensors and numbers entry by entry; images of one pixel spread over the others' grids.

    Raises:
        ValueError: the grids differ, or a tensor has values for each place of an image.
    """
    grid = common_grid([a.grid for a in (*args, *kwargs.values()) if isinstance(a, Signal)])
    return call(*(_spread(a, grid) for a in args), **{name: _spread(a, grid) for name, a in kwargs.items()})


def joined(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Join images channel by channel.

    Raises:
        ValueError: the grids differ.
    """
    grids: list[Grid] = []
    map_aggregate((args, kwargs), lambda a: grids.append(a.grid) if isinstance(a, Signal) else None)
    for grid in grids:
        _check_same(grid, grids[0])
    return on_rows(call, *args, **kwargs)


def whole(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run what takes images as a whole, on torch's own layout; what it returns is on no grid.

    Raises:
        ValueError: grids of unequal shape.
    """
    args, kwargs = map_aggregate((args, kwargs), lambda a: _as_torch(a) if isinstance(a, Signal) else a)
    return call(*args, **kwargs)


def sizes(call: str, signal: Signal, dim: int | None = None) -> Any:
    """Return the shape of the images as torch has it, or one number of it.

    Raises:
        ValueError: grids of unequal shape have none.
    """
    leading = (signal.grid.num_graphs, signal.x.size(1))
    if dim in (0, 1):
        return leading[dim]
    shape = torch.Size((*leading, *_one_shape(signal.grid)))
    return shape if dim is None else shape[dim]


def common_grid(grids: list[Grid]) -> Grid:
    """Return the grid that all share but those of one node each.

    Raises:
        ValueError: there are two.
    """
    large = [grid for grid in grids if not single(grid)] or grids
    for grid in large:
        _check_same(grid, large[0])
    return large[0]


def single(grid: Grid) -> bool:
    """Return whether every grid of the batch is one node."""
    return all(size == 1 for shape in dict.fromkeys(grid.shapes) for size in shape)


def _check_same(grid: Grid, first: Grid) -> None:
    one, other = ((g.shape, g.periodic, g.num_graphs) for g in (grid, first))
    if one != other:  # said without looking at `ptr`, which may lie on a device
        raise ValueError(f"images on unequal grids meet, {first} and {grid}")


def _rows(values: Any) -> Any:
    return map_aggregate(values, lambda a: a.x if isinstance(a, Signal) else a)


def _spread(value: Any, grid: Grid) -> Any:
    """Return what is combined with the rows of a grid."""
    if isinstance(value, Signal):
        return value.x[grid.batch] if single(value.grid) and not single(grid) else value.x
    if not isinstance(value, Tensor) or value.dim() == 0:
        return value
    dims = len(grid.periodic) + 2
    shape = (1,) * (dims - value.dim()) + tuple(value.shape)
    if len(shape) > dims or any(size != 1 for size in shape[2:]):
        raise ValueError(
            f"a tensor of shape {tuple(value.shape)} meets images; it must have one value or one for each channel, shape "
            f"(1, c{', 1' * (dims - 2)})"
        )
    if shape[0] not in (1, grid.num_graphs):
        raise ValueError(f"a tensor for {shape[0]} images meets {grid.num_graphs}")
    rows = value.reshape(shape[:2])
    return rows if shape[0] == 1 else rows[grid.batch]


def _as_torch(signal: Signal) -> Tensor:
    return _images(signal.x, _one_shape(signal.grid), signal.grid.num_graphs)


def _images(x: Tensor, shape: tuple[int, ...], count: int) -> Tensor:
    return x.reshape(count, *shape, x.size(1)).movedim(-1, 1)


def _one_shape(grid: Grid) -> tuple[int, ...]:
    shapes = set(grid.shapes)
    if len(shapes) != 1:
        raise ValueError(f"`structure` must hold grids of one shape here, got {grid.shapes}")
    return next(iter(shapes))

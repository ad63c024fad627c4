"""Windows that slide over a grid: which node each position of the window reads, as edges sorted by position."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from graphgdl.domains.structure import Grid

MODES = ("zeros", "circular", "reflect", "replicate")
"""What lies beyond the end of an axis: nothing, the other end, the axis mirrored at its last node, its last node."""


class Taps(NamedTuple):
    """Edges of a window from a grid to the grid of its places.

    Attributes:
        edge_index: int64 (2, e), sorted by tap, then by destination; a node read twice by a window has two edges.
        counts: number of edges of each tap (position in the window, row-major), e in all.
    """

    edge_index: Tensor
    counts: tuple[int, ...]


class Window(NamedTuple):
    """A window of d axes; tap u of place i reads the node at `i * stride - padding[0] + u * dilation`, for each axis.

    Args:
        size: number of taps along each axis.
        stride: step of the window.
        dilation: step between taps.
        padding: nodes added before and after each axis.
        mode: what is added, for each axis; see `MODES`.
        ceil: whether a last window counts that begins on the padded axis and reaches beyond it, where there is nothing.

    Example:
        >>> window = Window((2,), (1,), (1,), ((0, 1),), ("circular",))
        >>> window.taps(Grid((3,), periodic=True)).edge_index.tolist()
        [[0, 1, 2, 1, 2, 0], [0, 1, 2, 0, 1, 2]]
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    mode: tuple[str, ...]
    ceil: bool = False

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the number of places of the window along each axis of a grid.

        Raises:
            ValueError: the window is longer than the padded axis, or a mirrored axis is too short for its padding.
        """
        out = []
        for axis, (n, k, s, d, ends) in enumerate(zip(shape, self.size, self.stride, self.dilation, self.padding)):
            span, length = d * (k - 1) + 1, n + sum(ends)
            places = (length - span + (s - 1) * self.ceil) // s + 1
            if self.ceil and (places - 1) * s >= n + ends[0]:  # it would begin beyond the last node
                places -= 1
            if places < 1 or n == 0:
                raise ValueError(
                    f"`kernel_size` spans {span} nodes along axis {axis}, but the grid {shape} has {length} with its "
                    f"padding; pad more or take a smaller kernel"
                )
            if self.mode[axis] == "reflect" and max(ends) >= n:
                raise ValueError(f"`padding` by reflection must be below the size {n} of axis {axis}, got {max(ends)}")
            out.append(places)
        return tuple(out)

    def grid(self, grid: Grid) -> Grid:
        """Return the grid of the places; an axis stays periodic where the strides go round it exactly."""
        shapes = [self.shape(shape) for shape in grid.shapes]
        rings = [
            all(ring and out[axis] * s == n[axis] for n, out in zip(grid.shapes, shapes))
            for axis, (ring, s) in enumerate(zip(grid.periodic, self.stride))
        ]
        if not isinstance(grid.shape[0], tuple):
            out = self.shape(grid.shape)
            ptr = [i * math.prod(out) for i in range(grid.num_graphs + 1)]
            return Grid(out, rings, grid.diagonal, ptr).to(grid.device)
        return Grid(shapes, rings, grid.diagonal).to(grid.device)

    def axis(self, axis: int, n: int) -> Tensor:
        """Return the node at each position of a padded axis of n nodes, -1 where there is none."""
        before, after = self.padding[axis]
        beyond = (self.dilation[axis] * self.size[axis] + self.stride[axis]) * self.ceil
        place = torch.arange(-before, n + after + beyond)
        match self.mode[axis]:
            case "circular":
                return place % n
            case "replicate":
                return place.clamp(0, n - 1)
            case "reflect":
                return n - 1 - (n - 1 - place.abs()).abs()
        return torch.where((place < 0) | (place >= n), -1, place)

    def taps(self, grid: Grid) -> Taps:
        """Return the edges from the nodes of `grid` to those of `self.grid(grid)`."""
        taps, sources, destinations, first, place = [], [], [], 0, 0
        for shape, count in runs(grid):
            source = self._sources(shape)  # (k, places of one grid)
            nodes, places = math.prod(shape), source.size(1)
            graph = torch.arange(count)[:, None]
            src = first + source[:, None] + nodes * graph  # (k, grids, places)
            dst = place + torch.arange(places) + places * graph
            tap, *where = (source[:, None] >= 0).expand(src.shape).nonzero(as_tuple=True)
            taps.append(tap)
            sources.append(src[tap, *where])
            destinations.append(dst[tuple(where)])
            first, place = first + count * nodes, place + count * places
        tap, src, dst = torch.cat(taps), torch.cat(sources), torch.cat(destinations)
        order = torch.argsort(tap, stable=True) if len(taps) > 1 else slice(None)
        counts = tuple(torch.bincount(tap, minlength=math.prod(self.size)).tolist())
        return Taps(torch.stack([src[order], dst[order]]).to(grid.device), counts)

    def _sources(self, shape: tuple[int, ...]) -> Tensor:
        """Return the node that each tap reads at each place, (k, places), -1 where there is none."""
        found = torch.zeros(1, 1, dtype=torch.int64)
        for axis, (n, places) in enumerate(zip(shape, self.shape(shape))):
            tap, place = torch.arange(self.size[axis])[:, None], torch.arange(places)
            node = self.axis(axis, n)[tap * self.dilation[axis] + place * self.stride[axis]]  # (taps, places)
            both = found[:, None, :, None] * n + node[:, None, :]
            both = both.masked_fill((found[:, None, :, None] < 0) | (node[:, None, :] < 0), -1)
            found = both.reshape(found.size(0) * node.size(0), -1)
        return found


def runs(grid: Grid) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield the shapes of a batch of grids in order, and how many grids in a row have each."""
    if not isinstance(grid.shape[0], tuple):
        yield grid.shape, grid.num_graphs
        return
    for shape, group in groupby(grid.shapes):
        yield shape, len(list(group))

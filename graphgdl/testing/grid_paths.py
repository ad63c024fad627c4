r"""Rotations and shifts of a signal on a grid, between the nodes by interpolation.

.. math:: (g.x)(p) = x(g^{-1} p)

The value between nodes is multilinear in the nearest 2^d of them, and 0 outside an open grid. A transformation that takes
nodes to nodes is exact; any other loses detail, which a curve shows as its floor.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from graphgdl.domains import Grid
from graphgdl.groups import Translations
from graphgdl.testing.paths import T


def interpolate(x: Tensor, grid: Grid, places: Tensor) -> Tensor:
    """Return the signal between the nodes of one grid, multilinear in the nodes around.

    Args:
        x: floating (n, ...), a signal on the nodes.
        grid: the grid; along periodic axes it goes on for ever, beyond open ones is zero.
        places: (m, d) coordinates, the nodes at the whole numbers.

    Returns:
        (m, ...).

    Raises:
        ValueError: a batch of grids, or another number of rows.

    Example:
        >>> x, places = torch.tensor([0.0, 10.0, 20.0]), torch.tensor([[0.25], [2.5]])
        >>> interpolate(x, Grid((3,)), places).tolist(), interpolate(x, Grid((3,), periodic=True), places).tolist()
        ([2.5, 10.0], [2.5, 10.0])
    """
    lattice = Translations(one(grid).shape, grid.periodic)
    if x.size(0) != grid.num_nodes:
        raise ValueError(
            f"`x` must have one row for each of the {grid.num_nodes} nodes, got shape {tuple(x.shape)}; flatten the places "
            f"of an image, channels behind them: `images.flatten(1)` without channels, else "
            f"`images.movedim(1, -1).flatten(1, -2)`"
        )
    shape, ring = torch.tensor(grid.shape), torch.tensor(grid.periodic)
    low = places.floor()
    share = places - low
    out = x.new_zeros(places.size(0), *x.shape[1:])
    for corner in itertools.product((False, True), repeat=len(grid.shape)):
        upper = torch.tensor(corner)
        at = low.to(torch.int64) + upper
        node = lattice.node(torch.where(ring, at % shape, at))
        weight = torch.where(upper, share, 1 - share).prod(dim=1) * (node >= 0)
        out += weight.to(x).view(-1, *[1] * (x.dim() - 1)) * x[node.clamp(min=0)]
    return out


def one(grid: Grid) -> Grid:
    """Return the grid; raise ValueError if it is a batch."""
    if grid.num_graphs != 1:
        raise ValueError(f"`grid` must be one grid, got {grid.num_graphs}; take `grid[0]`")
    return grid


class GridPath(ABC):
    """Transformations that read the signal at other places of one grid.

    Args:
        grid: the grid of the signal.

    Raises:
        ValueError: a batch of grids.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = one(grid)
        self.nodes = Translations(grid.shape).places.to(torch.float64)

    @abstractmethod
    def of_size(self, size: float, generator: torch.Generator) -> Tensor:
        """Return a random transformation of this size."""

    @abstractmethod
    def source(self, g: Tensor) -> Tensor:
        """Return for each node the place whose value arrives there, float64 (n, d)."""

    def act(self, g: Tensor, x: T) -> T:
        """Move a signal (n, ...), or the floating node attributes of a `Data`, all but `pos`.

        Raises:
            ValueError: another number of nodes.
        """
        places = self.source(g)
        if isinstance(x, Tensor):
            return interpolate(x, self.grid, places)
        out = x.clone()
        for key, value in x.to_dict().items():
            if key != "pos" and isinstance(value, Tensor) and value.is_floating_point() and x.is_node_attr(key):
                out[key] = interpolate(value, self.grid, places)
        return out

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.grid})"


class GridRotations(GridPath):
    """Rotations of a grid of two axes about its center, from the first axis towards the second; an element is the angle.

    As a candidate group, `sample` draws uniformly from SO(2), or from C_n.

    Args:
        grid: a grid of two axes.
        n: number of rotations that `sample` draws from; None for all of them.

    Raises:
        ValueError: a batch, another number of axes, or `n` below 1.

    Example:
        >>> image = torch.arange(9.0).view(9, 1)
        >>> quarter = torch.tensor(math.pi / 2)
        >>> moved = GridRotations(Grid((3, 3))).act(quarter, image).view(3, 3)
        >>> bool(torch.allclose(moved, torch.rot90(image.view(3, 3)), atol=1e-5))
        True
    """

    def __init__(self, grid: Grid, n: int | None = None) -> None:
        super().__init__(grid)
        if len(grid.shape) != 2:
            raise ValueError(f"`grid` must have two axes to rotate, got shape {grid.shape}")
        if n is not None and n < 1:
            raise ValueError(f"`n` must be a number of rotations, at least 1, or None, got {n}")
        self.n = n

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a uniformly random rotation."""
        if self.n is not None:
            return torch.randint(self.n, (), generator=generator).to(torch.float64) * (2 * math.pi / self.n)
        return torch.rand((), generator=generator, dtype=torch.float64) * (2 * math.pi)

    def of_size(self, size: float, generator: torch.Generator) -> Tensor:
        """Return the rotation by the angle `size` or by `-size`, in radians."""
        sign = 1 - 2 * torch.randint(2, (), generator=generator)
        return sign * torch.tensor(size, dtype=torch.float64)

    def inverse(self, g: Tensor) -> Tensor:
        """Return the rotation back."""
        return -g

    def source(self, g: Tensor) -> Tensor:
        """Return where the values come from."""
        center = (torch.tensor(self.grid.shape) - 1) / 2
        cos, sin = float(g.cos()), float(g.sin())
        return (self.nodes - center) @ torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64) + center


class GridShifts(GridPath):
    """Shifts of a grid by a length along a random axis, forwards or backwards; whole steps are exact, as is their inverse
    on a periodic axis.

    Args:
        grid: a grid of any number of axes.

    Raises:
        ValueError: a batch of grids.

    Example:
        >>> shift = torch.tensor([0.5], dtype=torch.float64)
        >>> GridShifts(Grid((3,))).act(shift, torch.tensor([4.0, 8.0, 0.0])).tolist()
        [2.0, 6.0, 4.0]
    """

    def of_size(self, size: float, generator: torch.Generator) -> Tensor:
        """Return a shift by `size` steps, float64 (d,)."""
        d = len(self.grid.shape)
        choice = int(torch.randint(2 * d, (), generator=generator))
        shift = torch.zeros(d, dtype=torch.float64)
        shift[choice // 2] = size * (1 - 2 * (choice % 2))
        return shift

    def inverse(self, g: Tensor) -> Tensor:
        """Return the shift back."""
        return -g

    def source(self, g: Tensor) -> Tensor:
        """Return where the values come from."""
        return self.nodes - g

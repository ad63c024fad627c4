r"""Readouts of grids: one row for each grid, from all its nodes.

.. math:: r = \frac{1}{n} \sum_i x_i \quad \text{or} \quad r = \max_i x_i \quad \text{or} \quad r = (x_1, \dots, x_n)

Law: mean and maximum are invariant to every permutation of the nodes, and so to shifts of a ring; the flattened row to none.
Source: Lin, Chen and Yan (2014), Network In Network, section 3.2 (global average pooling).
Differs: nothing.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains.structure import Grid
from graphgdl.groups import Law
from graphgdl.nn.grid_inputs import check_grid
from graphgdl.nn.grid_laws import grid_of
from graphgdl.nn.laws import values_within
from graphgdl.nn.readout import global_max_pool, global_mean_pool


class GridGlobalPool(nn.Module):
    """Pool each grid to one node: torch's `AdaptiveAvgPool2d(1)` and `AdaptiveMaxPool2d(1)`, invariant to shifts of a ring.

    Args:
        aggr: 'mean' or 'max'.

    Shapes:
        x (n, c); structure a `Grid` of n nodes, or a batch of g grids -> (g, c).

    Raises:
        ValueError: another `aggr`, or features that do not fit the grid.

    Example:
        >>> import torch
        >>> GridGlobalPool()(torch.tensor([[1.0], [2.0], [3.0]]), Grid((3,))).tolist()
        [[2.0]]
    """

    def __init__(self, aggr: str = "mean") -> None:
        super().__init__()
        if aggr not in ("mean", "max"):
            raise ValueError(f"`aggr` must be 'mean' or 'max', got {aggr!r}")
        self.aggr = aggr

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return invariance to permutations of the nodes of each grid."""
        group = values_within(grid_of(data), data)
        return (Law(group, "permutations of the nodes of each grid", invariant=True),)

    def forward(self, x: Tensor, structure: Grid) -> Tensor:
        """Return one row for each grid."""
        check_grid(structure, x, len(structure.periodic), None)
        if x.size(0) and not isinstance(structure.shape[0], tuple):  # grids of one shape: equal blocks of rows
            rows = x.reshape(structure.num_graphs, -1, x.size(1))
            return rows.mean(1) if self.aggr == "mean" else rows.amax(1)
        pool = global_mean_pool if self.aggr == "mean" else global_max_pool
        return pool(x, structure.batch, structure.num_graphs)

    def grid(self, structure: Grid) -> Grid:
        """Return grids of one node."""
        one = (1,) * len(structure.periodic)
        return Grid(one, structure.periodic, structure.diagonal, range(structure.num_graphs + 1)).to(structure.device)


class GridFlatten(nn.Module):
    """Write the nodes of each grid one beside another: torch's `Flatten`, channel by channel. Every symmetry ends here.

    Shapes:
        x (n, c); structure g grids of one shape with m nodes -> (g, c * m).

    Raises:
        ValueError: grids of unequal shape, or features that do not fit.

    Example:
        >>> import torch
        >>> GridFlatten()(torch.tensor([[1.0, 10.0], [2.0, 20.0]]), Grid((2,))).tolist()
        [[1.0, 2.0, 10.0, 20.0]]
    """

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return none."""
        return ()

    def forward(self, x: Tensor, structure: Grid) -> Tensor:
        """Return one row for each grid."""
        check_grid(structure, x, len(structure.periodic), None)
        if len(set(structure.shapes)) > 1:
            raise ValueError(f"`structure` must hold grids of one shape to be flattened, got {structure.shapes}")
        return x.reshape(structure.num_graphs, math.prod(structure.shapes[0]), -1).transpose(1, 2).flatten(1)

    def grid(self, structure: Grid) -> None:
        """Return None: what is left is no signal on a grid."""

"""Groups that move the signal on a regular grid: (g.x)(p) = x(g^-1 p)."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from graphgdl.groups.group import Group, T


class GridSymmetries(Group):
    """A group that moves the places of one regular grid, and with them the values of its nodes.

    Nodes are in row-major order, as in `graphgdl.domains.Grid`.

    Attributes:
        shape: sizes of the axes.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def source(self, g: Tensor) -> Tensor:
        """Return for each node the node whose value arrives there, int64 (n,), or -1 where none does."""

    @property
    def num_nodes(self) -> int:
        """Number of nodes of the grid."""
        return math.prod(self.shape)

    @property
    def places(self) -> Tensor:
        """Coordinates of the nodes, int64 (n, d)."""
        return torch.cartesian_prod(*map(torch.arange, self.shape)).view(self.num_nodes, -1)

    def node(self, places: Tensor) -> Tensor:
        """Return the nodes at the places (n, d), or -1 for places outside the grid."""
        shape = torch.tensor(self.shape)
        stride = shape.flip(0).cumprod(0).flip(0) // shape
        inside = ((places >= 0) & (places < shape)).all(dim=1)
        return torch.where(inside, (places * stride).sum(dim=1), -1)

    def act(self, g: Tensor, x: T) -> T:
        """Move a signal, or each of a batch of signals on such grids; where nothing arrives, zero does.

        Args:
            g: the element.
            x: (n, ...) node values, or (b n, ...) those of b grids, or a `Data` or batch with them: the tensors of its nodes
                move but for `pos`. The domain stays: positions, structure, edges and edge attributes, so those must be the
                same at every place for a law to hold.

        Raises:
            ValueError: another number of nodes, or a batch of other grids.
        """
        if isinstance(x, Tensor):
            if x.dim() == 0 or not self._fits(x.size(0)):
                raise ValueError(
                    f"`x` must have one row for each of the {self.num_nodes} nodes of a grid, or of several, got "
                    f"{tuple(x.shape)}"
                )
            return self._move(g, x)
        if not self._fits(x.num_nodes):
            raise ValueError(f"`x` must have the {self.num_nodes} nodes of a grid {self.shape}, got {x.num_nodes}")
        if "ptr" in x and x.ptr.diff().unique().tolist() != [self.num_nodes]:
            sizes = x.ptr.diff().tolist()
            raise ValueError(f"`x` must be a batch of grids {self.shape} of {self.num_nodes} nodes, got sizes {sizes}")
        out = x.clone()
        for key, value in x.to_dict().items():
            if key not in ("pos", "edge_index", "batch", "ptr") and isinstance(value, Tensor) and x.is_node_attr(key):
                out[key] = self._move(g, value)
        return out

    def _fits(self, rows: int | None) -> bool:
        return rows is not None and rows > 0 and rows % self.num_nodes == 0

    def _move(self, g: Tensor, values: Tensor) -> Tensor:
        grids = values.unflatten(0, (-1, self.num_nodes)).transpose(0, 1)
        return _arrive(grids, self.source(g)).transpose(0, 1).flatten(0, 1)


def _arrive(values: Tensor, source: Tensor) -> Tensor:
    source = source.to(values.device)
    arrives = (source >= 0).view(-1, *[1] * (values.dim() - 1))
    return torch.where(arrives, values[source.clamp(min=0)], torch.zeros((), dtype=values.dtype, device=values.device))

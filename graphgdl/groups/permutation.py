"""The symmetric group, acting on the nodes of a graph by renumbering them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_sparse

from graphgdl.groups.group import Group, T


class Permutation(Group):
    """Permutations of n nodes; an element is an int64 tensor (n,), and node v becomes node g[v].

    Args:
        n: number of nodes.

    Raises:
        ValueError: `n` is negative.

    Example:
        >>> group = Permutation(3)
        >>> g = torch.tensor([2, 0, 1])
        >>> group.act(g, torch.tensor([[10], [20], [30]])).flatten().tolist()
        [20, 30, 10]
        >>> group.compose(g, group.inverse(g)).tolist()
        [0, 1, 2]
    """

    def __init__(self, n: int) -> None:
        if n < 0:
            raise ValueError(f"`n` must be a number of nodes, got {n}")
        self.n = n

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return torch.arange(self.n)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a uniformly random element."""
        return torch.randperm(self.n, generator=generator)

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h: act(compose(g, h), x) = act(g, act(h, x))."""
        return self._check(g)[self._check(h)]

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        out = torch.empty_like(self._check(g))
        out[g] = self.identity().to(g.device)
        return out

    def act(self, g: Tensor, x: T) -> T:
        """Renumber the nodes.

        Args:
            g: the element.
            x: (n, ...) tensor of node values, or a `Data`: every attribute of its nodes moves; what holds their numbers as
                PyG's batches count them (`edge_index`, `face`, ...), or a sparse `adj_t`, is renumbered; the edges keep
                their order and their attributes, the rest stays.

        Raises:
            ValueError: another number of nodes, a batch, or a structure, whose node order is part of what it is.
        """
        self._check(g)
        if isinstance(x, Tensor):
            if x.dim() == 0 or x.size(0) != self.n:
                raise ValueError(f"`x` must have one row for each of the {self.n} nodes, got shape {tuple(x.shape)}")
            return x[self.inverse(g).to(x.device)]
        if x.num_nodes != self.n:
            raise ValueError(f"`x` must have {self.n} nodes, got {x.num_nodes}")
        for key, fix in (("ptr", "act on its graphs before batching"), ("structure", "take `data.with_edges()`")):
            if key in x:
                raise ValueError(f"`x` has `{key}`, which a renumbering would make wrong; {fix}")
        out, back = x.clone(), self.inverse(g)
        for key, value in x.to_dict().items():
            if is_sparse(value):
                out[key] = _renumbered(value, g, back)
            elif _holds_nodes(x, key, value):
                renumbered = g.to(value.device)[value]
                of_each_node = value.dim() == 1 and x.is_node_attr(key)  # such as its parent in a tree
                out[key] = _move(renumbered, back) if of_each_node else renumbered
            elif x.is_node_attr(key):
                out[key] = _move(value, back)
        return out

    def _check(self, g: Tensor) -> Tensor:
        if g.shape != (self.n,) or g.is_floating_point() or not torch.equal(g.sort().values.cpu(), self.identity()):
            raise ValueError(f"`g` must hold each of 0 .. {self.n - 1} once, got {g.tolist()}")
        return g

    def __repr__(self) -> str:
        return f"Permutation({self.n})"


def _holds_nodes(data: Data, key: str, value: Any) -> bool:
    """Whether an attribute holds numbers of nodes, which PyG raises by their count where it joins graphs."""
    if not isinstance(value, Tensor) or value.dtype not in (torch.int64, torch.int32) or "batch" in key:
        return False
    raised = data.__inc__(key, value)
    return isinstance(raised, int) and raised == data.num_nodes > 0


def _renumbered(adjacency: Any, g: Tensor, back: Tensor) -> Any:
    """Return a sparse matrix (n, n) of any kind with both axes renumbered."""
    if isinstance(adjacency, SparseTensor):
        order = back.to(adjacency.device())
        return adjacency[order][:, order]
    entries = adjacency.to_sparse_coo().coalesce()
    ends = g.to(adjacency.device)[entries.indices()]
    moved = torch.sparse_coo_tensor(ends, entries.values(), adjacency.shape, check_invariants=False)
    return moved.coalesce().to_sparse(layout=adjacency.layout)


def _move(values: Any, back: Tensor) -> Any:
    return values[back.to(values.device)] if isinstance(values, Tensor) else [values[i] for i in back.tolist()]

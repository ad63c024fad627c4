"""Lifted graphs: one graph as many, each an ordinary `Data` for message passing."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Data


class MarkedCopies(Data):
    """n copies of a graph with n nodes; in copy r, node r is marked.

    Attributes (n nodes, e arcs of the graph that was lifted, c channels):
        x: (n * n, c + 1), the features of the node and, last, the mark; copy r holds the rows r * n ... r * n + n - 1.
        edge_index: (2, n * e), the arcs of each copy.
        copy_index: (n * n,) the copy that each node lies in; batches shift it by the number of copies.
        root_index: (n,) the marked node of each copy; batches shift it by the number of nodes.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == "copy_index":
            return self.root_index.numel()
        if key in ("root_index", "edge_index"):
            return self.num_nodes
        return super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key in ("copy_index", "root_index"):
            return 0
        return super().__cat_dim__(key, value, *args, **kwargs)


def marked_copies(data: Data) -> MarkedCopies:
    """Lift a graph to its n copies with one marked node each: n^2 nodes, n * e arcs.

    Raises:
        ValueError: `data` has no features `x`.

    >>> path = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]]))
    >>> lifted = marked_copies(path)
    >>> lifted.num_nodes, lifted.num_edges, lifted.x[:, 1].nonzero().flatten().tolist()
    (9, 12, [0, 4, 8])
    """
    if data.x is None:
        raise ValueError("`data.x` must hold node features, got None; a constant will do: torch.ones(n, 1)")
    n = data.x.size(0)
    device = data.x.device
    copies = torch.arange(n, device=device)
    root = copies * (n + 1)
    mark = data.x.new_zeros(n * n, 1)
    mark[root] = 1
    shift = (copies * n).view(1, n, 1)
    return MarkedCopies(
        x=torch.cat([data.x.repeat(n, 1), mark], dim=1),
        edge_index=(data.edge_index.unsqueeze(1) + shift).reshape(2, -1),
        copy_index=copies.repeat_interleave(n),
        root_index=root,
    )

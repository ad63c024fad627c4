"""A graph with one self-loop at each node, made once for each `edge_index`, so that its rows are sorted once too."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.utils import add_self_loops

from graphgdl.nn.memo import remembered


class Looped(NamedTuple):
    """The edges (2, e') that are no self-loops, then one self-loop for each node.

    `kept` holds the ids of the former, `loops` (2, k) ids and nodes of the self-loops there were; None where none was.
    """

    edge_index: Tensor
    kept: Tensor | None
    loops: Tensor | None

    def features(self, features: Tensor, fill: float | Tensor | str) -> Tensor:
        """Return the edge features (e', ...) with `fill` (a value, or a reduction of the node's edges) at the loops."""
        kept = features if self.kept is None else features[self.kept]
        edges = self.edge_index[:, : kept.size(0)]
        return add_self_loops(edges, kept, fill, self.edge_index.size(1) - kept.size(0))[1]

    def weights(self, weights: Tensor, fill: float, keep_loops: bool) -> Tensor:
        """Return the edge weights (e',) with `fill` at the loops; with `keep_loops` the old ones keep their weight."""
        kept = weights if self.kept is None else weights[self.kept]
        new = weights.new_full((self.edge_index.size(1) - kept.size(0),), fill)
        if keep_loops and self.loops is not None:
            new = new.index_put((self.loops[1],), weights[self.loops[0]])
        return torch.cat([kept, new])


def with_self_loops(edge_index: Tensor, num_nodes: int) -> Looped:
    """Replace the self-loops of `edge_index` (2, e) by one at each of the first `num_nodes` nodes."""

    def build() -> Looped:
        nodes = torch.arange(num_nodes, dtype=edge_index.dtype, device=edge_index.device).expand(2, -1)
        is_loop = edge_index[0] == edge_index[1]
        loops = is_loop.nonzero().view(-1)
        if not torch.compiler.is_compiling() and loops.numel() == 0:
            return Looped(torch.cat([edge_index, nodes], dim=1), None, None)
        kept = (~is_loop).nonzero().view(-1)
        old = torch.stack([loops, edge_index[0, loops].long()])
        return Looped(torch.cat([edge_index[:, kept], nodes], dim=1), kept, old)

    return remembered(edge_index, ("self-loops", num_nodes), build)

r"""HeavyEdgePool: neighbours joined by the heaviest edges become one node.

.. math:: x'_{\{i, j\}} = \tfrac12 (x_i + x_j) \quad \text{for matched } i, j, \qquad x'_{\{i\}} = x_i \text{ for the others}

Law: equivariant to node permutations, up to the order of the clusters, where no two edges weigh the same (ties are broken
by the numbers of the nodes within their graph); graphs of a batch do not mix.
Source: Karypis and Kumar (1998), A Fast and High Quality Multilevel Scheme for Partitioning Irregular Graphs; in networks:
Defferrard, Bresson and Vandergheynst (2016), Convolutional Neural Networks on Graphs with Fast Localized Spectral Filtering.
Differs: the heaviest edge of the whole graph first, not of a node drawn at random, so that the result depends on the
graph alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphgdl.nn.coarsening import Coarse, Coarsening, cluster_pool, graph_of_nodes, weighted_edges
from graphgdl.ops.matching import heaviest_pairs, heavy_edge_matching


class HeavyEdgePool(Coarsening):
    """Coarsening by heavy-edge matching: at most two nodes to a cluster, clusters in the order of their first nodes.

    Args:
        reduce: 'mean', 'sum' or 'max' of the two.

    Shapes:
        x (n, c); edge_index (2, e) or a structure; batch (n,) or None; edge_weight (e,) or None -> `Coarse`.

    Raises:
        ValueError: an unknown `reduce`.
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> from graphgdl.domains import Chain
        >>> coarse = HeavyEdgePool()(torch.tensor([[1.0], [3.0], [8.0]]), Chain(3), edge_weight=torch.tensor([2.0, 1.0]))
        >>> coarse.x.flatten().tolist(), coarse.edge_index.tolist()
        ([2.0, 8.0], [[0], [1]])
    """

    def __init__(self, reduce: str = "mean") -> None:
        super().__init__()
        if reduce not in ("sum", "mean", "max"):
            raise ValueError(f"`reduce` must be 'sum', 'mean' or 'max', got {reduce!r}")
        self.reduce = reduce

    def forward(
        self, x: Tensor, edge_index: Any, batch: Tensor | None = None, edge_weight: Tensor | None = None
    ) -> Coarse:
        """Return the graph of the pairs."""
        edges, weight = weighted_edges(edge_index, x, edge_weight)
        batch = graph_of_nodes(edge_index, batch)
        mate = heavy_edge_matching(edges, weight, x.size(0), None if batch is None else _number_within(batch))
        first = torch.minimum(mate, torch.arange(x.size(0), device=x.device))
        leaders, cluster = torch.unique(first, return_inverse=True)
        return cluster_pool(x, edges, cluster, leaders.size(0), batch, weight, self.reduce)

    def moves_with_nodes(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None) -> bool:
        """Whether no two pairs of neighbours weigh the same; without weights all do."""
        edges, weight = weighted_edges(edge_index, x, edge_weight)
        _, _, heaviest = heaviest_pairs(edges, weight, x.size(0))
        return heaviest.unique().numel() == heaviest.numel()

    def __repr__(self) -> str:
        return f"HeavyEdgePool({self.reduce!r})"


def _number_within(batch: Tensor) -> Tensor:
    """Return the number of each node, counted from the first one of its graph."""
    number = torch.arange(batch.size(0), device=batch.device)
    graphs, graph = torch.unique(batch, return_inverse=True)
    first = number.new_full(graphs.shape, batch.size(0)).scatter_reduce(0, graph, number, "amin")
    return number - first[graph]

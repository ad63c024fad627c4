r"""DiffPool and MinCutPool: each node belongs to every cluster of its graph, to a learned degree.

.. math:: S = \operatorname{softmax}(X W + b), \qquad X' = S^\top X, \qquad A' = S^\top A S

Law: equivariant to node permutations; the clusters keep their order; graphs of a batch do not mix.
Source: Ying et al. (2018), Hierarchical Graph Representation Learning with Differentiable Pooling, eq. 3 and 4; Bianchi,
Grattarola and Alippi (2020), Spectral Clustering with Graph Neural Networks for Graph Pooling; PyG's `dense_diff_pool`,
which runs.
Differs: scores are a linear map of the features; the message passing that the papers put into them is a layer before.
MinCut's fractions 0 / 0 are 0, in value and derivative; PyG's `dense_mincut_pool` gives NaN for a graph without edges, and
in the derivative for clusters without an edge between them, which is where its loss leads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.nn.dense import dense_diff_pool
from torch_geometric.nn.pool.select import SelectOutput
from torch_geometric.utils import to_dense_adj, to_dense_batch

from graphgdl.nn.coarsening import Coarse, Coarsening, graph_of_nodes, weighted_edges


class DensePool(Coarsening):
    """What both have in common; memory grows with the square of the largest graph of a batch.

    Args:
        in_channels: number of channels.
        num_clusters: number of clusters k of each graph.

    Shapes:
        x (n, in_channels); edge_index (2, e) or a structure; batch (n,), sorted, or None; edge_weight (e,) or None
        -> `Coarse` with k clusters and k^2 edges for each graph, and the sum of both auxiliary losses.

    Raises:
        ValueError: `num_clusters` is not positive; `x` has no row; `batch` is not sorted.
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.
    """

    _pool: ClassVar[Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]]

    def __init__(self, in_channels: int, num_clusters: int) -> None:
        super().__init__()
        if num_clusters < 1:
            raise ValueError(f"`num_clusters` must be at least 1, got {num_clusters}")
        self.in_channels = self.out_channels = in_channels
        self.num_clusters = num_clusters
        self.lin = nn.Linear(in_channels, num_clusters)

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        self.lin.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Any, batch: Tensor | None = None, edge_weight: Tensor | None = None
    ) -> Coarse:
        """Return the graph of the clusters."""
        edges, weight = weighted_edges(edge_index, x, edge_weight)
        batch = graph_of_nodes(edge_index, batch)
        if not x.size(0):
            raise ValueError("`x` must have a row for at least one node, got none; skip the empty graph")
        if batch is not None and bool((batch.diff() < 0).any()):
            raise ValueError("`batch` must be sorted, so that each graph is one block of rows; sort the nodes by it")
        graph = torch.zeros(x.size(0), dtype=torch.int64, device=x.device) if batch is None else batch
        scores, k = self.lin(x), self.num_clusters
        dense, mask = to_dense_batch(x, graph)
        adjacency = to_dense_adj(edges, graph, weight, dense.size(1), dense.size(0))
        out, coarse, *losses = type(self)._pool(dense, adjacency, to_dense_batch(scores, graph)[0], mask)
        cluster = torch.arange(dense.size(0) * k, device=x.device).view(-1, k)
        ends = torch.stack([cluster[:, None, :].expand_as(coarse), cluster[:, :, None].expand_as(coarse)])
        select = SelectOutput(
            torch.arange(x.size(0), device=x.device).repeat_interleave(k),
            x.size(0),
            cluster[graph].flatten(),
            cluster.numel(),
            scores.softmax(dim=1).flatten(),
        )
        coarse_batch = None if batch is None else cluster.flatten() // k
        return Coarse(
            out.flatten(0, 1), ends.flatten(1), coarse.mT.flatten(), coarse_batch, select, losses[0] + losses[1]
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.num_clusters})"


def _mincut_pool(x: Tensor, adjacency: Tensor, scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return features, normalised adjacency, loss of the cut and of orthogonality, as PyG's `dense_mincut_pool`."""
    s, eye = scores.softmax(-1) * mask[..., None], torch.eye(scores.size(-1), dtype=x.dtype, device=x.device)
    coarse, gram = s.mT @ adjacency @ s, s.mT @ s
    kept, whole = (coarse * eye).sum((1, 2)), (s.square().sum(-1) * adjacency.sum(-1)).sum(1)
    off = coarse * (1 - eye)
    scale = _one_for_zero(off.sum(-1)).rsqrt()
    gap = gram / _one_for_zero(gram.norm(dim=(1, 2), keepdim=True)) - eye / eye.norm()
    cut = -kept / _one_for_zero(whole)
    return s.mT @ x, scale[:, :, None] * off * scale[:, None], cut.mean(), gap.norm(dim=(1, 2)).mean()


def _one_for_zero(x: Tensor) -> Tensor:
    """Return a divisor that is 1 where `x` is 0, so that 0 / 0 becomes 0, with finite derivatives."""
    return torch.where(x == 0, torch.ones_like(x), x)


class DiffPool(DensePool):
    """Differentiable pooling; the losses are those of link prediction and of the entropy of the assignment.

    Arguments, shapes and errors are those of `DensePool`.

    Example:
        >>> coarse = DiffPool(4, 2)(torch.rand(5, 4), torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> coarse.x.shape, coarse.edge_index.tolist(), coarse.loss.dim()
        (torch.Size([2, 4]), [[0, 1, 0, 1], [0, 0, 1, 1]], 0)
    """

    _pool = dense_diff_pool


class MinCutPool(DensePool):
    """MinCut pooling; the losses are those of the normalised cut and of the orthogonality of the clusters.

    Arguments, shapes and errors are those of `DensePool`. A graph without edges adds nothing to the loss of the cut.

    Example:
        >>> coarse = MinCutPool(4, 2)(torch.rand(5, 4), torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> coarse.x.shape, coarse.loss.dim()
        (torch.Size([2, 4]), 0)
    """

    _pool = _mincut_pool

r"""Coarsening: a graph becomes a smaller one by an assignment of its nodes to clusters, and features come back by it.

.. math:: x'_k = \bigoplus_{i} s_{ik} x_i, \qquad w'_{kl} = \sum_{(i, j) \in E} s_{ik} w_{ij} s_{jl} \;\; (k \ne l), \qquad
          \hat x_i = \sum_k s_{ik} x'_k

Law: with an assignment that moves with the nodes, the coarse features are invariant up to the order of the clusters, and
what `Unpool` brings back moves with the nodes; graphs of a batch do not mix.
Source: Grattarola et al. (2022), Understanding Pooling in Graph Neural Networks (select, reduce, connect); the way back:
Gao and Ji (2019), Graph U-Nets.
Differs: nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn.pool.select import SelectOutput
from torch_geometric.utils import coalesce

from graphgdl.domains.structure import Structure
from graphgdl.nn.inputs import edges_of, plain
from graphgdl.nn.readout import Readout, global_add_pool


class Coarse(NamedTuple):
    """A coarser graph, and the way back.

    Attributes:
        x: (m, c) features of the clusters.
        edge_index: int64 (2, e'); loops where clusters have weight within themselves or nodes that stay had loops.
        edge_weight: (e',).
        batch: graph of each cluster (m,), or None.
        select: PyG's record of the assignment, for `Unpool`.
        loss: what training should add to its loss, or None.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor
    batch: Tensor | None
    select: SelectOutput
    loss: Tensor | None = None


class Coarsening(nn.Module):
    """A layer that returns a coarser graph; subclasses say how."""

    def moves_with_nodes(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None) -> bool:
        """Whether the assignment of such an input moves with its nodes; ties broken by their numbers do not."""
        return True

    def forward(
        self, x: Tensor, edge_index: Any, batch: Tensor | None = None, edge_weight: Tensor | None = None
    ) -> Coarse:
        """Return the coarser graph of edges or a structure, where `edge_weight` (e,) defaults to 1.

        Where `batch` is None, the nodes belong to the graphs of a structure, edges to one graph.
        """
        raise NotImplementedError


class Unpool(nn.Module):
    """The way back from clusters to nodes: each node receives its clusters' features, weighted as it was assigned.

    A node that was assigned to no cluster receives 0.

    Shapes:
        x (m, c), `Coarse.select` -> (n, c).

    Raises:
        ValueError: `x` has not one row for each cluster.

    Example:
        >>> nodes, clusters = torch.tensor([0, 2, 3]), torch.tensor([1, 0, 1])
        >>> select = SelectOutput(nodes, 4, clusters, 2)
        >>> Unpool()(torch.tensor([[5.0], [7.0]]), select).flatten().tolist()
        [7.0, 0.0, 5.0, 7.0]
    """

    def forward(self, x: Tensor, select: SelectOutput) -> Tensor:
        """Return the features of the nodes (n, c)."""
        if x.size(0) != select.num_clusters:
            raise ValueError(f"`x` must have one row for each of {select.num_clusters} clusters, got {tuple(x.shape)}")
        values = x[select.cluster_index]
        if select.weight is not None:
            values = values * select.weight[:, None]
        return global_add_pool(values, select.node_index, select.num_nodes)


def weighted_edges(edge_index: Any, x: Tensor, edge_weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return plain edges (2, e) and their weights, 1 where none are given; see `graphgdl.nn.inputs.edges_of`."""
    edges, values = plain(edges_of(edge_index, x, edge_weight=edge_weight))
    weight = values if edge_weight is None else edge_weight
    return edges, x.new_ones(edges.size(1)) if weight is None else weight


def graph_of_nodes(edge_index: Any, batch: Tensor | None) -> Tensor | None:
    """Return the graph of each node (n,), or None for one graph: `batch`, or what a structure of several graphs says."""
    several = batch is None and isinstance(edge_index, Structure) and edge_index.num_graphs > 1
    return edge_index.batch if several else batch


def cluster_pool(
    x: Tensor,
    edge_index: Any,
    cluster: Tensor,
    num_clusters: int,
    batch: Tensor | None = None,
    edge_weight: Tensor | None = None,
    reduce: str = "mean",
) -> Coarse:
    """Return the graph of the clusters: features reduced, weights of the edges between two clusters added.

    Args:
        x: (n, c).
        edge_index: edges (2, e), or a structure.
        cluster: cluster of each node (n,), int64; a cluster lies in one graph.
        num_clusters: number of clusters m.
        batch: graph of each node (n,); None for one graph, or as a structure says.
        edge_weight: (e,); default 1.
        reduce: 'sum', 'mean' or 'max' over the nodes of a cluster.

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of` and `graphgdl.nn.Readout`.

    Example:
        >>> edges = torch.tensor([[0, 1, 2, 1, 2, 3], [1, 0, 1, 2, 3, 2]])
        >>> coarse = cluster_pool(torch.tensor([[1.0], [3.0], [5.0], [9.0]]), edges, torch.tensor([0, 0, 1, 1]), 2)
        >>> coarse.x.flatten().tolist(), coarse.edge_index.tolist()
        ([2.0, 7.0], [[1, 0], [0, 1]])
    """
    edges, weight = weighted_edges(edge_index, x, edge_weight)
    batch = graph_of_nodes(edge_index, batch)
    between = cluster[edges]
    apart = between[0] != between[1]
    between, weight = coalesce(between[:, apart], weight[apart], num_clusters, sort_by_row=False)
    select = SelectOutput(torch.arange(x.size(0), device=x.device), x.size(0), cluster, num_clusters)
    coarse_batch = None if batch is None else batch.new_zeros(num_clusters).scatter(0, cluster, batch)
    return Coarse(Readout(reduce)(x, cluster, num_clusters), between, weight, coarse_batch, select)

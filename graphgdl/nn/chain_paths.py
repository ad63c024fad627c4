"""Chains in any numbering of their nodes: which nodes lie at each position, and the edges from one position to the next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import is_torch_sparse_tensor, to_edge_index

from graphgdl.nn.inputs import edges_of, plain

Step = tuple[Tensor, Tensor]
"""Nodes at a position (k,), and edges (2, e) from the previous position to it, both ends numbered within their position."""


def paths(edges: Tensor, n: int) -> list[Step]:
    """Split disjoint chains into positions.

    Args:
        edges: (2, e), from each node to its successor.
        n: number of nodes.

    Raises:
        ValueError: a node has two predecessors or two successors, or a chain closes to a cycle.

    Example:
        >>> [nodes.tolist() for nodes, _ in paths(torch.tensor([[2, 0], [0, 1]]), 4)]
        [[2, 3], [0], [1]]
    """
    src, dst = edges
    for ends, other in ((dst, "predecessors"), (src, "successors")):
        degree = torch.bincount(ends, minlength=n)
        if bool((degree > 1).any()):
            node = int(degree.argmax())
            raise ValueError(
                f"`edge_index` must hold disjoint chains, got node {node} with {int(degree[node])} {other}; a recurrence "
                f"runs along chains, take a graph layer for other graphs"
            )
    successor = torch.full((n,), -1, dtype=torch.int64, device=edges.device)
    successor[src] = dst
    first = torch.ones(n, dtype=torch.bool, device=edges.device)
    first[dst] = False
    nodes, found = first.nonzero().flatten(), []
    links = nodes.new_zeros(2, 0)
    while nodes.numel():
        found.append((nodes, links))
        after = successor[nodes]
        source = (after >= 0).nonzero().flatten()
        nodes = after[source]
        links = torch.stack([source, torch.arange(source.size(0), device=source.device)])
    reached = sum(nodes.size(0) for nodes, _ in found)
    if reached < n:
        raise ValueError(
            f"`edge_index` must hold chains that end, got a cycle through {n - reached} nodes; leave out one of its edges"
        )
    return found


def paths_of(edge_index: Any, x: Tensor, both: bool) -> list[list[Step]]:
    """Return the positions along the edges of any form that a layer takes, and with `both` against them too.

    Raises:
        TypeError, ValueError: see `paths` and `graphgdl.nn.inputs.edges_of`.
    """
    edges = edges_of(edge_index, x)
    if isinstance(edges, Tensor) and is_torch_sparse_tensor(edges):
        edges = to_edge_index(edges)[0].flip(0)
    edges = plain(edges)[0].long()
    return [paths(directed, x.size(0)) for directed in ([edges, edges.flip(0)] if both else [edges])]

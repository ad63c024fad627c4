r"""1-WL on marked copies of the graph: one copy for each vertex, or for each (vertex, neighbour).

Each copy is refined by 1-WL by itself; the graph is the multiset of its copies' final colour multisets, for pairs
grouped by the first vertex: :math:`\{\!\{ \{\!\{ \mathrm{WL}(G^{u,v}) : v \in N(u) \}\!\} : u \in V \}\!\}`.

Source: node marking: You et al. (2021), Identity-aware graph neural networks; Zhang and Li (2021), Nested graph neural
networks; Bevilacqua et al. (2022), Equivariant subgraph aggregation networks. Pair marking: Huang, Peng, Ma, Zhang
(2023), Boosting the cycle counting power of GNNs with I2-GNNs. Differs: the copy is the whole graph, not an ego-net.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles.oracle import Colours, multiset, refine_until_stable


def refine_node_marking(graph: Graph) -> Iterator[int]:
    """One copy for each vertex, which is marked in it."""

    def pool(c: Colours) -> Colours:
        return multiset(multiset(c, axis=0))

    yield from _refine_copies(graph, np.eye(graph.n, dtype=np.uint64), pool)


def refine_pair_marking(graph: Graph) -> Iterator[int]:
    """One copy for each ordered pair of adjacent vertices, which carry two different marks."""
    indptr, indices = graph.csr()
    copies = np.arange(len(indices))
    marks = np.zeros((graph.n, len(indices)), np.uint64)
    marks[np.repeat(np.arange(graph.n), np.diff(indptr)), copies] = 1
    marks[indices, copies] = 2

    def pool(c: Colours) -> Colours:
        total = np.zeros(len(indices) + 1, np.uint64)
        np.cumsum(multiset(c, axis=0), out=total[1:])
        return multiset(total[indptr[1:]] - total[indptr[:-1]])

    yield from _refine_copies(graph, marks, pool)


def _refine_copies(graph: Graph, marks: Colours, pool) -> Iterator[int]:  # type: ignore[no-untyped-def]
    """1-WL on all copies (columns of `marks`, (n, copies)) at once: they are one graph with many components."""
    from graphgdl.ops.refine import mix, neighbour_sum, pair

    indptr, indices = graph.csr()

    def step(c: Colours) -> Colours:
        return pair(c, neighbour_sum(indptr, indices, mix(c)))

    yield from refine_until_stable(marks, step, pool)

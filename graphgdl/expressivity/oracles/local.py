r"""Pair refinements that look along edges only: SSWL and local 2-FWL, between node marking and 2-FWL.

SSWL, from the colour [u = v] (v in the copy of the graph in which u is marked):

.. math:: c'(u, v) = \big(c(u, v), \{\!\{ c(u, w) : w \in N(v) \}\!\}, \{\!\{ c(w, v) : w \in N(u) \}\!\}\big)

Local 2-FWL, from the isomorphism type of (u, v):

.. math:: c'(u, v) = \big(c(u, v), \{\!\{ (c(u, w), c(w, v)) : w \in N(v) \}\!\}\big)

The graph is pooled copy by copy: the multiset over u of the multisets over v.
Source: Zhang, Feng, Du, He, Wang (2023), A complete expressiveness hierarchy for subgraph GNNs via subgraph
Weisfeiler-Lehman tests, definitions of SSWL and LFWL(2). Differs: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles.oracle import Colours, multiset, refine_until_stable
from graphgdl.expressivity.oracles.wl import atomic_types


def refine_sswl(graph: Graph) -> Iterator[int]:
    """SSWL on all (marked vertex, vertex) pairs."""
    from graphgdl.ops.refine import mix, neighbour_sum, pair

    indptr, indices = graph.csr()

    def step(c: Colours) -> Colours:
        mixed = mix(c)
        across = neighbour_sum(indptr, indices, mixed)
        within = neighbour_sum(indptr, indices, np.ascontiguousarray(mixed.T)).T
        return pair(pair(c, within), across)

    yield from refine_until_stable(np.eye(graph.n, dtype=np.uint64), step, pool_rows)


def refine_local_2fwl(graph: Graph) -> Iterator[int]:
    """Local 2-FWL on all ordered pairs."""
    from graphgdl.ops.refine import matmul, mix, pair

    adjacency = graph.adjacency().astype(np.uint64)

    def step(c: Colours) -> Colours:
        return pair(c, matmul(c, adjacency * mix(c)))

    yield from refine_until_stable(atomic_types(graph, 2), step, pool_rows)


def pool_rows(c: Colours) -> Colours:
    """The multiset of the multisets of each row."""
    return multiset(multiset(c, axis=1))

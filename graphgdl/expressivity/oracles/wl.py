r"""Colour refinement (1-WL) and the oblivious k-dimensional Weisfeiler-Leman test.

.. math:: c'(v) = \big(c(v), \{\!\{ c(u) : u \in N(v) \}\!\}\big) \qquad
          c'(t) = \big(c(t), \{\!\{ c(t[1 \leftarrow x]) : x \}\!\}, \dots, \{\!\{ c(t[k \leftarrow x]) : x \}\!\}\big)

k-WL starts from the isomorphism type of the ordered k-tuple. Power: 2-WL = 1-WL, k-WL = (k-1)-FWL for k >= 3.
Source: Weisfeiler and Leman (1968); Cai, Fürer, Immerman (1992), An optimal lower bound on the number of variables for
graph identification; both forms compared: Huang and Villar (2021), A short tutorial on the Weisfeiler-Lehman test and
its variants. Differs: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles.oracle import Colours, refine_until_stable


def refine_1wl(graph: Graph, start: Colours | None = None) -> Iterator[int]:
    """1-WL from equal colours, or from the vertex colours `start` (n,) uint64."""
    from graphgdl.ops.refine import mix, neighbour_sum, pair

    indptr, indices = graph.csr()

    def step(c: Colours) -> Colours:
        return pair(c, neighbour_sum(indptr, indices, mix(c)))

    colours = np.zeros(graph.n, np.uint64) if start is None else start
    yield from refine_until_stable(colours[:, None], step)


def refine_kwl(graph: Graph, k: int) -> Iterator[int]:
    """Oblivious k-WL on all n^k tuples."""
    from graphgdl.ops.refine import mix, pair

    def step(c: Colours) -> Colours:
        mixed = mix(c)
        sums = [mixed.sum(axis=axis, keepdims=True, dtype=np.uint64) for axis in range(k)]
        return pair(c, reduce(np.add, [pair(np.uint64(axis), total) for axis, total in enumerate(sums)]))

    yield from refine_until_stable(atomic_types(graph, k), step)


def atomic_types(graph: Graph, k: int) -> Colours:
    """The isomorphism type of every ordered k-tuple, (n, ..., n) uint64: which entries are equal, which adjacent."""
    from graphgdl.ops.refine import mix, pair

    relation = mix(graph.adjacency().astype(np.uint64) + 2 * np.eye(graph.n, dtype=np.uint64))
    out = np.zeros((graph.n,) * k, np.uint64)
    for i in range(k):
        for j in range(i + 1, k):
            shape = [1] * k
            shape[i] = shape[j] = graph.n
            out = pair(out, relation.reshape(shape))
    return out

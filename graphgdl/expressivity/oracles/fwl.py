r"""The folklore k-dimensional Weisfeiler-Leman test, k = 1, 2, 3: k-FWL has the power of (k+1)-WL.

.. math:: c'(t) = \big(c(t), \{\!\{ (c(t[1 \leftarrow x]), \dots, c(t[k \leftarrow x])) : x \in V \}\!\}\big)

for k >= 2, from the isomorphism type of the ordered tuple t. For k = 1 the type of (v, x) stands beside c(x), as it
does in the definition of Cai, Fürer and Immerman for every k (for k >= 2 it is implied): 1-WL on dense matrices.

The multiset of k-tuples of colours is hashed as a sum of products, so a round of 2-FWL is one matrix product
modulo 2^64 (the observation behind PPGN: Maron et al. 2019, Provably powerful graph networks).
Source: Cai, Fürer, Immerman (1992), An optimal lower bound on the number of variables for graph identification.

Differs: two reformulations of 3-FWL that leave the stable partition as it is.
(1) The colours of a tuple and of its permutations determine each other (true of the types, kept by every round), so
that c(x, v, w), c(u, x, w), c(u, v, x) may be read as c(v, w, x), c(u, w, x), c(u, v, x): three contiguous rows.
(2) Cheaper refinements run first: 2-FWL, whose stable colours of its three pairs c(u, v, w) starts from, then rounds that
replace each coordinate by its neighbours only (sparse: n^2 e steps in the place of n^4), then 3-FWL. Each of them is
coarser than the stable 3-FWL colours, finer than the types and blind to no permutation of a tuple; refinement is monotone
and idempotent, so all starts end in one partition, and a difference met on the way is one that 3-FWL finds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles.oracle import Colours, refine_until_stable
from graphgdl.expressivity.oracles.wl import atomic_types


def refine_1fwl(graph: Graph) -> Iterator[int]:
    """1-FWL: each vertex sees all vertices, with how they stand to it (equal, adjacent, neither)."""
    yield from refine_by_relation(atomic_types(graph, 2))


def refine_by_relation(relation: Colours) -> Iterator[int]:
    """c'(v) = (c(v), {{ (relation(v, u), c(u)) : u }}) from equal colours; relation (n, n) uint64 hashes."""
    from graphgdl.ops.refine import matmul, mix, pair

    relation = mix(relation)

    def step(c: Colours) -> Colours:
        return pair(c, matmul(relation, mix(c)))

    yield from refine_until_stable(np.zeros((len(relation), 1), np.uint64), step)


def refine_2fwl(graph: Graph) -> Iterator[int]:
    """2-FWL on all ordered pairs."""
    yield from refine_until_stable(atomic_types(graph, 2), _step_2fwl)


def refine_3fwl(graph: Graph) -> Iterator[int]:
    """3-FWL on all ordered triples, after coarser refinements: n^4 steps and two arrays of 8 n^3 bytes a round."""
    from graphgdl.ops.refine import local_triple_round, mix, pair, triple_round

    indptr, indices = graph.csr()

    def local_step(c: Colours) -> Colours:
        return local_triple_round(indptr, indices, c, mix(c))

    pairs = yield from refine_until_stable(atomic_types(graph, 2), _step_2fwl)
    triples = pair(pair(pairs[:, :, None], pairs[:, None, :]), pairs[None, :, :])
    triples = yield from refine_until_stable(triples, local_step)
    yield from refine_until_stable(triples, triple_round)


def _step_2fwl(c: Colours) -> Colours:
    from graphgdl.ops.refine import matmul, mix, pair

    return pair(c, matmul(c, mix(c)))

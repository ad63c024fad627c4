r"""Refinements that know distances or walks: GD-WL by shortest paths or walk counts, and 1-WL from closed walks.

.. math:: c'(v) = \big(c(v), \{\!\{ (d(v, u), c(u)) : u \in V \}\!\}\big)

GD-WL with d the length of a shortest path (infinite between components), or d(v, u) = the numbers of walks of length
0 .. 16 from v to u. RWSE: 1-WL from c(v) = the numbers of closed walks of length 1 .. 16 at v.
Source: Zhang, Luo, Wang, He (2023), Rethinking the expressive power of GNNs via graph biconnectivity (GD-WL); Dwivedi
et al. (2022), Graph neural networks with learnable structural and positional representations (RWSE). Differs: the
number of walks in the place of their probability, because integers are exact.

Walk counts are kept modulo as many 48-bit primes as make the residues determine the count.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles.fwl import refine_by_relation
from graphgdl.expressivity.oracles.oracle import Colours
from graphgdl.expressivity.oracles.wl import refine_1wl

WALK_LENGTH = 16
# the largest primes below 2^48: a sum of 2^16 residues fits in 64 bits, and counts up to 2^256 in six residues
PRIMES = tuple(2**48 - k for k in (59, 65, 89, 93, 147, 165))


def refine_gd_spd(graph: Graph) -> Iterator[int]:
    """GD-WL with the lengths of shortest paths."""
    from graphgdl.ops.refine import hop_distances

    yield from refine_by_relation(hop_distances(*graph.csr()).astype(np.uint64))


def refine_gd_walks(graph: Graph) -> Iterator[int]:
    """GD-WL with the numbers of walks of length 0 .. 16 between all pairs."""
    yield from refine_by_relation(walk_colours(graph))


def refine_rwse(graph: Graph) -> Iterator[int]:
    """1-WL from the numbers of closed walks of length 1 .. 16 (length 0 adds nothing)."""
    yield from refine_1wl(graph, start=walk_colours(graph).diagonal().copy())


def walk_colours(graph: Graph, length: int = WALK_LENGTH) -> Colours:
    """The hash of (A^0, ..., A^length)[v, u] for all pairs, (n, n) uint64."""
    from graphgdl.ops.refine import neighbour_sum, pair

    indptr, indices = graph.csr()
    bits = length * int(graph.degrees().max(initial=1)).bit_length()
    out = np.zeros((graph.n, graph.n), np.uint64)
    for prime in PRIMES[: 1 + bits // 47]:
        walks = np.eye(graph.n, dtype=np.uint64)
        out = pair(out, walks)
        for _ in range(length):
            walks = neighbour_sum(indptr, indices, walks) % np.uint64(prime)
            out = pair(out, walks)
    return out

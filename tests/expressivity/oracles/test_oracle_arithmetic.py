"""The loops of graphgdl.ops.refine against Python integers, networkx and the published test vector."""

import networkx as nx
import numpy as np
import pytest
from oracle_graphs import atlas, complete, cycle, union

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles.distance import PRIMES, walk_colours
from graphgdl.ops import refine

WORD = 2**64


def words(shape, seed=0):
    return np.random.default_rng(seed).integers(0, WORD, shape, dtype=np.uint64)


def test_mix_is_splitmix64():
    """The first outputs of SplitMix64 seeded with 1234567, as published with its reference implementation."""
    step = 0x9E3779B97F4A7C15
    state = np.array([(1234567 + i * step) % WORD for i in range(3)], dtype=np.uint64)
    assert refine.mix(state).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_pair_is_ordered_and_injective_on_a_small_square():
    a, b = np.meshgrid(np.arange(200, dtype=np.uint64), np.arange(200, dtype=np.uint64))
    assert len(np.unique(refine.pair(a, b))) == 200 * 200


@pytest.mark.parametrize("shape", [(0, 0, 0), (1, 1, 1), (3, 5, 2), (7, 33, 8)])
def test_matmul_wraps(shape):
    n, k, m = shape
    a, b = words((n, k)), words((k, m), seed=1)
    exact = a.astype(object) @ b.astype(object) if k else np.zeros((n, m), object)
    assert refine.matmul(a, b).tolist() == (exact % WORD).tolist()


def test_neighbour_sum_is_the_product_with_the_adjacency_matrix():
    for graph in (union(cycle(5), complete(4)), *atlas(4)):
        x = words((graph.n, 3))
        expected = graph.adjacency().astype(np.uint64) @ x
        assert refine.neighbour_sum(*graph.csr(), x).tolist() == expected.tolist()


def test_triple_round_is_the_sum_over_x():
    n = 4
    c = words((n, n, n))

    def rotate(z, k):
        return ((z << k) | (z >> (64 - k))) % WORD

    out = refine.triple_round(c)
    for u, v, w in np.ndindex(n, n, n):
        total = sum(rotate(int(c[u, v, x]), 23) * rotate(int(c[u, w, x]), 43) * int(c[v, w, x]) for x in range(n))
        assert out[u, v, w] == refine.pair(c[u, v, w], np.uint64(total % WORD))


def test_local_triple_round_replaces_each_coordinate_by_its_neighbours():
    graph = Graph.from_edges(5, [(0, 1), (0, 2), (0, 3), (2, 3)])
    c = words((5, 5, 5))
    out = refine.local_triple_round(*graph.csr(), c, refine.mix(c))
    a, mixed = graph.adjacency().astype(np.uint64), refine.mix(c)
    expected = c
    for formula in ("ux,xvw->uvw", "vx,uxw->uvw", "wx,uvx->uvw"):
        expected = refine.pair(expected, np.einsum(formula, a, mixed))
    assert out.tolist() == expected.tolist()


def test_hop_distances_equal_networkx():
    for graph in atlas(5):
        g = nx.from_numpy_array(graph.adjacency())
        lengths = dict(nx.all_pairs_shortest_path_length(g))
        expected = [[lengths[u].get(v, -1) for v in range(graph.n)] for u in range(graph.n)]
        assert refine.hop_distances(*graph.csr()).tolist() == expected


@pytest.mark.parametrize("kinds", [1, 3, 200, 5000])
def test_same_partition_against_dictionaries(kinds):
    old = words(kinds)[np.random.default_rng(1).integers(0, kinds, 6000)]
    new = refine.mix(old)
    assert refine.same_partition(old, new)
    assert refine.same_partition(old.reshape(60, 100), new.reshape(60, 100))
    values, counts = np.unique(old, return_counts=True)
    place = np.flatnonzero(old == values[counts.argmax()])[-1]
    new[place] += np.uint64(1)
    assert not refine.same_partition(old, new)


def test_refine_rows_and_cells_on_two_colourings_of_a_path():
    """Row 0 starts blank and ends in {ends}, {inner}; row 1 marks an end and becomes discrete."""
    indptr, indices = np.array([0, 1, 3, 5, 6]), np.array([1, 0, 2, 1, 3, 2])
    colours = np.zeros((2, 4), np.uint64)
    colours[1, 0] = 1
    own = refine.refine_rows(indptr, indices, colours)
    assert own[0] != own[1]
    assert [len(set(row)) for row in colours.tolist()] == [2, 4]
    assert colours[0, 0] == colours[0, 3]
    assert colours[0, 1] == colours[0, 2]
    sizes, cells = refine.smallest_cells(colours)
    assert sizes.tolist() == [2, 0]
    assert cells[0] == min(colours[0])
    children = refine.individualise(colours, sizes, cells)
    members = np.flatnonzero(colours[0] == cells[0])
    assert [np.flatnonzero(child != colours[0]).tolist() for child in children] == [[v] for v in members]


def is_prime(n):
    """Miller-Rabin with the first twelve primes, exact below 3e23."""
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1

    def passes(a):
        x = pow(a, d, n)
        return x in (1, n - 1) or any((x := x * x % n) == n - 1 for _ in range(s - 1))

    return all(passes(a) for a in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37))


def test_the_moduli_of_the_walk_counts_are_the_largest_48_bit_primes():
    assert [p for p in range(2**48 - 1, PRIMES[-1] - 1, -2) if is_prime(p)] == list(PRIMES)


def test_walk_counts_beyond_64_bits_stay_exact():
    """Two entries of complete(60)'s 16th power differ by one in 90 bits; the colours of a graph hold them all."""
    graph = complete(60)
    a, power = graph.adjacency().astype(object), np.eye(60, dtype=object)
    for _ in range(16):
        power = power @ a
    assert power[0, 1] > WORD
    assert abs(power[0, 0] - power[0, 1]) == 1
    colours = walk_colours(graph)
    assert len(np.unique(colours)) == 2
    residues = [tuple(int(power[0, v]) % p for p in PRIMES[: 1 + 16 * 6 // 47]) for v in (0, 1)]
    assert residues[0] != residues[1]
    product = 1
    for p in PRIMES[: 1 + 16 * 6 // 47]:
        product *= p
    assert power.max() < product

"""Invariance, hierarchy and consistency of the oracles, on random and on hard graphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_graphs import BASES, EDGE, EMPTY, PAIRS, POINT, cfi_pair, circulant, union

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles import ORACLES

FINER = [
    ("1-wl", "gd-wl-spd"),
    ("1-wl", "rwse-wl"),
    ("gd-wl-spd", "gd-wl-walks"),  # walks of length up to 16 know the distances of these small graphs
    ("rwse-wl", "gd-wl-walks"),
    ("gd-wl-walks", "2-fwl"),
    ("1-wl", "node-marking"),
    ("rwse-wl", "node-marking"),
    ("node-marking", "sswl"),
    ("node-marking", "local-2-fwl"),
    ("node-marking", "pair-marking"),
    ("local-2-fwl", "2-fwl"),
    ("sswl", "2-fwl"),
    ("2-fwl", "3-fwl"),
    ("pair-marking", "3-fwl"),
    ("1-wl", "search-tree-1"),
    ("search-tree-1", "search-tree-2"),
    ("search-tree-2", "search-tree-3"),
]
EQUAL = [("1-wl", "1-fwl"), ("1-wl", "2-wl"), ("2-fwl", "3-wl")]


@st.composite
def graphs(draw, max_n=8):
    n = draw(st.integers(0, max_n))
    pairs = [(u, v) for v in range(n) for u in range(v)]
    keep = draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    return Graph.from_edges(n, [p for p, k in zip(pairs, keep) if k])


@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=15)
@given(graph=graphs(), data=st.data())
def test_relabelling_changes_no_round(name, graph, data):
    other = graph.permute(data.draw(st.permutations(range(graph.n))))
    oracle = ORACLES[name]
    assert list(oracle.rounds(graph)) == list(oracle.rounds(other))
    assert not oracle.separates(graph, other)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", ORACLES)
def test_isomorphic_graphs_are_never_separated(name, pair):
    rng = np.random.default_rng(7)
    for graph in PAIRS[pair]:
        other = graph.permute(rng.permutation(graph.n))
        assert not ORACLES[name].separates(graph, other)
        assert ORACLES[name].fingerprint(graph) == ORACLES[name].fingerprint(other)


@pytest.mark.parametrize("name", ORACLES)
def test_separates_agrees_with_fingerprints(name):
    for g, h in PAIRS.values():
        oracle = ORACLES[name]
        assert oracle.separates(g, h) == (oracle.fingerprint(g) != oracle.fingerprint(h))
        assert 0 <= oracle.fingerprint(g) < 2**64


@pytest.mark.parametrize("name", ORACLES)
def test_graphs_of_another_size_are_separated(name):
    """Also where there is nothing to refine: no vertex, one vertex, no edge."""
    small = [EMPTY, POINT, union(POINT, POINT), EDGE, union(EDGE, POINT)]
    assert len({ORACLES[name].fingerprint(g) for g in small}) == len(small)


@settings(max_examples=80)
@given(g=graphs(max_n=7), h=graphs(max_n=7))
def test_a_finer_oracle_separates_whatever_a_coarser_one_does(g, h):
    check_hierarchy(g, h)


@pytest.mark.parametrize("pair", PAIRS)
def test_hierarchy_on_hard_pairs(pair):
    check_hierarchy(*PAIRS[pair])


def check_hierarchy(g, h):
    verdict = {name: oracle.separates(g, h) for name, oracle in ORACLES.items()}
    for coarse, fine in FINER:
        assert verdict[coarse] <= verdict[fine], (coarse, fine)
    for one, other in EQUAL:
        assert verdict[one] == verdict[other], (one, other)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_fwl_separates_a_cfi_pair_iff_the_treewidth_is_at_most_k(k, base):
    """Cai, Fürer, Immerman (1992); Dawar and Richerby (2007) for the treewidth. 3-FWL leaves the pair over K5."""
    graph, treewidth = BASES[base]
    assert ORACLES[f"{k}-fwl"].separates(*cfi_pair(graph)) == (treewidth <= k)


@pytest.mark.parametrize(("name", "count"), [("1-wl", 1), ("2-fwl", 10), ("node-marking", 10), ("search-tree-1", 10)])
def test_circulant_skip_links(name, count):
    graphs = [circulant(41, 1, skip) for skip in (2, 3, 4, 5, 6, 9, 11, 12, 13, 16)]
    assert len({ORACLES[name].fingerprint(g) for g in graphs}) == count


def test_rounds_stop_at_the_first_difference():
    """A star and a path part by their degrees after one round; the generators are not run on."""
    path, star = Graph.from_edges(4, [(0, 1), (1, 2), (2, 3)]), Graph.from_edges(4, [(0, 1), (0, 2), (0, 3)])
    a, b = list(ORACLES["1-wl"].rounds(path)), list(ORACLES["1-wl"].rounds(star))
    assert a[0] == b[0]
    assert a[1] != b[1]
    assert len(a) == len(b) == 3  # the start, the degrees, and the round that finds them stable

"""Running an oracle over many graphs: threads, progress, classes, errors."""

from itertools import combinations

import numpy as np
import pytest
from oracle_graphs import PAIRS, atlas

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles import ORACLES, Oracle, classes, compare, merged_pairs

GRAPHS = [g for pair in PAIRS.values() for g in pair]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_compare_is_separates_pair_by_pair(jobs):
    """Pairs whose graphs occur once and pairs that share a graph take two ways to one answer."""
    oracle = ORACLES["node-marking"]
    apart = np.arange(len(GRAPHS)).reshape(-1, 2)
    mixed = np.concatenate([apart, [[0, 2], [0, 0], [5, 4]]])
    for pairs in (apart, mixed):
        expected = [oracle.separates(GRAPHS[i], GRAPHS[j]) for i, j in pairs]
        assert compare(oracle, GRAPHS, pairs, jobs=jobs).tolist() == expected


@pytest.mark.parametrize("jobs", [1, 2])
def test_classes_are_the_pairs_not_separated(jobs):
    graphs = atlas(6)
    labels = classes(ORACLES["1-wl"], graphs, jobs=jobs)
    left = [(i, j) for i, j in combinations(range(len(graphs)), 2) if labels[i] == labels[j]]
    assert merged_pairs(labels) == len(left)
    assert not compare(ORACLES["1-wl"], graphs, left).any()
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_counts_to_the_end(jobs):
    calls = []
    compare(ORACLES["1-wl"], GRAPHS, [[0, 1], [2, 3], [2, 4]], jobs=jobs, progress=lambda *a: calls.append(a))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]  # one pair, and the three graphs of the other two


def test_nothing_to_do():
    assert compare(ORACLES["1-wl"], GRAPHS, np.zeros((0, 2), int)).shape == (0,)
    assert classes(ORACLES["1-wl"], []).shape == (0,)
    assert merged_pairs(classes(ORACLES["1-wl"], [])) == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_a_thread_comes_out(jobs):
    def broken(graph):
        raise ArithmeticError("no colours")
        yield

    oracle = Oracle("broken", "broken", "none", broken)
    with pytest.raises(ArithmeticError, match="no colours"):
        compare(oracle, GRAPHS, [[0, 1], [2, 3]], jobs=jobs)


def test_errors():
    oracle = ORACLES["1-wl"]
    with pytest.raises(ValueError, match=r"`pairs` must have shape \(p, 2\), got \(3,\)"):
        compare(oracle, GRAPHS, np.arange(3))
    with pytest.raises(ValueError, match=r"`pairs` must lie in 0\.\.1, got 0\.\.2"):
        compare(oracle, GRAPHS[:2], [[0, 2]])
    with pytest.raises(ValueError, match="`jobs` must be at least 1, got 0"):
        classes(oracle, GRAPHS, jobs=0)


def test_threads_give_the_same_fingerprints():
    graph = Graph.from_edges(5, [(0, 1), (1, 2), (3, 4)])
    for oracle in ORACLES.values():
        assert classes(oracle, [graph] * 8, jobs=4).tolist() == [0] * 8

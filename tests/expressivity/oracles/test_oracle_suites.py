"""The exact ceilings of the public suites, to the last pair."""

import numpy as np
import pytest

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles import ORACLES, classes, compare, leaf_counts, merged_pairs, parting_depth

pytestmark = pytest.mark.data
RANGES = {
    "basic": (0, 60),
    "regular": (60, 110),
    "srg": (110, 160),
    "4vtx": (360, 380),
    "dr": (380, 400),
    "extension": (160, 260),
    "cfi": (260, 360),
}
CEILINGS = {
    "1-wl": (0, 0, 0, 0, 0, 0, 0),
    "1-fwl": (0, 0, 0, 0, 0, 0, 0),
    "2-wl": (0, 0, 0, 0, 0, 0, 0),
    "gd-wl-spd": (16, 14, 0, 0, 0, 41, 12),
    "rwse-wl": (60, 50, 0, 0, 0, 100, 7),
    "gd-wl-walks": (60, 50, 0, 0, 0, 100, 26),
    "node-marking": (60, 50, 0, 0, 0, 100, 41),
    "local-2-fwl": (60, 50, 0, 0, 0, 100, 49),
    "sswl": (60, 50, 0, 0, 0, 100, 57),
    "2-fwl": (60, 50, 0, 0, 0, 100, 60),
    "pair-marking": (60, 50, 50, 20, 0, 100, 41),
    "3-wl": (60, 50, 0, 0, 0, 100, 60),
    "3-fwl": (60, 50, 50, 20, 20, 100, 80),
}
SLOW = {"3-wl", "3-fwl"}


def read(path):
    return [Graph.from_graph6(line) for line in path.read_text().split()]


@pytest.fixture(scope="module")
def brec(data_root):
    return read(data_root / "brec" / "brec_v3_pairs.g6")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CEILINGS])
def test_brec_ceilings(name, brec):
    verdict = compare(ORACLES[name], brec, np.arange(800).reshape(400, 2), jobs=2)
    assert tuple(int(verdict[a:b].sum()) for a, b in RANGES.values()) == CEILINGS[name]
    if name == "3-fwl":
        assert np.flatnonzero(~verdict).tolist() == list(range(340, 360))


def test_3fwl_separates_the_regular_pairs_that_2fwl_leaves(brec):
    """Strongly regular and distance regular graphs part in the first rounds; the CFI pairs are in the slow test."""
    pairs = np.arange(800).reshape(400, 2)[[*range(110, 160, 4), *range(380, 400, 4)]]
    assert not compare(ORACLES["2-fwl"], brec, pairs).any()
    assert compare(ORACLES["3-fwl"], brec, pairs, jobs=2).all()


@pytest.mark.slow
def test_every_brec_pair_parts_in_the_search_tree(brec):
    """Pair 356 has 737,280 leaves a graph: minutes and two gigabytes."""
    depth = [parting_depth(brec[2 * i], brec[2 * i + 1], max_depth=20) for i in range(400)]
    assert None not in depth
    assert min(depth) >= 1
    assert max(depth) <= 14


def test_parting_depths_of_brec(brec):
    """Basic 1-2, simple regular 1, strongly regular 2, distance regular 3-4 (a sample of each)."""
    expected = {range(0, 60): {1, 2}, range(60, 110): {1}, range(110, 160, 8): {2}, (384, 396): {3, 4}}
    for ids, depths in expected.items():
        assert {parting_depth(brec[2 * i], brec[2 * i + 1]) for i in ids} <= depths
    assert leaf_counts(brec[120], 1)[-1] == brec[120].n  # simple regular: every vertex once


def test_pairs_left_of_the_connected_graphs_on_8_vertices(data_root):
    graphs = read(data_root / "graph8c" / "graph8c.g6")
    assert len(graphs) == 11117
    labels = classes(ORACLES["1-wl"], graphs, jobs=2)
    assert merged_pairs(labels) == 312
    together = [g for g, n in zip(graphs, np.bincount(labels)[labels]) if n > 1]  # all that a finer oracle can merge
    for name, left in (("gd-wl-spd", 186), ("node-marking", 0), ("2-fwl", 0)):
        assert merged_pairs(classes(ORACLES[name], together, jobs=2)) == left


@pytest.mark.slow
@pytest.mark.parametrize(("name", "left"), [("gd-wl-spd", 186), ("node-marking", 0), ("2-fwl", 0)])
def test_the_same_without_help_from_1wl(name, left, data_root):
    graphs = read(data_root / "graph8c" / "graph8c.g6")
    assert merged_pairs(classes(ORACLES[name], graphs, jobs=2)) == left


@pytest.mark.parametrize("family", ["sr16622", "sr251256", "sr261034", "sr281264"])
def test_strongly_regular_families(family, data_root):
    """Equal parameters are one class of 2-FWL; marking a pair tells them all apart."""
    graphs = read(data_root / "sr_graphs" / f"{family}.g6")
    assert set(classes(ORACLES["2-fwl"], graphs).tolist()) == {0}
    assert len(set(classes(ORACLES["pair-marking"], graphs, jobs=2).tolist())) == len(graphs)


def test_csl_files(data_root):
    graphs = read(data_root / "csl" / "csl.g6")
    labels = (data_root / "csl" / "labels.txt").read_text().split()
    assert len(set(classes(ORACLES["1-wl"], graphs).tolist())) == 1
    for name in ("2-fwl", "node-marking"):
        found = classes(ORACLES[name], graphs, jobs=2).tolist()
        assert len(set(found)) == len(set(zip(found, labels))) == len(set(labels)) == 10

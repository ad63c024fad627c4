"""Every oracle against its definition, written a second time without hashes (exact_refinement.py)."""

import numpy as np
import pytest
from exact_refinement import CLASSES
from oracle_graphs import EDGE, EMPTY, PAIRS, POINT, atlas

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles import ORACLES, classes

CUBIC = {"3-wl", "3-fwl"}
TREES = {"search-tree-1", "search-tree-2", "search-tree-3"}


def partition(labels):
    names = {}
    return [names.setdefault(int(x), len(names)) for x in labels]


def test_every_oracle_has_a_reference_or_is_a_tree():
    assert set(ORACLES) == set(CLASSES) | TREES


@pytest.mark.parametrize("name", CLASSES)
def test_same_classes_on_all_small_graphs(name):
    graphs = [*atlas(5 if name in CUBIC else 6), EMPTY, POINT, EDGE]
    assert partition(classes(ORACLES[name], graphs)) == partition(CLASSES[name](graphs))


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_same_classes_on_the_whole_atlas(name):
    graphs = atlas(6 if name in CUBIC else 7)
    assert partition(classes(ORACLES[name], graphs)) == partition(CLASSES[name](graphs))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", CLASSES)
def test_same_verdict_on_hard_pairs(name, pair):
    g, h = PAIRS[pair]
    if name in CUBIC and g.n > 16:
        pytest.fail("keep the hard pairs small: the reference is cubic")
    a, b = CLASSES[name]([g, h])
    assert ORACLES[name].separates(g, h) == (a != b)


@pytest.mark.parametrize("name", CLASSES)
def test_same_classes_on_random_graphs(name):
    rng = np.random.default_rng(0)
    graphs = []
    for n in (6, 7, 8):
        for _ in range(8):
            a = np.triu(rng.random((n, n)) < 0.4, 1)
            g = Graph.from_adjacency((a | a.T).astype(np.uint8))
            graphs += [g, g.permute(rng.permutation(n))]
    assert partition(classes(ORACLES[name], graphs)) == partition(CLASSES[name](graphs))


def test_the_hard_pairs_tell_the_oracles_apart():
    """The pairs above are no use if all oracles agree on them."""
    verdicts = {name: tuple(ORACLES[name].separates(g, h) for g, h in PAIRS.values()) for name in CLASSES}
    assert len(set(verdicts.values())) >= 5, verdicts


@pytest.mark.data
@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        ("gd-wl-walks", "node-marking"),
        ("node-marking", "local-2-fwl"),
        ("local-2-fwl", "sswl"),
        pytest.param("sswl", "2-fwl", marks=pytest.mark.slow),
    ],
)
def test_same_verdict_where_neighbours_in_the_hierarchy_differ(coarse, fine, data_root):
    """On the smallest BREC pair that one of two oracles of near-equal power separates and the other does not."""
    text = (data_root / "brec" / "brec_v3_pairs.g6").read_text().split()
    graphs = [Graph.from_graph6(line) for line in text[520:720]]
    couples = sorted(zip(graphs[::2], graphs[1::2]), key=lambda pair: pair[0].n)
    g, h = next(p for p in couples if ORACLES[fine].separates(*p) and not ORACLES[coarse].separates(*p))
    for name, verdict in ((coarse, False), (fine, True)):
        a, b = CLASSES[name]([g, h])
        assert (a != b) == verdict, (name, g.n)

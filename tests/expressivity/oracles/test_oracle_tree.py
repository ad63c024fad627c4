"""The search tree: its rule against a recursive definition, its depth, its leaves."""

from itertools import combinations

import numpy as np
import pytest
from oracle_graphs import PAIRS, atlas, circulant, complete, cycle, rook4

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles import ORACLES, classes, leaf_counts, parting_depth, search_tree


def recursive_tree(graph, depth):
    """The tree's invariant from the definition, exact; the second value says whether its shape depended on a tie."""
    near = {v: [] for v in range(graph.n)}
    for u, v in graph.edges.tolist():
        near[u].append(v)
        near[v].append(u)

    def refine(colour):
        while True:
            new = {v: (colour[v], tuple(sorted(colour[u] for u in near[v]))) for v in near}
            trace.append(tuple(sorted(new.values())))
            rank = {s: i for i, s in enumerate(sorted(set(new.values())))}
            new = {v: rank[s] for v, s in new.items()}
            if len(rank) == len(set(colour.values())):
                return new
            colour = new

    def grow(colour, left):
        trace.clear()
        colour = refine(colour)
        own = tuple(trace)
        cells = {}
        for v, c in colour.items():
            cells.setdefault(c, []).append(v)
        open_cells = sorted((len(cell), c) for c, cell in cells.items() if len(cell) > 1)
        if left == 0 or not open_cells:
            return (own, ()), False, 1
        tied = len(open_cells) > 1 and open_cells[0][0] == open_cells[1][0]
        parts = [grow({**colour, v: graph.n + colour[v]}, left - 1) for v in cells[open_cells[0][1]]]
        bag = tuple(sorted(p[0] for p in parts))
        return (own, bag), tied or any(p[1] for p in parts), sum(p[2] for p in parts)

    trace = []
    return grow(dict.fromkeys(range(graph.n), 0), depth)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_equals_the_recursive_definition_where_no_tie_decides(depth):
    graphs = [*atlas(6), *(g for pair in PAIRS.values() for g in pair)]
    rng = np.random.default_rng(3)
    graphs += [g.permute(rng.permutation(g.n)) for g in graphs[::3]]
    expected, kept = [], []
    for g in graphs:
        invariant, tied, leaves = recursive_tree(g, depth)
        if not tied:
            kept.append(g)
            expected.append((g.n, invariant))
            assert leaf_counts(g, depth)[-1] == leaves
    assert len(kept) > 100
    found = [search_tree(depth).fingerprint(g) for g in kept]
    for i, j in combinations(range(len(kept)), 2):
        assert (found[i] == found[j]) == (expected[i] == expected[j])


def test_deep_trees_tell_all_small_graphs_apart():
    graphs = atlas(6)
    assert len(set(classes(search_tree(6), graphs).tolist())) == len(graphs)


def test_depth_zero_is_colour_refinement():
    graphs = [*atlas(6), *(g for pair in PAIRS.values() for g in pair)]
    assert classes(search_tree(0), graphs).tolist() == classes(ORACLES["1-wl"], graphs).tolist()


def test_leaves():
    """n at depth 1 of a vertex-transitive graph; all n! of a complete graph; a discrete colouring is one leaf."""
    assert leaf_counts(circulant(13, 1, 3), 1) == [1, 13]
    assert leaf_counts(complete(5), 9) == [1, 5, 20, 60, 120]
    asymmetric = Graph.from_edges(7, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (2, 6)])
    assert leaf_counts(asymmetric, 3) == [1]
    assert leaf_counts(cycle(5), 5) == [1, 5, 10]


def test_parting_depth():
    assert parting_depth(*PAIRS["hexagon, two triangles"]) == 1
    assert parting_depth(cycle(5), complete(5)) == 0
    assert parting_depth(*PAIRS["rook, Shrikhande"]) == 2
    assert parting_depth(*PAIRS["rook, Shrikhande"], max_depth=1) is None
    assert parting_depth(rook4(), rook4().permute(np.random.default_rng(0).permutation(16))) is None


def test_negative_depth_is_refused():
    with pytest.raises(ValueError, match="`depth` must be at least 0, got -1"):
        search_tree(-1)

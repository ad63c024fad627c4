"""The strongly regular families: parameters by counting, non-isomorphism by networkx, the published lists."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites import godsil_mckay, load_suite, srg_parameters, switch
from graphgdl.expressivity.suites.circulant import circulant
from graphgdl.expressivity.suites.families import chang, rook, shrikhande, triangular
from graphgdl.expressivity.suites.latin import MAIN_CLASSES, cyclic_square, latin_square_graph
from graphgdl.expressivity.suites.strongly_regular import check_family
from graphgdl.expressivity.suites.two_graphs import steiner_triple_systems, two_graphs

FAMILIES = {
    "sr16": ((16, 6, 2, 2), 2),
    "sr25": ((25, 12, 5, 6), 15),
    "sr26": ((26, 10, 3, 4), 10),
    "sr28": ((28, 12, 6, 4), 4),
    "latin36": ((36, 15, 6, 6), 12),
}


def as_nx(graph):
    g = nx.empty_graph(graph.n)
    g.add_edges_from(graph.edges.tolist())
    return g


def invariant(g):
    """Isomorphism-invariant: for every vertex, the degrees and triangles inside its neighbourhood and outside it."""
    rows = []
    for v in g:
        inside = g.subgraph(g[v])
        outside = g.subgraph(set(g) - set(g[v]) - {v})
        rows.append(tuple(tuple(sorted(zip(*_local(h)))) for h in (inside, outside)))
    return tuple(sorted(rows))


def _local(h):
    triangles, squares = nx.triangles(h), nx.square_clustering(h)
    return list(triangles.values()), [round(x, 9) for x in squares.values()]


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_by_counting_common_neighbours(name):
    (n, k, lam, mu), count = FAMILIES[name]
    suite = load_suite(name)
    assert suite.facts["srg"] == (n, k, lam, mu)
    assert len(suite.graphs) == count
    assert suite.num_pairs == count * (count - 1) // 2
    for graph in suite.graphs:
        g = as_nx(graph)
        assert {d for _, d in g.degree()} == {k}
        assert len(g) == n
        for u, v in combinations(range(n), 2):
            assert len(set(g[u]) & set(g[v])) == (lam if g.has_edge(u, v) else mu)


@pytest.mark.parametrize("name", FAMILIES)
def test_pairwise_not_isomorphic(name):
    invariants = [invariant(as_nx(graph)) for graph in load_suite(name).graphs]
    assert len(set(invariants)) == len(invariants)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "file"), [("sr16", "sr16622"), ("sr25", "sr251256"), ("sr26", "sr261034"), ("sr28", "sr281264")]
)
def test_one_to_one_isomorphic_to_the_published_list(data_root, name, file):
    ours = [as_nx(graph) for graph in load_suite(name).graphs]
    lines = (data_root / "sr_graphs" / f"{file}.g6").read_bytes().split()
    published = {invariant(g): g for g in map(nx.from_graph6_bytes, lines)}
    assert len(lines) == len(published) == len(ours)
    for g in ours:
        assert nx.vf2pp_is_isomorphic(g, published.pop(invariant(g)))
    assert not published


def test_named_graphs():
    assert srg_parameters(rook(5)) == (25, 8, 3, 2)
    assert srg_parameters(triangular(6)) == (15, 8, 4, 4)
    assert nx.is_isomorphic(as_nx(triangular(5)), nx.complement(nx.petersen_graph()))
    assert nx.is_isomorphic(as_nx(rook(4)), nx.line_graph(nx.complete_bipartite_graph(4, 4)))
    # the neighbourhood of a vertex: two triangles in the rook's graph, a hexagon in Shrikhande's
    assert nx.is_isomorphic(as_nx(shrikhande()).subgraph(as_nx(shrikhande())[0]), nx.cycle_graph(6))
    # T(8) holds a clique of size 7, no Chang graph does
    largest, *others = (max(map(len, nx.find_cliques(as_nx(g)))) for g in (triangular(8), *chang()))
    assert largest == 7 > max(others)
    assert nx.is_isomorphic(as_nx(latin_square_graph(cyclic_square(5))), _paley25())


def _paley25():
    """Paley graph of GF(25) = GF(5)[t] / (t^2 - 2), adjacent if the difference is a square."""
    elements = [(a, b) for a in range(5) for b in range(5)]
    squares = {((a * a + 2 * b * b) % 5, 2 * a * b % 5) for a, b in elements} - {(0, 0)}
    assert len(squares) == 12
    index = {x: i for i, x in enumerate(elements)}
    g = nx.empty_graph(25)
    g.add_edges_from(
        (index[x], index[y]) for x, y in combinations(elements, 2) if ((x[0] - y[0]) % 5, (x[1] - y[1]) % 5) in squares
    )
    return g


def test_seeds_are_what_they_claim():
    for system in steiner_triple_systems():
        covered = [pair for block in system for pair in combinations(block, 2)]
        assert sorted(covered) == list(combinations(range(13), 2))
    assert len(set(MAIN_CLASSES)) == 12
    for graph in two_graphs():  # regular: every pair of points lies in the same number of odd triples
        a = 1 - 2 * graph.adjacency().astype(int) - np.eye(26, dtype=int)
        eigenvalues = np.linalg.eigvalsh(a)
        assert np.unique(eigenvalues.round(9)).tolist() == [-5, 5]


def test_switching_is_an_involution_and_keeps_the_two_graph():
    graph = Graph.from_networkx(nx.gnp_random_graph(12, 0.4, seed=0))
    chosen = [1, 4, 5, 9]
    switched = switch(graph, chosen)
    assert switch(switched, chosen) == graph != switched
    assert switch(graph, range(12)) == graph
    a, b = graph.adjacency(), switched.adjacency()
    for u, v, w in combinations(range(12), 3):
        assert (a[u, v] + a[v, w] + a[u, w]) % 2 == (b[u, v] + b[v, w] + b[u, w]) % 2


def test_godsil_mckay_keeps_the_spectrum_and_leaves_the_rook_for_shrikhande():
    board = np.arange(16).reshape(4, 4)
    diagonal = board.diagonal().tolist()
    switched = godsil_mckay(rook(4), diagonal)
    assert srg_parameters(switched) == (16, 6, 2, 2)
    assert nx.is_isomorphic(as_nx(switched), as_nx(shrikhande()))
    assert np.allclose(np.linalg.eigvalsh(switched.adjacency()), np.linalg.eigvalsh(rook(4).adjacency()))
    for switching in (switch, godsil_mckay):
        with pytest.raises(ValueError, match=r"`vertices` must lie in 0..15, got \[-1, 3\]"):
            switching(rook(4), [3, -1])
    with pytest.raises(ValueError, match=r"`vertices` must be a Godsil-McKay switching set, got \[0, 1, 2\]"):
        godsil_mckay(rook(4), [0, 1, 2])


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (Graph(0, []), None),
        (Graph(5, []), None),
        (circulant(5, (1, 2)), None),
        (circulant(7, (1,)), None),
        (Graph.from_edges(4, [(0, 1), (1, 2)]), None),
        (Graph.from_networkx(nx.petersen_graph()), (10, 3, 0, 1)),
        (Graph.from_networkx(nx.disjoint_union(nx.complete_graph(3), nx.complete_graph(3))), (6, 2, 1, 0)),
        (Graph.from_networkx(nx.hypercube_graph(3)), None),
    ],
)
def test_srg_parameters(graph, expected):
    assert srg_parameters(graph) == expected


def test_a_family_with_a_wrong_member_is_refused():
    good = rook(4)
    edges = np.delete(good.edges, 0, axis=0)
    with pytest.raises(
        ValueError,
        match=r"mine, graph 2: expected srg\(16, 6, 2, 2\), got no strongly regular graph \(n=16, 47 edges\)",
    ):
        check_family("mine", [good, Graph(16, edges)], (16, 6, 2, 2))
    with pytest.raises(ValueError, match=r"mine, graph 1: expected srg\(16, 6, 2, 2\), got srg\(25, 8, 3, 2\)"):
        check_family("mine", [rook(5)], (16, 6, 2, 2))


@pytest.mark.parametrize("square", [["01", "01"], ["012", "120"], ["01", "12"], ["0"] * 2])
def test_no_latin_square(square):
    with pytest.raises(ValueError, match="`square` must be a Latin square, got"):
        latin_square_graph(square)

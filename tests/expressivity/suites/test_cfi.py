"""CFI pairs against isomorphism tests, homomorphism parity and the theorem on k-FWL."""

import networkx as nx
import numpy as np
import pytest

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites import load_suite
from graphgdl.expressivity.suites.cfi import bases, cfi_graph, cfi_pair, generalized_petersen, grid
from graphgdl.expressivity.suites.circulant import circulant


def as_nx(graph):
    g = nx.Graph()
    g.add_nodes_from(range(graph.n), label="")
    g.add_edges_from(graph.edges.tolist())
    return g


SMALL = {"K4": circulant(4, (1, 2)), "K2,3": bases()["K2,3"], "C5": circulant(5, (1,)), "prism": circulant(6, (2, 3))}


@pytest.mark.parametrize("name", SMALL)
def test_one_twist_changes_the_graph_and_two_do_not(name):
    base = SMALL[name]
    plain, twisted = map(as_nx, cfi_pair(base))
    assert not nx.is_isomorphic(plain, twisted)
    assert sorted(d for _, d in plain.degree()) == sorted(d for _, d in twisted.degree())
    assert nx.is_isomorphic(twisted, as_nx(cfi_graph(base, (base.n - 1,))))
    assert nx.is_isomorphic(plain, as_nx(cfi_graph(base, (0, base.n - 1))))
    assert nx.is_isomorphic(twisted, as_nx(cfi_graph(base, range(3))))


@pytest.mark.parametrize("name", SMALL)
def test_definition_vertex_by_vertex(name):
    base = SMALL[name]
    for twisted in ((), (1,)):
        at = {v: [tuple(e) for e in base.edges.tolist() if v in e] for v in range(base.n)}
        vertices = []
        for v in range(base.n):
            for bits in np.ndindex(*(2,) * len(at[v])):
                if sum(bits) % 2 == (v in twisted):
                    vertices.append((v, {e for e, bit in zip(at[v], bits) if bit}))
        g = nx.empty_graph(len(vertices))
        for i, (u, s) in enumerate(vertices):
            for j, (v, t) in enumerate(vertices[:i]):
                e = (min(u, v), max(u, v))
                if list(e) in base.edges.tolist() and (e in s) == (e in t):
                    g.add_edge(i, j)
        assert nx.is_isomorphic(g, as_nx(cfi_graph(base, twisted)))


def test_over_a_cycle_the_pair_is_two_cycles_and_one():
    plain, twisted = map(as_nx, cfi_pair(circulant(7, (1,))))
    assert nx.is_isomorphic(plain, nx.disjoint_union(nx.cycle_graph(7), nx.cycle_graph(7)))
    assert nx.is_isomorphic(twisted, nx.cycle_graph(14))


def test_one_wl_parts_the_pairs_over_trees_alone():
    suite = load_suite("cfi")
    for i, (a, b) in enumerate(suite.pair_ids().tolist()):
        colours = [
            nx.weisfeiler_lehman_graph_hash(as_nx(suite.graphs[j]), node_attr="label", iterations=20) for j in (a, b)
        ]
        assert (colours[0] != colours[1]) == (suite.category_of(i) == "treewidth 1")


@pytest.mark.parametrize(("oracle", "k"), [("1-fwl", 1), ("2-fwl", 2), ("3-fwl", 3)])
def test_k_fwl_parts_a_pair_exactly_if_the_treewidth_is_at_most_k(oracle, k):
    from graphgdl.expressivity.oracles import ORACLES

    suite = load_suite("cfi")
    separates = ORACLES[oracle].separates
    for (a, b), width in zip(suite.pair_ids().tolist(), suite.facts["treewidth"]):
        assert separates(suite.graphs[a], suite.graphs[b]) == (width <= k), (suite.facts["bases"][a // 2], width)


def test_a_suite_over_a_users_own_bases(tmp_path):
    path = tmp_path / "bases.g6"
    path.write_bytes(b"".join(nx.to_graph6_bytes(g, header=False) for g in (nx.complete_graph(4), nx.path_graph(3))))
    suite = load_suite(f"cfi:{path}")
    assert suite.name == "cfi:bases.g6"
    assert suite.graphs == (*cfi_pair(SMALL["K4"]), *cfi_pair(Graph.from_edges(3, [(0, 1), (1, 2)])))
    assert suite.categories == ("treewidth 3", "treewidth 1")
    with open(path, "ab") as file:
        file.write(nx.to_graph6_bytes(nx.empty_graph(3), header=False))
    with pytest.raises(ValueError, match=r"suite cfi:bases.g6, base bases.g6 line 3: `base` must be connected"):
        load_suite(f"cfi:{path}")
    with pytest.raises(FileNotFoundError, match=r"none.g6: expected a graph6 file, found none"):
        load_suite(f"cfi:{tmp_path / 'none.g6'}")


def test_bases_are_what_their_names_say():
    by_name = bases()
    expected = {
        "path P5": nx.path_graph(5),
        "star K1,4": nx.star_graph(4),
        "binary tree": nx.balanced_tree(2, 2),
        "cycle C3": nx.cycle_graph(3),
        "cycle C10": nx.cycle_graph(10),
        "K2,3": nx.complete_bipartite_graph(2, 3),
        "grid 2x5": nx.grid_2d_graph(2, 5),
        "K4": nx.complete_graph(4),
        "prism 3": nx.circular_ladder_graph(3),
        "K3,3": nx.complete_bipartite_graph(3, 3),
        "wheel 5": nx.wheel_graph(6),
        "cube": nx.hypercube_graph(3),
        "grid 3x3": nx.grid_2d_graph(3, 3),
        "K5": nx.complete_graph(5),
        "octahedron": nx.octahedral_graph(),
        "Wagner": nx.circulant_graph(8, [1, 4]),
        "prism 5": nx.circular_ladder_graph(5),
        "Petersen": nx.petersen_graph(),
        "grid 4x4": nx.grid_2d_graph(4, 4),
        "K6": nx.complete_graph(6),
        "Heawood": nx.heawood_graph(),
        "Möbius-Kantor": nx.moebius_kantor_graph(),
    }
    assert by_name.keys() == expected.keys()
    for name, g in expected.items():
        assert nx.is_isomorphic(as_nx(by_name[name]), g), name
    assert nx.is_isomorphic(as_nx(grid(3, 5)), nx.grid_2d_graph(3, 5))
    assert nx.is_isomorphic(as_nx(generalized_petersen(10, 2)), nx.dodecahedral_graph())


@pytest.mark.parametrize(
    ("base", "twisted", "message"),
    [
        (Graph(1, []), (), r"`base` must be connected with at least two vertices, got Graph\(n=1, m=0\)"),
        (Graph.from_edges(4, [(0, 1), (2, 3)]), (), "`base` must be connected"),
        (circulant(4, (1,)), (4,), r"`twisted` must be different vertices of the base, got \[4\]"),
        (circulant(4, (1,)), (1, 1), r"`twisted` must be different vertices of the base, got \[1, 1\]"),
        (Graph.from_edges(41, [(0, i) for i in range(1, 41)]), (), "would have 549755813928 vertices, more than 20000"),
    ],
)
def test_errors(base, twisted, message):
    with pytest.raises(ValueError, match=message):
        cfi_graph(base, twisted)

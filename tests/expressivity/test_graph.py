"""Graph and graph6 against networkx."""

import pickle

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphgdl.expressivity import graph6
from graphgdl.expressivity.graph import Graph


def nx_line(g):
    return nx.to_graph6_bytes(g, header=False).decode().rstrip("\n")


@st.composite
def nx_graphs(draw):
    n = draw(st.integers(0, 80))
    return nx.gnp_random_graph(n, draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])), seed=draw(st.integers(0, 10**6)))


@settings(max_examples=80)
@given(nx_graphs())
def test_graph6_equals_networkx_both_ways(g):
    line = nx_line(g)
    graph = Graph.from_graph6(line)
    assert graph.n == g.number_of_nodes()
    assert set(map(tuple, graph.edges.tolist())) == {(min(e), max(e)) for e in g.edges()}
    assert graph.graph6() == line
    assert Graph.from_graph6(nx.to_graph6_bytes(g)) == graph == Graph.from_networkx(g)


@pytest.mark.parametrize("n", [0, 1, 2, 61, 62, 63, 64, 300])
def test_graph6_at_the_borders_of_the_order(n):
    g = nx.gnm_random_graph(n, 3 * n, seed=n)
    assert Graph.from_networkx(g).graph6() == nx_line(g)
    assert Graph.from_graph6(nx_line(g)) == Graph.from_networkx(g)


@pytest.mark.parametrize("n", [0, 62, 63, 258047, 258048, 10**9, 2**36 - 1])
def test_orders_are_spelt_as_networkx_spells_them(n):
    values = graph6._order_values(n)
    assert values.tolist() == nx.readwrite.graph6.n_to_data(n)
    assert graph6._read_order(values) == (n, len(values))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "got an empty line"),
        ("\n", "got an empty line"),
        (">>graph6<<", "got an empty line"),
        ("DQ", "order 5 needs 2 bytes of adjacency, got 1"),
        ("DQcc", "order 5 needs 2 bytes of adjacency, got 3"),
        ("DQ c", r"bytes must lie in 63..126, got 32 at position 2"),
        ("D\x7fc", r"bytes must lie in 63..126, got 127 at position 1"),
        ("D\xe9c", "bytes must lie in 63..126, got 'é' at 1"),
        (b"D\xe9c", "bytes must lie in 63..126, got 233 at position 1"),
        ("DQe", "padding bits of order 5 must be zero, got bit 10 set"),
        ("DQd", "padding bits of order 5 must be zero, got bit 11 set"),
        ("~", "the order is cut off, expected 4 bytes, got 1"),
        ("~?@", "the order is cut off, expected 4 bytes, got 3"),
        ("~~???", "the order is cut off, expected 8 bytes, got 5"),
        ("~??D" + "Qc", "order 5 must be written in its shortest form, got 4 bytes"),
        ("~~?????D", "order 5 must be written in its shortest form, got 8 bytes"),
        (":Fa@x^", "another format"),
        ("&DI?AO?", "another format"),
        (">>sparse6<<:Fa@x^", "another format"),
    ],
)
def test_corrupt_graph6_is_refused(line, message):
    with pytest.raises(ValueError, match=message):
        Graph.from_graph6(line)


def test_every_single_byte_change_is_refused_or_another_graph():
    line = nx_line(nx.petersen_graph())
    graph = Graph.from_graph6(line)
    for i in range(len(line)):
        for byte in range(256):
            changed = line[:i].encode() + bytes([byte]) + line[i + 1 :].encode()
            try:
                other = Graph.from_graph6(changed)
            except ValueError:
                continue
            assert (other == graph) == (changed == line.encode())
            assert other.graph6().encode() == changed.rstrip(b"\r\n")


def test_too_large_an_order_is_refused():
    with pytest.raises(ValueError, match="the order must lie in"):
        graph6.encode(2**36, np.zeros((0, 2), dtype=np.int64))


@settings(max_examples=40)
@given(nx_graphs(), st.integers(0, 10**6))
def test_views_equal_networkx(g, seed):
    graph = Graph.from_networkx(g)
    dense = nx.to_numpy_array(g, nodelist=range(graph.n)).astype(np.uint8) if graph.n else np.zeros((0, 0))
    assert np.array_equal(graph.adjacency(), dense)
    assert graph.adjacency().dtype == np.uint8
    assert graph.degrees().tolist() == [d for _, d in sorted(g.degree())]
    indptr, indices = graph.csr()
    assert [indices[indptr[v] : indptr[v + 1]].tolist() for v in range(graph.n)] == [
        sorted(g[v]) for v in range(graph.n)
    ]
    assert Graph.from_adjacency(dense) == graph
    if graph.n:
        assert graph.is_connected() == nx.is_connected(g)
    perm = np.random.default_rng(seed).permutation(graph.n)
    relabelled = nx.empty_graph(graph.n)
    relabelled.add_edges_from((int(perm[u]), int(perm[v])) for u, v in g.edges())
    assert graph.permute(perm) == Graph.from_networkx(relabelled)


def test_permute_sends_v_to_perm_v():
    path = Graph.from_edges(3, [(0, 1), (1, 2)])
    assert path.permute([1, 2, 0]).edges.tolist() == [[0, 2], [1, 2]]  # the middle, 1, has become 2


def test_to_data_is_sorted_by_destination_and_holds_both_directions():
    graph = Graph.from_networkx(nx.gnp_random_graph(20, 0.3, seed=0))
    data = graph.to_data()
    assert data.x.dtype == torch.float32
    assert torch.equal(data.x, torch.ones(20, 1))
    assert data.edge_index.dtype == torch.int64
    assert data.edge_index.is_contiguous()
    src, dst = data.edge_index
    assert (dst.diff() >= 0).all()
    assert not data.is_directed()
    assert not data.has_self_loops()
    assert {(a, b) for a, b in zip(src.tolist(), dst.tolist()) if a < b} == set(map(tuple, graph.edges.tolist()))
    assert Graph(4, []).to_data().edge_index.shape == (2, 0)


def test_equality_hash_pickle_and_frozen_edges():
    a, b = Graph.from_edges(4, [(2, 0), (0, 1)]), Graph(4, [(0, 1), (0, 2)])
    assert a == b
    assert len({a, b, Graph(5, b.edges)}) == 2
    assert a != "graph"
    assert pickle.loads(pickle.dumps(a)) == a
    assert repr(a) == "Graph(n=4, m=2)"
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(a)).edges[0, 0] = 3


def test_edges_are_copied():
    edges = np.array([[0, 1]])
    graph = Graph(3, edges)
    edges[0, 1] = 2
    assert graph.edges.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Graph(-1, []), ValueError, "`n` must not be negative, got -1"),
        (lambda: Graph(2.0, []), TypeError, "`n` must be an int, got float"),
        (lambda: Graph(True, []), TypeError, "`n` must be an int, got bool"),
        (lambda: Graph(3, [[0, 1, 2]]), ValueError, r"`edges` must have shape \(m, 2\), got \(1, 3\); transpose it\?"),
        (lambda: Graph(3, [[0.0, 1.0]]), TypeError, "`edges` must be integers, got float64"),
        (lambda: Graph(3, [[0, 3]]), ValueError, r"`edges` must lie in 0..2, got 0..3"),
        (lambda: Graph(3, [[-1, 2]]), ValueError, r"`edges` must lie in 0..2, got -1..2"),
        (lambda: Graph(3, [[1, 1]]), ValueError, "no self-loop, got one at vertex 1"),
        (lambda: Graph.from_edges(3, [[2, 2]]), ValueError, "no self-loop, got one at vertex 2"),
        (lambda: Graph(3, [[1, 0]]), ValueError, "must be sorted"),
        (lambda: Graph(3, [[0, 2], [0, 1]]), ValueError, "must be sorted"),
        (lambda: Graph(3, [[0, 1], [0, 1]]), ValueError, "must be sorted"),
        (lambda: Graph.from_adjacency(np.zeros((2, 3))), ValueError, r"`a` must have shape \(n, n\), got \(2, 3\)"),
        (lambda: Graph.from_adjacency([[0, 2], [2, 0]]), ValueError, "`a` must hold zeros and ones only"),
        (lambda: Graph.from_adjacency([[0, 1], [0, 0]]), ValueError, "`a` must be symmetric"),
        (lambda: Graph.from_adjacency([[1, 0], [0, 0]]), ValueError, "`a` must have an empty diagonal"),
        (lambda: Graph.from_networkx(nx.DiGraph()), TypeError, "undirected networkx.Graph, got DiGraph"),
        (lambda: Graph.from_networkx(nx.MultiGraph()), TypeError, "undirected networkx.Graph, got MultiGraph"),
        (lambda: Graph(3, []).permute([0, 1]), ValueError, r"`perm` must be a permutation of 0..2, got shape \(2,\)"),
        (lambda: Graph(3, []).permute([0, 1, 1]), ValueError, r"`perm` must be a permutation of 0..2"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()

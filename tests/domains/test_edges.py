"""Edge lists, networkx graphs and scipy matrices against networkx's and scipy's own adjacency."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphgdl.domains import from_edge_list, from_networkx, from_scipy


def dense(data: Data) -> np.ndarray:
    """Entry (i, j): total weight of the edges from i to j."""
    out = np.zeros((data.num_nodes, data.num_nodes))
    weight = data.edge_weight.tolist() if "edge_weight" in data else [1.0] * data.num_edges
    for u, v, w in zip(*data.edge_index.tolist(), weight):
        out[u, v] += w
    return out


def assert_sorted(data: Data) -> None:
    assert data.edge_index.dtype == torch.int64
    key = (data.edge_index[1] * max(data.num_nodes, 1) + data.edge_index[0]).tolist()
    assert key == sorted(key)


@st.composite
def graphs(draw: st.DrawFn) -> nx.Graph:
    kind = draw(st.sampled_from([nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]))
    n = draw(st.integers(0, 6))
    graph = kind()
    graph.add_nodes_from(f"node {i}" for i in range(n))
    if n:
        ends = st.integers(0, n - 1)
        for u, v, w in draw(st.lists(st.tuples(ends, ends, st.integers(1, 9)), max_size=12)):
            graph.add_edge(f"node {u}", f"node {v}", weight=float(w))
    return graph


@given(graphs())
def test_networkx_adjacency(graph: nx.Graph) -> None:
    data = from_networkx(graph)
    assert_sorted(data)
    if graph.number_of_nodes():
        np.testing.assert_array_equal(dense(data), nx.to_numpy_array(graph))
    else:
        assert (data.num_nodes, data.num_edges) == (0, 0)
    loops = nx.number_of_selfloops(graph)
    arcs = graph.number_of_edges() * (1 if graph.is_directed() else 2) - (0 if graph.is_directed() else loops)
    assert data.num_edges == arcs


def test_networkx_features_follow_their_owners() -> None:
    graph = nx.DiGraph()
    graph.add_node("b", charge=1, position=(0.5, 2.0))
    graph.add_node("a", charge=-1, position=(3.0, 4.0))
    graph.add_edge("a", "b", kind=[7.0, 8.0])
    graph.add_edge("b", "a", kind=[9.0, 10.0], weight=3.0)
    data = from_networkx(graph, node_features=("charge", "position"), edge_features=("kind",))
    assert data.x.tolist() == [[1.0, 0.5, 2.0], [-1.0, 3.0, 4.0]]
    assert data.edge_index.tolist() == [[1, 0], [0, 1]]
    assert data.edge_attr.tolist() == [[7.0, 8.0], [9.0, 10.0]]
    assert data.edge_weight.tolist() == [1.0, 3.0]
    assert "edge_weight" not in from_networkx(graph, weight=None)


def test_networkx_features_of_nothing() -> None:
    isolated = from_networkx(nx.empty_graph(2), edge_features=("length", "angle"), weight="length")
    assert isolated.edge_attr.shape == (0, 2)
    assert isolated.num_nodes == 2
    assert from_networkx(nx.Graph(), node_features=("level",)).x.shape == (0, 1)


def test_networkx_errors() -> None:
    with pytest.raises(TypeError, match="`graph` must be a networkx graph, got list"):
        from_networkx([(0, 1)])
    graph = nx.path_graph(3)
    with pytest.raises(ValueError, match="`node_features` 'size' is missing on node 0; it has"):
        from_networkx(graph, node_features=("size",))
    with pytest.raises(ValueError, match=r"`edge_features` 'size' is missing on edge \(0, 1\)"):
        from_networkx(graph, edge_features=("size",))
    nx.set_node_attributes(graph, "red", "colour")
    with pytest.raises(
        ValueError, match=r"`node_features` must hold numbers, got \['red'\] on node 0; encode it first"
    ):
        from_networkx(graph, node_features=("colour",))
    nx.set_node_attributes(graph, {0: [1], 1: [1, 2], 2: [1]}, "size")
    with pytest.raises(ValueError, match="`node_features` must have one length, got 2 numbers on node 1 after 1"):
        from_networkx(graph, node_features=("size",))


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), max_size=15))
    )
)
def test_edge_list_directed(case: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = case
    weights = np.arange(1.0, len(edges) + 1)
    data = from_edge_list(edges, weights, n, undirected=False)
    assert_sorted(data)
    expected = np.zeros((n, n))
    for (u, v), w in zip(edges, weights):
        expected[u, v] += w
    np.testing.assert_array_equal(dense(data), expected)
    assert data.num_edges == len(edges)


def test_edge_list_undirected_takes_lists_arrays_and_tensors() -> None:
    edges = [(2, 0), (1, 1), (1, 2)]
    for given_edges in (edges, iter(edges), np.array(edges, dtype=np.int32), torch.tensor(edges)):
        data = from_edge_list(given_edges, weights=[5.0, 6.0, 7.0], num_nodes=4)
        expected = np.zeros((4, 4))
        expected[2, 0] = expected[0, 2] = 5
        expected[1, 1] = 6
        expected[1, 2] = expected[2, 1] = 7
        np.testing.assert_array_equal(dense(data), expected)
        assert_sorted(data)
    assert from_edge_list([]).num_nodes == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([(0, 1), (1, 2, 3)],), ValueError, r"`edges` must hold pairs \(u, v\), got \(1, 2, 3\) in row 1"),
        (([(0, 1), 5],), ValueError, r"`edges` must hold pairs \(u, v\), got 5 in row 1"),
        ((np.zeros((2, 5), dtype=int),), ValueError, r"`edges` must have shape \(e, 2\), got \(2, 5\); transpose it\?"),
        (([("a", "b")],), TypeError, "`edges` must hold integer node numbers, got <U1; number named nodes"),
        (([(0, 1), (0, -1)],), ValueError, r"node numbers in 0 .. 1, got \(0, -1\) in row 1"),
        (([(0, 1), (0, 9)], None, 5), ValueError, r"node numbers in 0 .. 4, got \(0, 9\) in row 1.*raise `num_nodes`"),
        (
            ([(0, 1), (1, 2), (1, 0)],),
            ValueError,
            r"list each edge once, got \(1, 0\) in row 2 after row 0; pass undirec",
        ),
        (([(0, 1)], [1.0, 2.0]), ValueError, r"`weights` must have one number for each of the 1 edges, got \(2,\)"),
    ],
)
def test_edge_list_errors(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_edge_list(*arguments)


@pytest.mark.parametrize("fmt", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
def test_scipy_formats(fmt: str) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.integers(1, 9, (6, 6)) * (rng.random((6, 6)) < 0.4)
    for wrap in (sp.csr_array, sp.csr_matrix):
        data = from_scipy(wrap(matrix.astype(float)).asformat(fmt))
        assert_sorted(data)
        np.testing.assert_array_equal(dense(data), matrix)
        assert data.edge_weight.dtype == torch.float64
    assert from_scipy(sp.csr_array(matrix)).edge_weight.dtype == torch.float32


def test_scipy_adds_repeated_entries_and_leaves_the_matrix_alone() -> None:
    matrix = sp.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(3, 3))
    data = from_scipy(matrix)
    assert data.edge_index.tolist() == [[1, 0], [0, 1]]
    assert data.edge_weight.tolist() == [0.0, 3.0]
    assert (data.num_nodes, matrix.nnz) == (3, 3)


def test_scipy_errors() -> None:
    with pytest.raises(TypeError, match="`matrix` must be a scipy sparse matrix, got ndarray; wrap it"):
        from_scipy(np.eye(2))
    with pytest.raises(TypeError, match="`matrix` must be real, got complex128"):
        from_scipy(sp.csr_array(np.eye(2) * 1j))
    with pytest.raises(ValueError, match=r"`matrix` must be square \(n, n\), got \(2, 3\); a bipartite graph"):
        from_scipy(sp.csr_array(np.ones((2, 3))))

"""What a layer takes for a graph, and how it refuses what is none."""

from __future__ import annotations

import pytest
import torch
from layer_cases import close
from torch import nn
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.typing import SparseTensor

from graphgdl import nn as gdl
from graphgdl.domains.structure import Chain, Complete, Grid
from graphgdl.nn import explain_lowering
from graphgdl.nn.inputs import edges_of

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3], [1, 2, 0, 0]])

LAYERS = {
    "GCNConv": lambda: gdl.GCNConv(3, 2),
    "GraphConv": lambda: gdl.GraphConv(3, 2),
    "SAGEConv": lambda: gdl.SAGEConv(3, 2),
    "GINConv": lambda: gdl.GINConv(nn.Linear(3, 2)),
    "GINEConv": lambda: gdl.GINEConv(nn.Linear(3, 2)),
    "GATConv": lambda: gdl.GATConv(3, 2),
    "GATv2Conv": lambda: gdl.GATv2Conv(3, 2),
    "TransformerConv": lambda: gdl.TransformerConv(3, 2),
    "NNConv": lambda: gdl.NNConv(3, 2, nn.Linear(3, 6)),
    "EdgeConv": lambda: gdl.EdgeConv(nn.Linear(6, 2)),
}


def call(name, x, edges):
    layer = LAYERS[name]()
    extra = (torch.ones(4, 3),) if name in ("GINEConv", "NNConv") else ()
    return layer(x, edges, *extra)


@pytest.mark.parametrize("lowering", ["auto", "message"])
@pytest.mark.parametrize("name", sorted(LAYERS))
@pytest.mark.parametrize(
    ("edges", "error", "message"),
    [
        (EDGES.t(), ValueError, r"`edge_index` must have shape \(2, e\), got \(4, 2\); transpose it\?"),
        (EDGES[0], ValueError, r"`edge_index` must have shape \(2, e\), got \(4,\)"),
        (EDGES[None], ValueError, r"`edge_index` must have shape \(2, e\), got \(1, 2, 4\)"),
        (EDGES.float(), TypeError, r"`edge_index` must have dtype int64 or int32, got float32; .*\.long\(\)"),
        (EDGES.bool(), TypeError, r"`edge_index` must have dtype int64 or int32, got bool"),
        (EDGES - 1, ValueError, r"`edge_index` must hold indices from 0, got -1"),
        (EDGES + torch.tensor([[1], [0]]), ValueError, r"`edge_index\[0\]` refers to node 4, but `x` has 4 rows"),
        (EDGES + torch.tensor([[0], [7]]), ValueError, r"`edge_index\[1\]` refers to node 9, but `x` has 4 rows"),
        ([[0, 1], [1]], TypeError, r"`edge_index` must be a tensor .* got list; use `torch.tensor\(pairs\)\.t\(\)`"),
        (Data(edge_index=EDGES, num_nodes=4), TypeError, r"`edge_index` must be .* got Data; .*`data.edge_index`"),
        (None, TypeError, r"`edge_index` must be a tensor .* got NoneType"),
        (Grid((3, 2)), ValueError, r"`x` must have one row for each of the 6 nodes of the Grid, got 4 rows"),
        (
            SparseTensor(row=EDGES[1], col=EDGES[0], sparse_sizes=(5, 4)),
            ValueError,
            r"`edge_index` states 4 source and 5 destination nodes, but `x` has 4 and 4 rows; .*`adj_t`",
        ),
        (EdgeIndex(EDGES, sparse_size=(4, 6)), ValueError, r"`edge_index` states 4 source and 6 destination nodes"),
    ],
    ids=lambda value: None if isinstance(value, type | str) else type(value).__name__,
)
def test_a_bad_graph_is_refused_by_every_layer(name, lowering, edges, error, message):
    layer = LAYERS[name]()
    layer.lowering = lowering
    with pytest.raises(error, match=message):
        layer(X, edges, *((torch.ones(4, 3),) if name in ("GINEConv", "NNConv") else ()))


@pytest.mark.parametrize(
    ("layer", "argument"),
    [
        (gdl.GCNConv(3, 2), "edge_weight"),
        (gdl.GraphConv(3, 2), "edge_weight"),
        (gdl.GINEConv(nn.Linear(3, 2)), "edge_attr"),
        (gdl.NNConv(3, 2, nn.Linear(3, 6)), "edge_attr"),
        (gdl.GATConv(3, 2, edge_dim=3), "edge_attr"),
        (gdl.GATv2Conv(3, 2, edge_dim=3), "edge_attr"),
        (gdl.TransformerConv(3, 2, edge_dim=3), "edge_attr"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_edge_inputs_of_the_wrong_length(layer, argument):
    for features in (torch.ones(3, 3), torch.ones(5, 3), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=rf"`{argument}` must have one row for each of the 4 edges, got shape"):
            layer(X, EDGES, features)


def test_edge_inputs_beside_a_sparse_tensor():
    adjacency = SparseTensor(row=EDGES[1], col=EDGES[0], sparse_sizes=(4, 4))
    with pytest.raises(ValueError, match="`edge_attr` must have one row for each of the 4 edges"):
        gdl.GINEConv(nn.Linear(3, 2))(X, adjacency, torch.ones(3, 3))


@pytest.mark.parametrize(
    ("x", "kind"), [(None, "NoneType"), ([[1.0]] * 4, "list, list, list, list"), ((None, X), "NoneType, Tensor")]
)
def test_features_that_are_none(x, kind):
    for layer in (gdl.SAGEConv(3, 2), gdl.GCNConv(3, 2), gdl.TransformerConv(3, 2)):
        with pytest.raises(TypeError, match=rf"`x` must be a tensor \(n, c\) or a pair .* got \(?{kind}"):
            layer(x, EDGES)


def test_the_size_of_an_edge_index_counts():
    layer, wide = gdl.SAGEConv(3, 2), EdgeIndex(EDGES.clamp(max=1), sparse_size=(4, 2))
    out = layer((X, None), wide, size=(4, 2))
    assert out.shape == (2, 2)
    close(out, pyg_like(layer, (X, None), wide))


def pyg_like(layer, x, edges):
    layer.lowering = "message"
    return layer(x, edges, size=(4, 2))


def test_pairs_and_sizes():
    pair, edges = (X, X[:2]), EDGES.clamp(max=1)
    for layer in (gdl.SAGEConv(3, 2), gdl.GraphConv(3, 2), gdl.GATConv((3, 3), 2, add_self_loops=False)):
        assert layer(pair, edges).shape == (2, 2)
        with pytest.raises(ValueError, match=r"`edge_index\[1\]` refers to node 2, but `x` has 2 rows"):
            layer(pair, EDGES)
        with pytest.raises(ValueError, match=r"`size` says 3 destination nodes, but `x` has 2 rows; drop `size`"):
            layer(pair, edges, size=(4, 3))
        with pytest.raises(ValueError, match=r"`size` says 9 source nodes, but `x` has 4 rows"):
            layer(pair, edges, size=(9, 2))
    alone = gdl.SAGEConv(3, 2)
    assert alone((X, None), edges, size=(4, 2)).shape == (2, 2)
    close(alone((X, None), edges, size=(4, 2)), alone((X, None), edges)[:2])
    with pytest.raises(ValueError, match=r"`edge_index\[1\]` refers to node 2, but `x` has 2 rows"):
        alone((X, None), EDGES, size=(4, 2))


def test_an_index_that_became_bad_is_seen():
    layer, edges = gdl.GCNConv(3, 2), EDGES.clone()
    layer(X, edges)
    edges[0, 0] = 11
    with pytest.raises(ValueError, match=r"`edge_index\[0\]` refers to node 11"):
        layer(X, edges)
    edges[0, 0] = 2
    close(layer(X, edges), layer(X, edges.clone()))


@pytest.mark.parametrize("name", sorted(LAYERS))
@pytest.mark.parametrize("structure", [Grid((2, 2)), Chain(4, bidirectional=True), Complete(4)], ids=repr)
def test_a_structure_stands_for_its_edges(name, structure):
    layer = LAYERS[name]()
    edges = structure.edge_index
    extra = (torch.rand(edges.size(1), 3),) if name in ("GINEConv", "NNConv") else ()
    assert torch.equal(layer(X, structure, *extra), layer(X, edges, *extra))
    assert explain_lowering(layer, X, structure, *extra)[0].ran == "compiled"


@pytest.mark.parametrize("name", ["GCNConv", "GATConv", "EdgeConv"])
def test_no_edges_and_no_nodes(name):
    for n in (0, 3):
        empty = torch.empty(2, 0, dtype=torch.int64)
        out = LAYERS[name]()(X[:n], empty)
        assert out.shape == (n, 2)
        assert out.isfinite().all()


def test_edge_index_in_its_other_forms_is_passed_on():
    for graph in (EDGES, EDGES.int(), EdgeIndex(EDGES), SparseTensor(row=EDGES[1], col=EDGES[0], sparse_sizes=(4, 4))):
        assert edges_of(graph, X) is graph
    assert edges_of(EDGES.to("meta"), X).is_meta


def test_inference_mode_and_training_share_a_graph():
    """What is remembered in inference mode must not be an inference tensor: the training step after it needs it."""
    layer, edges = gdl.GCNConv(3, 2), EDGES.clone()
    with torch.inference_mode():
        expected = layer(X, edges)
        layer(X, EDGES.clone())  # a graph made in inference mode carries no version
    out = layer(X, edges)
    close(out, expected.clone())
    out.sum().backward()
    assert layer.lin.weight.grad is not None

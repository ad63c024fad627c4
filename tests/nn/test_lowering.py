"""Which lowering runs for which inputs: what is not understood goes to the message path with the reason."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch
import torch_geometric.nn as pyg
from layer_cases import BY_NAME, close, inputs
from lowering_cases import EDGES, X, runs_compiled, runs_on_the_message_path
from torch import nn
from torch_geometric.typing import SparseTensor

from graphgdl import nn as gdl
from graphgdl.nn import explain_lowering
from graphgdl.nn.explain_lowering import LayerLowering

# torch says once in a process that it does not check sparse matrices, which PyG builds
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


@pytest.mark.parametrize("name", ["GCNConv", "SAGEConv", "GATConv", "TransformerConv"])
def test_unknown_name(name):
    layer = getattr(gdl, name)(4, 4)
    with pytest.raises(ValueError, match=rf"`lowering` of {name} must be one of .*'compiled', 'message'.*got 'fast'"):
        layer.lowering = "fast"
    assert layer.lowering == "auto"


def test_forced_names_run():
    layer = gdl.SAGEConv(4, 4)
    for name in ("compiled", "message"):
        layer.lowering = name
        assert explain_lowering(layer, X, EDGES)[0] == LayerLowering("model", "SAGEConv", name, {})


@pytest.mark.parametrize("name", ["GCNConv", "SAGEConv", "GATConv", "GATv2Conv", "TransformerConv"])
def test_the_other_flow(name):
    """Pairs too: PyG's layers take `x_j` from the first of a pair in either flow."""
    ours, theirs = (getattr(room, name)(4, 4, flow="target_to_source") for room in (gdl, pyg))
    theirs.load_state_dict(ours.state_dict())
    runs_compiled(ours, theirs)
    forward = getattr(gdl, name)(4, 4).double()
    forward.load_state_dict(ours.state_dict())
    assert not torch.allclose(ours(X.double(), EDGES), forward(X.double(), EDGES))


def test_a_torch_sparse_matrix():
    adjacency = torch.sparse_coo_tensor(EDGES.flip(0), torch.ones(5), (5, 5)).to_sparse_csr()
    layer = gdl.SAGEConv(4, 4)
    close(runs_on_the_message_path(layer, "a torch sparse matrix", X, adjacency), layer(X, EDGES))


def test_edge_weight_beside_a_sparse_tensor():
    adjacency = SparseTensor(row=EDGES[1], col=EDGES[0], sparse_sizes=(5, 5))
    layer = gdl.GraphConv(4, 4)
    out = runs_on_the_message_path(layer, "`edge_weight` beside a SparseTensor", X, adjacency, torch.rand(5))
    close(out, layer(X, EDGES))  # PyG takes no notice of the weights


def test_static_graphs_with_three_dimensional_features():
    x = torch.randn(3, 5, 4)
    layer = gdl.SAGEConv(4, 4)
    out = runs_on_the_message_path(layer, "`x` has 3 dimensions with node_dim = -2", x, EDGES)
    close(out[1], layer(x[1], EDGES))


def test_integer_features():
    layer = gdl.GINConv(nn.Identity())
    x = torch.arange(5)[:, None]
    assert explain_lowering(layer, x.double(), EDGES)[0].ran == "compiled"
    layer.eps = torch.zeros(1, dtype=torch.int64)
    row = explain_lowering(layer, x, EDGES)[0]
    assert row.refused["compiled"] == "`x[0]` is torch.int64, not floating point"
    assert torch.equal(layer(x, EDGES), x + torch.zeros_like(x).index_add(0, EDGES[1], x[EDGES[0]]))


def test_mixed_dtypes_are_promoted_as_in_pyg():
    layer, weight = gdl.GraphConv(4, 4).double(), torch.rand(5)
    assert explain_lowering(layer, X.double(), EDGES, weight)[0].ran == "compiled"
    theirs = pyg.GraphConv(4, 4).double()
    theirs.load_state_dict(layer.state_dict())
    close(layer(X.double(), EDGES, weight), theirs(X.double(), EDGES, weight))


def test_integer_weights():
    layer = gdl.GraphConv(4, 4)
    out = runs_on_the_message_path(layer, "`edge_weight` is torch.int64, not floating", X, EDGES, torch.arange(5))
    close(out, layer(X, EDGES, torch.arange(5.0)))


def test_a_device_without_kernels():
    layer = gdl.SAGEConv(4, 4)
    layer(X, EDGES)  # what was compiled for the CPU does not run on another device
    row = explain_lowering(layer.to("meta"), X.to("meta"), EDGES.to("meta"))[0]
    assert row.refused["compiled"] == "the graph is on meta: compiled loops run on the CPU and on CUDA"
    assert layer(X.to("meta"), EDGES.to("meta")).shape == (5, 4)


def test_a_default_device_that_is_not_the_graphs():
    layer = gdl.SAGEConv(4, 4)
    expected = layer(X, EDGES)
    with torch.device("meta"):
        assert (
            explain_lowering(layer, X, EDGES)[0].refused["compiled"] == "tensors are made on meta, the default device"
        )
    with torch.device("cpu"):
        assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"
        close(layer(X, EDGES), expected)


def test_transforms_of_functions():
    layer = gdl.SAGEConv(4, 4)
    batch = torch.randn(3, 5, 4)
    layer._record = []
    out = torch.vmap(lambda x: layer(x, EDGES))(batch)
    assert layer._record[0].refused["compiled"] == "a torch.func transform is active"
    close(out, torch.stack([layer(x, EDGES) for x in batch]))


@pytest.mark.parametrize("create_graph", [False, True])
def test_batches_of_cotangents(create_graph):
    """As for Jacobians and Hessians, in the three ways that torch has."""
    layer, rows = (
        gdl.EdgeConv(nn.Sequential(nn.Linear(8, 4), nn.Tanh())).double(),
        torch.eye(20).double().view(20, 5, 4),
    )
    found = {}
    for layer.lowering in ("compiled", "message"):
        x = X.double().requires_grad_()
        out = layer(x, EDGES)
        if create_graph:
            (out,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        grad = functools.partial(torch.autograd.grad, out, x, retain_graph=True, create_graph=create_graph)
        one_by_one = torch.stack([grad(row)[0] for row in rows])
        for batched in (
            grad(rows, is_grads_batched=True)[0],
            torch.vmap(grad)(rows)[0],
            torch.vmap(torch.vmap(grad))(rows.view(4, 5, 5, 4))[0].flatten(0, 1),
        ):
            close(batched, one_by_one)
            if create_graph:
                further = [torch.autograd.grad(g.sin().sum(), x, retain_graph=True)[0] for g in (batched, one_by_one)]
                close(*further)
        found[layer.lowering] = one_by_one
    close(found["compiled"], found["message"])


def test_forward_mode_differentiation():
    layer, tangent = gdl.SAGEConv(4, 4), torch.randn(5, 4)
    with torch.autograd.forward_ad.dual_level():
        layer._record = []
        out = layer(torch.autograd.forward_ad.make_dual(X, tangent), EDGES)
        assert layer._record[0].refused["compiled"] == "forward-mode differentiation is active"
        slope = torch.autograd.forward_ad.unpack_dual(out).tangent
    layer._record = None
    close(slope, layer(tangent, EDGES) - layer(0 * tangent, EDGES))


def test_edge_features_without_edge_dim_are_an_error_as_in_pyg():
    edge_attr = torch.rand(5)
    ours, theirs = gdl.TransformerConv(4, 4), pyg.TransformerConv(4, 4)
    for layer in (ours, theirs):
        with pytest.raises(RuntimeError, match=r"size of tensor a \(4\) must match the size of tensor b \(5\)"):
            layer(X, EDGES, edge_attr)
    ours.lowering = "compiled"
    with pytest.raises(ValueError, match=r"does not apply: RuntimeError when run without values: .* broadcast"):
        ours(X, EDGES, edge_attr)


def test_transformer_with_edge_features_and_an_extremum():
    ours, theirs = (room.TransformerConv(4, 4, edge_dim=2, aggr="max") for room in (gdl, pyg))
    theirs.load_state_dict(ours.state_dict())
    runs_compiled(ours, theirs, X, EDGES, torch.rand(5, 2))


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_copies_behave_the_same(name):
    case = BY_NAME[name]
    layer, given = case.ours(), inputs(case)
    layer.lowering = "message"
    expected = given.call(layer)
    restored = case.ours(seed=1)
    restored.load_state_dict(case.ours().state_dict())
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), restored):
        assert other is not layer
        close(given.call(other), expected)
    assert copy.deepcopy(layer).lowering == pickle.loads(pickle.dumps(layer)).lowering == "message"


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_state_dicts_go_both_ways(name):
    case = BY_NAME[name]
    ours, theirs, given = case.ours(), case.theirs(), inputs(case, graph="simple")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert isinstance(ours, type(theirs))
    for seed in (1, 2):
        ours.load_state_dict(case.ours(seed=seed).state_dict())
        theirs.load_state_dict(ours.state_dict())
        back = case.ours(seed=3)
        back.load_state_dict(theirs.state_dict())
        close(given.call(back), given.call(ours))


@pytest.mark.parametrize("name", ["GATConv", "GATv2Conv", "TransformerConv"])
@pytest.mark.parametrize("sparse", [False, True])
def test_attention_weights_are_returned(name, sparse):
    ours, theirs = getattr(gdl, name)(4, 4, heads=2), getattr(pyg, name)(4, 4, heads=2)
    theirs.load_state_dict(ours.state_dict())
    edges = SparseTensor(row=EDGES[1], col=EDGES[0], sparse_sizes=(5, 5)) if sparse else EDGES
    assert explain_lowering(ours, X, edges)[0].ran == "compiled"
    (out, weights), (expected, wanted) = (layer(X, edges, return_attention_weights=True) for layer in (ours, theirs))
    close(out, expected)
    if sparse:
        close(weights.to_dense(), wanted.to_dense())
    else:
        assert torch.equal(weights[0], wanted[0])
        close(weights[1], wanted[1])
    assert (ours(X, EDGES) - out).abs().max() < 1e-5

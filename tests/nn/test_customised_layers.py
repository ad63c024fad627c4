"""Which lowering runs when a layer is customised: it is compiled with its change, or its hooks are heard."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from layer_cases import close
from lowering_cases import EDGES, X, runs_compiled, runs_on_the_message_path
from torch import nn
from torch_geometric.nn.aggr import SumAggregation
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import scatter

from graphgdl import nn as gdl
from graphgdl.nn import explain_lowering

# torch says once in a process that it does not check sparse matrices, which PyG builds
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")

# PyG writes the `propagate` of a class when its first layer is made, and as that layer's aggregation allows: a usual one
pyg.SAGEConv(4, 4)

HOOKS = ["propagate", "message", "aggregate", "message_and_aggregate"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("pre", ["", "_pre"])
def test_hooks_force_the_message_path(hook, pre):
    layer, calls = gdl.SAGEConv(4, 4), []
    register = getattr(layer, f"register_{hook}_forward{pre}_hook")
    expected = layer(X, EDGES)
    handle = register(lambda *args: calls.append(1))
    close(runs_on_the_message_path(layer, f"a hook is registered on {hook}"), expected)
    assert bool(calls) == (hook != "message_and_aggregate")  # that one is for sparse matrices
    handle.remove()
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"


def test_a_message_hook_changes_the_output():
    layer = gdl.GraphConv(4, 4)
    before = layer(X, EDGES)
    layer.register_message_forward_hook(lambda module, args, out: 2 * out)
    theirs = pyg.GraphConv(4, 4)
    theirs.load_state_dict(layer.state_dict())
    theirs.register_message_forward_hook(lambda module, args, out: 2 * out)
    after = layer(X, EDGES)
    close(after, theirs(X, EDGES))
    assert not torch.allclose(after, before)


def test_an_edge_update_hook_forces_the_message_path():
    layer, calls = gdl.GATConv(4, 4), []
    layer.register_edge_update_forward_hook(lambda *args: calls.append(1))
    runs_on_the_message_path(layer, "a hook is registered on edge_update")
    assert calls


@pytest.mark.parametrize(
    "register", ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"]
)
def test_a_hook_on_a_module_inside_forces_the_message_path(register):
    """A hook that comes after the layer was compiled."""
    layer, calls = gdl.SAGEConv(4, 4), []
    expected = layer(X, EDGES)
    handle = getattr(layer.aggr_module, register)(lambda *args: calls.append(1))
    out = runs_on_the_message_path(layer, "a hook is registered on `aggr_module`", X.clone().requires_grad_(), EDGES)
    out.sum().backward()
    close(out, expected)
    assert calls
    handle.remove()
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"


def test_a_hook_on_the_aggregation_changes_the_output():
    layer = gdl.SAGEConv(4, 4)
    layer.aggr_module.register_forward_hook(lambda module, args, out: 0 * out)
    out = runs_on_the_message_path(layer, "a hook is registered on `aggr_module`")
    close(out, layer.lin_l(torch.zeros_like(X)) + layer.lin_r(X))


def test_a_hook_on_all_modules_forces_the_message_path():
    layer, seen = gdl.SAGEConv(4, 4), []
    layer(X, EDGES)
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, out: seen.append(module))
    try:
        runs_on_the_message_path(layer, "a hook on all modules is registered")
    finally:
        handle.remove()
    assert layer.aggr_module in seen
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"


def test_decomposed_layers_force_the_message_path():
    layer = gdl.SAGEConv(4, 4)
    layer.decomposed_layers = 2
    layer.decomposed_layers = 1
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"
    assert "compiled" in explain_lowering(gdl.GCNConv(4, 4, decomposed_layers=2), X, EDGES)[0].refused


class OwnMessage:
    def message(self, x_j, alpha):
        return 2 * alpha.unsqueeze(-1) * x_j.cos()


class OwnAggregate:
    def aggregate(self, inputs, index, ptr, dim_size):
        return scatter(inputs.tanh(), index, self.node_dim, dim_size, "mean").exp()


class OwnUpdate:
    def update(self, inputs):
        return inputs.sin()


class OwnEdgeUpdate:
    def edge_update(self, alpha_j, alpha_i, edge_attr, index, ptr, dim_size):
        return (alpha_j * alpha_i).sigmoid()


@pytest.mark.parametrize("mixin", [OwnMessage, OwnAggregate, OwnUpdate, OwnEdgeUpdate])
def test_an_override_is_compiled(mixin):
    ours, theirs = (type("Own", (mixin, room.GATConv), {})(4, 4, heads=2) for room in (gdl, pyg))
    theirs.load_state_dict(ours.state_dict())
    runs_compiled(ours, theirs)
    plain = gdl.GATConv(4, 4, heads=2)
    plain.load_state_dict(ours.state_dict())
    assert not torch.allclose(ours(X.double(), EDGES), plain.double()(X.double(), EDGES))


def test_an_override_that_cannot_be_compiled_runs():
    class Branching(gdl.GINConv):
        def message(self, x_j):
            return x_j if x_j.sum() > 1e6 else 2 * x_j

    layer = Branching(nn.Identity())
    out = runs_on_the_message_path(layer, "when run without values")
    close(out - X, 2 * (gdl.GINConv(nn.Identity())(X, EDGES) - X))


def test_an_override_on_the_instance_or_the_class_is_seen(monkeypatch):
    """After the layer was compiled, too."""
    layer = gdl.GINConv(nn.Identity())
    received = layer(X, EDGES) - X
    layer.message = lambda x_j: 3 * x_j
    close(layer(X, EDGES) - X, 3 * received)
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"
    del layer.message
    close(layer(X, EDGES) - X, received)

    def message(self, x_j):
        return 0 * x_j

    with monkeypatch.context() as patch:
        patch.setattr(pyg.GINConv, "message", message)
        close(layer(X, EDGES), X)
    close(layer(X, EDGES) - X, received)


def test_an_own_sparse_form_is_called_with_sparse_tensors_only():
    class Own(gdl.SAGEConv):
        def message_and_aggregate(self, adj_t, x):
            return 7 + 0 * x[0]

    class OwnGCN(gdl.GCNConv):
        def message_and_aggregate(self, adj_t, x):
            return 7 + 0 * x

    adjacency = SparseTensor(row=EDGES[1], col=EDGES[0], sparse_sizes=(5, 5))
    layer = Own(4, 4)
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"
    out = runs_on_the_message_path(layer, "`message_and_aggregate` is overridden", X, adjacency)
    close(out, layer.lin_l(torch.full((5, 4), 7.0)) + layer.lin_r(X))
    close(OwnGCN(4, 4)(X, adjacency), torch.full((5, 4), 7.0))


def test_a_subclass_that_overrides_nothing_is_compiled():
    class Named(gdl.GCNConv):
        """Only a name."""

    assert explain_lowering(Named(4, 4), X, EDGES)[0].ran == "compiled"


@pytest.mark.parametrize("aggr", ["softmax", "powermean", "std", "var", ["mean", "max"], ["sum", "std", "softmax"]])
def test_any_aggregation_that_is_a_formula_is_compiled(aggr):
    kwargs = {"aggr_kwargs": {"learn": True}} if aggr == "softmax" else {}
    ours, theirs = (room.SAGEConv(4, 4, aggr=aggr, **kwargs) for room in (gdl, pyg))
    theirs.load_state_dict(ours.state_dict())
    runs_compiled(ours, theirs, X.abs() + 0.1, EDGES)


@pytest.mark.parametrize(
    ("aggr", "reason"), [("mul", "scatter_reduce with 'prod'"), ("median", "when run without values")]
)
def test_an_aggregation_that_is_not_understood(aggr, reason):
    layer, theirs = gdl.SAGEConv(4, 4, aggr=aggr), pyg.SAGEConv(4, 4, aggr=aggr)
    theirs.load_state_dict(layer.state_dict())
    close(runs_on_the_message_path(layer, reason), theirs(X, EDGES))


def test_the_aggregation_module_counts_not_its_name():
    layer, total = gdl.SAGEConv(4, 4, aggr="mean"), pyg.SAGEConv(4, 4, aggr="sum")
    total.load_state_dict(layer.state_dict())
    layer(X, EDGES)
    layer.aggr_module = SumAggregation()
    runs_compiled(layer, total)

    class Halved(SumAggregation):
        def forward(self, *args, **kwargs):
            return 0.5 * super().forward(*args, **kwargs)

    layer.aggr_module = total.aggr_module = Halved()
    runs_compiled(layer, total)


def test_explain_mode_forces_the_message_path_and_ends():
    layer = gdl.GCNConv(4, 4)
    expected = layer(X, EDGES)
    layer.explain = True
    layer._edge_mask, layer._loop_mask, layer._apply_sigmoid = torch.ones(5), EDGES[0] != EDGES[1], False
    close(runs_on_the_message_path(layer, "explain mode needs every message"), expected)
    layer.explain = False
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"

"""Which lowering runs: what is customised is compiled with its change, or goes to the message path with the reason."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch
import torch_geometric.nn as pyg
from layer_cases import BY_NAME, close, gradients, inputs
from torch import nn
from torch_geometric.nn.aggr import SumAggregation
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import scatter

from graphgdl import nn as gdl
from graphgdl.nn import explain_lowering
from graphgdl.nn.explain_lowering import LayerLowering

# torch says once in a process that it does not check sparse matrices, which PyG builds
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")

HOOKS = ["propagate", "message", "aggregate", "message_and_aggregate"]
X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 0, 4, 1]])


def runs_on_the_message_path(layer, reason, *args):
    """Return the output, after checking that 'auto' gives the reason and that 'compiled' raises it."""
    args = args or (X, EDGES)
    row = explain_lowering(layer, *args)[0]
    assert row.ran == "message"
    assert reason in row.refused["compiled"]
    out = layer(*args)
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match=r"`lowering` 'compiled' of \w+ does not apply: .*; use 'auto'") as error:
        layer(*args)
    assert reason in str(error.value)
    layer.lowering = "message"
    close(layer(*args), out)
    layer.lowering = "auto"
    return out


def runs_compiled(ours, theirs, x=X, edges=EDGES, *features):
    """Check that `ours` is compiled, and equals `theirs`, of the same parameters, up to the second derivative."""
    found = []
    for layer in (ours.double(), theirs.double()):
        args = [t.detach().double().requires_grad_() for t in (x, *features)]
        args.insert(1, edges)
        if layer is ours:
            assert {row.ran for row in explain_lowering(layer, *args)} == {"compiled"}
        leaves = [args[0], *args[2:], *layer.parameters()]
        out = layer(*args)
        first = gradients(out.tanh(), leaves, create_graph=True)
        product = sum((g * torch.linspace(-1, 2, g.numel(), dtype=g.dtype).view_as(g)).sum() for g in first)
        found.append([out, *first, *gradients(product, leaves)])
    for actual, expected in zip(*found, strict=True):
        close(actual, expected)


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


def test_explain_mode_forces_the_message_path_and_ends():
    layer = gdl.GCNConv(4, 4)
    expected = layer(X, EDGES)
    layer.explain = True
    layer._edge_mask, layer._loop_mask, layer._apply_sigmoid = torch.ones(5), EDGES[0] != EDGES[1], False
    close(runs_on_the_message_path(layer, "explain mode needs every message"), expected)
    layer.explain = False
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"


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

"""What the compiler does not understand it refuses with a reason, and no wrong number ever comes out of it.

Each function below is a `message` (or `aggregate`, `update`) as a user may write it. With a reason it must be refused for
that reason; without one it must be compiled, and agree with the message path in value and gradient.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from loop_programs import graph
from torch.utils.checkpoint import checkpoint
from torch_geometric.utils import scatter
from user_layers import UserLayer, reason

from graphgdl.compiler import message as compiled_messages

TENSOR = torch.arange(4.0, dtype=torch.float64)
IN_PROOF = "differs from that of the message path in the proof"
OUTSIDE = "neither an input nor a parameter or buffer"


class Case(NamedTuple):
    step: str
    function: Callable[..., Any]
    reason: str | None


CASES: dict[str, Case] = {}


def case(expected: str | None = None, step: str = "message") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def remember(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES[function.__name__] = Case(step, function, expected)
        return function

    return remember


# --- control flow and numbers that depend on values


@case("Tensor.item")
def branches_on_a_value(self, x_j):
    return x_j if x_j.sum() > 0 else -x_j


@case("Tensor.item")
def reads_a_parameter_as_a_number(self, x_j):
    return x_j * self.weight[0].item()


@case("no data")
def lists_a_parameter(self, x_j):
    return x_j * self.weight.tolist()[0]


@case("nonzero")
def selects_by_a_mask(self, x_j):
    return x_j * x_j[x_j > 0].sum()


@case("nonzero")
def drops_edges(self, x_j):
    return x_j[x_j.sum(-1).nonzero().squeeze(-1)]


@case("sort")
def sorts(self, x_j):
    return x_j.sort(-1).values


@case("topk")
def takes_the_greatest(self, x_j):
    return x_j.topk(2, -1).values.repeat(1, 2)


# --- numbers of nodes and edges as data


@case(IN_PROOF)
def divides_by_the_number_of_edges(self, x_j):
    return x_j / x_j.size(0)


@case(IN_PROOF)
def scales_by_the_log_of_the_number_of_edges(self, x_j):
    return x_j * math.log(x_j.size(0))


@case(IN_PROOF)
def scales_by_the_number_of_nodes(self, x_j, dim_size):
    return x_j * dim_size


@case(IN_PROOF)
def branches_on_the_number_of_edges(self, x_j):
    return 3 * x_j if x_j.size(0) > 1000 else x_j


@case(IN_PROOF, "update")
def divides_by_the_number_of_nodes(self, inputs):
    return inputs / inputs.size(0)


@case("for each node or edge out of nothing")
def numbers_the_edges(self, x_j):
    return x_j * torch.arange(x_j.size(0)).view(-1, 1)


# --- statistics over all edges or nodes


@case("a mean over all edges or nodes")
def centres_over_edges(self, x_j):
    return x_j - x_j.mean(0)


@case("a mean over all edges or nodes", "update")
def centres_over_nodes(self, inputs):
    return inputs - inputs.mean(0)


@case("a norm of order 2, or over all edges")
def normalises_over_edges(self, x_j):
    return x_j / x_j.norm()


@case("a softmax over all edges")
def softmax_over_edges(self, x_j):
    return x_j.softmax(0)


@case("native_batch_norm")
def batch_norm(self, x_j):
    return F.batch_norm(x_j, None, None, training=True)


@case()
def subtracts_the_sum_over_edges(self, x_j):
    return x_j - x_j.sum(0)


# --- the edge index


@case("the edge index is used as data")
def index_as_data(self, x_j, index):
    return x_j * index.view(-1, 1).to(x_j.dtype)


@case("the edge index is used as data")
def compares_ends(self, x_j, edge_index):
    return x_j * (edge_index[0] < edge_index[1]).view(-1, 1)


@case("selects rows by something else")
def index_arithmetic(self, x_j, index, x, dim_size):
    return x_j + x[(index + 1) % dim_size]


@case("selects rows by something else")
def flipped_index(self, x_j, edge_index, x):
    return x_j * x[edge_index.flip(0)[0]]


@case()
def scatters_to_sources_and_back(self, x_j, edge_index, dim_size):
    return scatter(x_j, edge_index[0], 0, dim_size=dim_size, reduce="sum")[edge_index[1]]


@case("edges or nodes are sliced")
def uses_the_first_edge(self, x_j):
    return x_j - x_j[0]


@case("edges or nodes are sliced")
def reverses_edges(self, x_j):
    return x_j.flip(0)


@case("roll")
def rolls_edges(self, x_j):
    return x_j.roll(1, 0)


@case("cumsum")
def accumulates_over_edges(self, x_j):
    return x_j.cumsum(0)


@case("merges edges or nodes with features")
def transposes_into_features(self, x_j):
    return x_j.t().reshape(x_j.size(0), 4)


@case("folded")
def folds_edges_the_wrong_way(self, x_j):
    return x_j.view(-1, 2).view(2, -1).t().reshape(-1, 4)


@case()
def merges_edges_and_back(self, x_j):
    return (x_j.view(-1) * 2).view(-1, 4)


# --- tensors from elsewhere


@case(OUTSIDE)
def global_tensor(self, x_j):
    return x_j * TENSOR


@case(OUTSIDE)
def item_of_a_global_tensor(self, x_j):
    return x_j * TENSOR[1].item()


@case(OUTSIDE)
def global_tensor_through_numpy(self, x_j):
    return x_j * float(TENSOR.numpy()[1])


@case()
def constant_tensor(self, x_j):
    return x_j * torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=x_j.dtype) + torch.arange(4.0, dtype=x_j.dtype)


@case()
def infinite_constant(self, x_j):
    return torch.where(x_j > 0, x_j, torch.tensor(float("-inf"), dtype=x_j.dtype)).exp()


# --- what gradients do not see


@case("torch.autograd.Function")
def derivative_of_its_own(self, x_j):
    return Sevenfold.apply(x_j)


@case("behind the gradient's back")
def in_place_without_gradient(self, x_j):
    h = x_j * 2
    with torch.no_grad():
        h.mul_(3)
    return h * h


@case("of which views exist")
def in_place_on_a_detached_alias(self, x_j):
    h = x_j * 2
    h.detach().add_(1)
    return h


@case("of which views exist")
def in_place_on_data(self, x_j):
    h = x_j * 2
    h.data.add_(1)
    return h


@case(IN_PROOF)
def hook_on_a_tensor(self, x_j):
    if x_j.requires_grad:
        x_j.register_hook(lambda g: g * 3)
    return x_j * 1.5


@case(IN_PROOF)
def asks_for_requires_grad(self, x_j):
    return x_j * 2.5 if x_j.requires_grad else x_j * 3.5


@case()
def detached_factor(self, x_j):
    return x_j * x_j.detach()


@case()
def factor_without_gradient(self, x_j):
    with torch.no_grad():
        scale = x_j.abs() + 1
    return x_j / scale


@case()
def parts_without_gradient(self, x_j):
    with torch.no_grad():
        _, part = x_j.chunk(2, -1)
    return torch.cat([x_j[:, :2], x_j[:, 2:] * part], -1)


@case()
def weight_normalised_without_gradient(self, x_j):
    with torch.no_grad():
        weight = self.lin.weight / self.lin.weight.norm()
    return F.linear(x_j, weight)


@case()
def gradient_of_a_gradient_inside(self, x_j):
    inner = x_j.detach().requires_grad_()
    (slope,) = torch.autograd.grad((inner**3).sum(), inner)
    return slope * x_j


@case()
def checkpointed(self, x_j):
    return checkpoint(lambda v: torch.tanh(self.lin(v)), x_j, use_reentrant=False)


# --- changes in place


@case("changes an input in place", "update")
def input_in_place(self, inputs, x):
    x.mul_(2)
    return inputs + x


@case("of which views exist")
def view_in_place(self, x_j):
    h = x_j * 2
    h[:, 0].add_(1)
    return h


@case("of which views exist")
def base_in_place_under_a_view(self, x_j):
    h = x_j * 2
    view = h[:, :2]
    h.add_(1)
    return torch.cat([view, view], -1)


@case("a tensor of numbers in place")
def constant_in_place(self, x_j):
    numbers = torch.tensor([0.0, 0.0, 0.0, 0.0], dtype=x_j.dtype)
    numbers.add_(self.weight)
    return x_j + numbers


@case()
def fresh_tensor_in_place(self, x_j):
    h, kept = x_j.clone(), x_j.clone()
    h.add_(1).mul_(2)
    return h - kept


# --- random numbers


@case("draws random numbers")
def random_factor(self, x_j):
    return x_j * torch.rand_like(x_j)


@case("draws random numbers")
def random_order_of_features(self, x_j):
    return x_j[:, torch.randperm(4)]


@case("random numbers outside torch")
def numpy_random(self, x_j):
    return x_j * float(np.random.rand())  # noqa: NPY002


# --- state


@case("changes the attribute `calls`")
def counts_its_calls(self, x_j):
    self.calls = getattr(self, "calls", 0) + 1
    return x_j


@case("changes the attribute `seen`")
def appends_to_a_list(self, x_j):
    self.seen.append(x_j)
    return x_j


@case()
def sets_an_attribute_to_a_tensor(self, x_j):
    self.last = torch.tanh(x_j)
    return self.last * 2


# --- dtypes and ops


@case("edge index is used as data|int64")
def rounds_to_integers(self, x_j):
    return (x_j * 10).long().to(x_j.dtype)


@case("float16")
def computes_in_half(self, x_j):
    return x_j.half().to(x_j.dtype)


@case("is not understood")
def special_function(self, x_j):
    return torch.special.i0(x_j)


@case("is not understood")
def asks_for_nan(self, x_j):
    return torch.where(torch.isnan(x_j), 0.0, x_j)


@case()
def computes_in_float32(self, x_j):
    return x_j.float().to(x_j.dtype)


@case()
def powers(self, x_j):
    return x_j**3 + x_j**0 + x_j**1.0 + x_j.abs() ** self.weight


# --- aggregation


@case(None, "aggregate")
def sums_into_zeros(self, inputs, index, dim_size):
    return torch.zeros(dim_size, inputs.size(1), dtype=inputs.dtype).index_add_(0, index, inputs)


@case(None, "aggregate")
def sums_into_ones(self, inputs, index, dim_size):
    return torch.empty(dim_size, inputs.size(1), dtype=inputs.dtype).fill_(1.0).index_add_(0, index, inputs)


@case("writes rows by index", "aggregate")
def last_edge_wins(self, inputs, index, dim_size):
    out = torch.zeros(dim_size, inputs.size(1), dtype=inputs.dtype)
    out[index] = inputs
    return out


@case("includes what it is reduced into", "aggregate")
def maximum_with_zero(self, inputs, index, dim_size):
    into = torch.zeros(dim_size, inputs.size(1), dtype=inputs.dtype)
    return into.scatter_reduce_(0, index.view(-1, 1).expand_as(inputs), inputs, "amax")


@case("'prod'", "aggregate")
def products(self, inputs, index, dim_size):
    return scatter(inputs, index, 0, dim_size=dim_size, reduce="mul")


@case("computed from the number of nodes", "aggregate")
def one_row_more(self, inputs, index, dim_size):
    into = torch.zeros(dim_size + 1, inputs.size(1), dtype=inputs.dtype)
    return into.index_add_(0, index, inputs)[:dim_size]


@case(None, "update")
def returns_the_same_twice(self, inputs):
    return inputs, inputs


class Sevenfold(torch.autograd.Function):
    """Doubles, with a gradient that is not its derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return g * 7


def made(step: str, function: Callable[..., Any], **kwargs: Any) -> UserLayer:
    """Return a layer with one of its methods replaced."""
    method = types.FunctionType(function.__code__, function.__globals__, step, None, function.__closure__)
    layer = type(f"With{function.__name__}", (UserLayer,), {step: method, "__module__": __name__})(**kwargs)
    layer.seen = []
    return layer


@pytest.fixture(autouse=True)
def forgotten(monkeypatch, tmp_path):
    """Nothing is known of programs that other tests compiled."""
    monkeypatch.setattr(compiled_messages, "_programs", {})
    monkeypatch.setenv("GRAPHGDL_CACHE", str(tmp_path))


def results(layer: UserLayer, lowering: str, x: Any, *args: Any, **inputs: Any) -> list[torch.Tensor]:
    """Return outputs and gradients by all floating-point inputs and parameters."""
    torch.manual_seed(0)
    layer.lowering = lowering
    x = tuple(t.detach().clone().requires_grad_() for t in x) if isinstance(x, tuple) else x.clone().requires_grad_()
    out = layer(x, *args, **inputs)
    outs = list(out) if isinstance(out, tuple) else [out]
    total = sum((o * torch.cos(torch.arange(o.numel(), dtype=o.dtype)).view_as(o)).sum() for o in outs)
    leaves = [*(x if isinstance(x, tuple) else (x,)), *layer.parameters()]
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    return outs + [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found)]


def assert_same(layer: UserLayer, x: Any, edge_index: torch.Tensor, lowering: str, **inputs: Any) -> None:
    expected = results(layer, "message", x, edge_index, **inputs)
    found = results(layer, lowering, x, edge_index, **inputs)
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12, equal_nan=True, msg=lambda m, k=k: f"{k}: {m}")


def node_features(rows: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


G = graph("unsorted", 9, 9, 30, 1)


@pytest.mark.filterwarnings("ignore:Casting complex")
@pytest.mark.parametrize("name", CASES)
def test_refused_or_right(name):
    step, function, expected = CASES[name]
    layer, x = made(step, function), node_features(9, 4)
    if name == "input_in_place":  # a leaf cannot be changed in place: called without gradient
        layer.lowering = "compiled"
        with pytest.raises(ValueError, match=expected):
            layer(x, G.edge_index)
        return
    if expected is None:
        assert reason(layer, x.clone().requires_grad_(), G.edge_index) is None
        assert_same(layer, x, G.edge_index, "compiled")
        return
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match=expected):
        layer(x.clone().requires_grad_(), G.edge_index)
    if expected != "draws random numbers" and "random" not in expected:
        fresh = made(step, function)
        try:
            results(fresh, "message", x, G.edge_index)
        except (RuntimeError, ValueError):
            return  # PyG's path does not run it either
        assert_same(fresh, x, G.edge_index, "auto")


# --- shapes that mean another thing by coincidence


class Weighted(UserLayer):
    """Has an input with as many rows as there are edges, nodes or features."""

    def forward(self, x, edge_index, w):
        return self.propagate(edge_index, x=x, w=w)

    def message(self, x_j, w):
        return x_j * w


class Updating(UserLayer):
    """Adds an input after the aggregation."""

    def forward(self, x, edge_index, w):
        return self.propagate(edge_index, x=x, w=w)

    def message(self, x_j):
        return x_j

    def update(self, out, w):
        return out + w


@pytest.mark.parametrize("shape", [(4,), (1, 4), (), (1,), (1, 1)])
@pytest.mark.parametrize(("nodes", "edges"), [(9, 30), (4, 30), (9, 4), (4, 4), (1, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize("cls", [Weighted, Updating])
def test_constants_as_long_as_nodes_or_edges(cls, nodes, edges, shape):
    g = graph("unsorted", nodes, nodes, edges, 3)
    assert_same(cls(), node_features(nodes, 4), g.edge_index, "auto", w=node_features(1, *shape)[0])


@pytest.mark.parametrize(("nodes", "edges"), [(9, 9), (4, 4), (1, 1), (9, 30), (1, 5), (5, 1)])
def test_edge_weights_where_sizes_coincide(nodes, edges):
    g = graph("unsorted", nodes, nodes, edges, 3)
    layer, x = Weighted(), node_features(nodes, 4)
    assert_same(layer, x, g.edge_index, "auto", w=node_features(edges, 1))
    other = graph("unsorted", 7, 7, 12, 4)
    assert_same(layer, node_features(7, 4), other.edge_index, "auto", w=node_features(12, 1))


def test_the_variant_of_one_size_is_not_used_for_another():
    """The same layer with n == e and then n != e: each time as the message path."""
    layer = Updating()
    for nodes, edges in ((9, 9), (9, 30), (30, 30), (5, 9), (9, 9)):
        g = graph("unsorted", nodes, nodes, edges, 5)
        assert_same(layer, node_features(nodes, 4), g.edge_index, "auto", w=node_features(nodes, 4))


# --- flow, node_dim, bipartite graphs


class Both(UserLayer):
    """Treats its two ends differently."""

    def message(self, x_i, x_j):
        return torch.tanh(self.lin(x_j)) * x_i[:, :1]


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("sizes", [(9, 9), (9, 6), (5, 8)])
def test_flow(flow, sizes):
    g = graph("unsorted", *sizes, 25, 2)
    x = node_features(9, 4) if g.square else (node_features(sizes[0], 4), node_features(sizes[1], 4, seed=1))
    layer = Both(flow=flow)
    if g.square:
        assert reason(layer, x, g.edge_index) is None
    assert_same(layer, x, g.edge_index, "auto")


@pytest.mark.parametrize("dims", [(9, 2, 4), (9, 9, 4), (2, 9, 4)])
@pytest.mark.parametrize("node_dim", [0, -2, 1, -3])
def test_node_dim_with_three_dimensions(dims, node_dim):
    layer, x = UserLayer(node_dim=node_dim), node_features(*dims)
    try:
        results(layer, "message", x, G.edge_index)
    except (RuntimeError, ValueError, IndexError):
        return  # nodes are not in that dimension
    assert_same(layer, x, G.edge_index, "auto")


class WrongEnd(UserLayer):
    """Reads destination features at the index of the source: allowed while there are no more sources than destinations."""

    def message(self, x_j, edge_index, x):
        return x_j + x[1][edge_index[0]]


class WrongEndReduced(UserLayer):
    """Sums into destinations by the index of the source."""

    def __init__(self, reduction):
        super().__init__()
        self.reduction = reduction

    def aggregate(self, inputs, edge_index, dim_size):
        return scatter(inputs, edge_index[0], 0, dim_size=dim_size, reduce=self.reduction)


@pytest.mark.parametrize("layer", [WrongEnd(), WrongEndReduced("sum"), WrongEndReduced("max")], ids=str)
def test_no_row_is_found_by_the_index_of_the_other_end(layer):
    x = (node_features(3, 4), node_features(8, 4, seed=1))
    g = graph("unsorted", 3, 8, 25, 2)
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match="rows of one end by the index of the other"):
        layer(x, g.edge_index)
    assert_same(layer, x, g.edge_index, "auto")


# --- the result, and what it is saved for, may be changed in place


class ChangedAfterwards(UserLayer):
    """Changes what `propagate` returns in place."""

    def __init__(self, aggr, change):
        super().__init__(aggr=aggr)
        self.change = change

    def forward(self, x, edge_index):
        out = self.propagate(edge_index, x=x)
        return self.change(out)

    def message(self, x_i, x_j):
        return torch.tanh(self.lin(x_j) * x_i)


@pytest.mark.parametrize("aggr", ["sum", "mean", "std", "softmax"])  # PyG's own maximum cannot be changed in place
@pytest.mark.parametrize(
    "change", [lambda o: o.add_(1), lambda o: o.mul_(2), lambda o: o.relu_()], ids=["add", "mul", "relu"]
)
def test_results_changed_in_place(aggr, change):
    """Right, or torch's own error that a tensor needed for the gradient was changed; never a wrong gradient."""
    layer, x = ChangedAfterwards(aggr, change), node_features(9, 4)
    expected = results(layer, "message", x, G.edge_index)
    try:
        found = results(layer, "compiled", x, G.edge_index)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017
        return
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


# --- what a message reads may change


class Scaled(UserLayer):
    """Reads a number from everywhere a number can be."""

    factor = 2.0

    def __init__(self):
        super().__init__()
        self.own = 3.0
        self.config = types.SimpleNamespace(scale=1.5)
        self.options = {"shift": 0.5}

    def message(self, x_j):
        shift = self.options["shift"] + OPTIONS[0] + SHIFT
        return x_j * (self.factor * self.own * self.config.scale) + shift


OPTIONS = [0.25]
SHIFT = 0.125


@pytest.mark.parametrize(
    "change",
    [
        lambda layer, m: setattr(layer, "own", 4.0),
        lambda layer, m: m.setattr(Scaled, "factor", 5.0),
        lambda layer, m: setattr(layer, "factor", 5.0),
        lambda layer, m: setattr(layer.config, "scale", 5.0),
        lambda layer, m: layer.options.update(shift=7.0),
        lambda layer, m: m.setattr(sys.modules[__name__], "OPTIONS", [6.0]),
        lambda layer, m: OPTIONS.append(OPTIONS.pop() + 1),
        lambda layer, m: m.setitem(globals(), "SHIFT", 6.0),
        lambda layer, m: m.setattr(Scaled, "message", lambda self, x_j: x_j * 9),
        lambda layer, m: layer.lin.register_forward_hook(lambda module, inputs, out: out + 1),
        lambda layer, m: setattr(layer, "weight", None),
        lambda layer, m: layer.lin.weight.data.mul_(2),
    ],
    ids=[
        "own",
        "class",
        "shadowed",
        "object",
        "dict",
        "global list",
        "inside a global list",
        "global",
        "method",
        "hook",
        "parameter",
        "values",
    ],
)
def test_nothing_stale(change, monkeypatch):
    layer, x = Scaled(), node_features(9, 4)
    assert reason(layer, x, G.edge_index) is None
    assert_same(layer, x, G.edge_index, "compiled")
    change(layer, monkeypatch)
    assert_same(layer, x, G.edge_index, "auto")


def test_edges_changed_in_place_are_sorted_again():
    layer, x, edge_index = UserLayer(), node_features(9, 4), G.edge_index.clone()
    assert_same(layer, x, edge_index, "compiled")
    edge_index[0, :7] = 3
    edge_index[1, ::2] = 5
    assert_same(layer, x, edge_index, "compiled")


@pytest.mark.parametrize("bad", [9, -1])
@pytest.mark.parametrize("row", [0, 1])
def test_an_index_out_of_range_is_never_read(bad, row):
    edge_index = G.edge_index.clone()
    edge_index[row, 3] = bad
    layer = UserLayer()
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match=r"`edge_index`.* must hold values in \[0, 9\), got"):
        layer(node_features(9, 4), edge_index)


def test_integer_features_are_left_to_the_message_path():
    class Integers(UserLayer):
        def message(self, x_j):
            return x_j * 2

    layer = Integers()
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match=r"int64"):
        layer(torch.arange(36).view(9, 4), G.edge_index)
    layer.lowering = "auto"
    x = torch.arange(36).view(9, 4)
    expected = torch.zeros_like(x).index_add_(0, G.dst, x[G.src] * 2)
    assert torch.equal(layer(x, G.edge_index), expected)


# --- programs are shared between layers that record the same, so a verdict must not travel further than it is true


def test_a_proof_does_not_vouch_for_another_message():
    """Both record `x_j * 3`, one because it does not see the graph it is recorded on."""
    x = node_features(9, 4)
    assert_same(made("message", lambda self, x_j: 3 * x_j), x, G.edge_index, "compiled")
    assert_same(made("message", branches_on_the_number_of_edges), x, G.edge_index, "auto")


def test_a_refusal_does_not_spoil_another_message():
    x = node_features(9, 4)
    assert reason(made("message", branches_on_the_number_of_edges), x, G.edge_index) is not None
    assert reason(made("message", lambda self, x_j: 3 * x_j), x, G.edge_index) is None

"""What a message reads, changes and hides from autograd: refused with a reason, or right, also after it has changed."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
from user_layers import UserLayer, reason
from user_messages import G, assert_refused_or_right, assert_same, case, cases_of, forgotten, node_features, results  # noqa: F401

TENSOR = torch.arange(4.0, dtype=torch.float64)
OUTSIDE = "neither an input nor a parameter or buffer"


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
def numbers_where_the_features_are(self, x_j):
    here = {"dtype": x_j.dtype, "device": x_j.device}
    scale = torch.arange(4, **here) + torch.linspace(0, 1, 4, **here) + torch.tensor([1.0, 2.0, -1.0, 0.5], **here)
    return x_j @ torch.eye(4, **here) * scale + torch.arange(4).to(x_j) * x_j.new_tensor(2.0) + x_j.new_full((4,), 3.0)


@case()
def infinite_constant(self, x_j):
    return torch.where(x_j > 0, x_j, torch.tensor(float("-inf"), dtype=x_j.dtype)).exp()


# --- what gradients do not see


@case("torch.autograd.Function")
def derivative_of_its_own(self, x_j):
    return Sevenfold.apply(x_j)


@case()
def cosine_of_an_angle(self, x_i, x_j):
    return F.cosine_similarity(x_i, x_j.clamp(min=0), dim=-1).unsqueeze(-1) * x_j


@case("gradient differs from that of the message path in the proof")
def in_place_on_what_a_derivative_needs(self, x_j):
    h = x_j.exp()
    with torch.no_grad():
        h.mul_(3)
    return h


@case()
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


@case("how a tensor was computed")
def hook_on_a_tensor(self, x_j):
    if x_j.requires_grad:
        x_j.register_hook(lambda g: g * 3)
    return x_j * 1.5


@case()
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


class Sevenfold(torch.autograd.Function):
    """Doubles, with a gradient that is not its derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return g * 7


@pytest.mark.parametrize("name", cases_of(__name__))
def test_refused_or_right(name):
    assert_refused_or_right(name)


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

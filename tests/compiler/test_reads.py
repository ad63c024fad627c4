"""What a message reads of tensors besides torch's ops: data, sizes, whether they need a gradient. Seen, or refused."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from random_graphs import graph
from torch import nn
from user_layers import UserLayer, reason

from graphgdl.compiler import recorder

TENSOR = torch.arange(1.0, 5.0, dtype=torch.float64)
SCALE = 2.0
G = graph("unsorted", 9, 9, 30, 1)


def made(message: Callable[..., Any], **kwargs: Any) -> UserLayer:
    """Return a layer with this message."""
    method = types.FunctionType(message.__code__, message.__globals__, "message", None, message.__closure__)
    return type("Reads", (UserLayer,), {"message": method, "__module__": __name__})(**kwargs)


def features(rows: int = 9, grad: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 4, dtype=torch.float64, generator=generator).requires_grad_(grad)


def assert_same(layer: UserLayer, x: torch.Tensor, edge_index: torch.Tensor, lowering: str = "auto") -> None:
    found = []
    for name in ("message", lowering):
        layer.lowering = name
        out = layer(x, edge_index)
        leaves = [t for t in [x, *layer.parameters()] if t.requires_grad] if out.requires_grad else []
        found.append([out, *(torch.autograd.grad(out.sin().sum(), leaves, allow_unused=True) if leaves else ())])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-12)


# --- data


READS = {
    "tolist": lambda self, x_j: x_j * TENSOR.tolist()[1],
    "tolist of an attribute": lambda self, x_j: x_j * self.plain.tolist()[1],
    "item": lambda self, x_j: x_j * TENSOR[1].item(),
    "float": lambda self, x_j: x_j * float(TENSOR[1]),
    "bool": lambda self, x_j: x_j if TENSOR[1] > 1 else -x_j,
    "numpy": lambda self, x_j: x_j * float(TENSOR.numpy()[1]),
    "asarray": lambda self, x_j: x_j * float(np.asarray(TENSOR)[1]),
    "dlpack": lambda self, x_j: x_j * float(np.from_dlpack(TENSOR)[1]),
    "text": lambda self, x_j: x_j * len(repr(TENSOR)),
    "format": lambda self, x_j: x_j * len(f"{TENSOR}"),
    "address": lambda self, x_j: x_j * (TENSOR.data_ptr() % 7),
    "iteration": lambda self, x_j: x_j * sum(float(t) for t in TENSOR),
}


@pytest.mark.parametrize("name", READS)
def test_data_of_a_tensor_from_elsewhere_is_no_constant(name):
    layer, x = made(READS[name]), features()
    layer.plain = TENSOR
    assert reason(layer, x, G.edge_index) is not None


def test_a_change_of_a_global_tensor_counts():
    layer, x = made(READS["tolist"]), features()
    assert_same(layer, x, G.edge_index)
    TENSOR[1] = 7.0
    assert_same(layer, x, G.edge_index)


def test_numbers_made_in_the_message_may_be_read():
    layer = made(lambda self, x_j: x_j * torch.tensor([1.0, 3.0]).tolist()[1] + torch.arange(3)[2].item())
    assert reason(layer, features(), G.edge_index) is None
    assert_same(layer, features(), G.edge_index, "compiled")


# --- the need of a gradient


NEEDS = {
    "input": lambda self, x_j: x_j * (2.5 if x_j.requires_grad else 3.5),
    "weight": lambda self, x_j: x_j * (2.5 if self.weight.requires_grad else 3.5),
    "computed": lambda self, x_j: self.lin(x_j) * (2.5 if (self.lin(x_j) * 2).requires_grad else 3.5),
    "detached": lambda self, x_j: x_j * (2.5 if x_j.detach().requires_grad else 3.5),
    "constant": lambda self, x_j: x_j * (2.5 if torch.zeros_like(x_j).requires_grad else 3.5),
    "comparison": lambda self, x_j: x_j * (2.5 if (x_j > 0).requires_grad else 3.5),
    "part": lambda self, x_j: x_j * (2.5 if x_j.chunk(2, -1)[0].requires_grad else 3.5),
}


@pytest.mark.parametrize("no_grad", [False, True])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("inputs", [False, True])
@pytest.mark.parametrize("name", NEEDS)
def test_the_need_of_a_gradient_is_seen(name, inputs, weights, no_grad):
    layer, x = made(NEEDS[name]).requires_grad_(weights), features(grad=inputs)
    with torch.set_grad_enabled(not no_grad):
        assert reason(layer, x, G.edge_index) is None
        assert_same(layer, x, G.edge_index, "compiled")


def test_a_change_of_the_need_of_a_gradient_counts():
    layer = made(NEEDS["weight"])
    for needed in (True, False, True):
        layer.weight.requires_grad_(needed)
        assert_same(layer, features(), G.edge_index, "compiled")


@pytest.mark.parametrize(
    "message",
    [
        lambda self, x_j: x_j * (2 if x_j.grad_fn is None else 3),
        lambda self, x_j: x_j * (2 if x_j.is_leaf else 3),
        lambda self, x_j: x_j * (2 if self.weight.grad is None else 3),
        lambda self, x_j: x_j * (2 if x_j._version == 0 else 3),
        lambda self, x_j: x_j * (2 if x_j.register_hook(lambda g: 3 * g) else 3),
    ],
    ids=["grad_fn", "is_leaf", "grad", "_version", "register_hook"],
)
def test_the_history_of_a_tensor_is_refused(message):
    assert "how a tensor was computed" in reason(made(message), features(), G.edge_index)


def test_parameters_are_parameters():
    layer = made(lambda self, x_j: x_j * (2 if isinstance(self.weight, nn.Parameter) else 3))
    assert reason(layer, features(), G.edge_index) is None
    assert_same(layer, features(), G.edge_index, "compiled")


# --- sizes


BRANCHES = {
    "edges": lambda self, x_j: x_j * 2 if x_j.size(0) > 5 else x_j,
    "nodes": lambda self, x_j, x: x_j * 2 if x.shape[0] >= 5 else x_j,
    "length": lambda self, x_j, x: x_j * 2 if len(x) < 5 else x_j,
    "elements": lambda self, x_j, x: x_j * 2 if x.numel() != 12 else x_j,
    "dim_size": lambda self, x_j, dim_size: x_j * 2 if dim_size == 5 else x_j,
    "size_i": lambda self, x_j, size_i: x_j * 2 if size_i == 5 else x_j,
    "unpacked": lambda self, x_j: x_j * 2 if x_j.size()[:1][0] > 5 else x_j,
    "computed": lambda self, x_j, dim_size: x_j * 2 if 2 * dim_size - 10 > 0 else x_j,
    "least": lambda self, x_j, dim_size: x_j * min(dim_size, 5),
    "truth": lambda self, x_j, dim_size: x_j * (2 if dim_size - 3 else 3),
    "two sizes": lambda self, x_j, x: x_j * (2 if len(x_j) > len(x) else 3),
    "divided": lambda self, x_j, dim_size: x_j * (2 if dim_size / 2 > 3 else 3),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_on_a_number_of_nodes_or_edges_is_refused(name):
    layer = made(BRANCHES[name])
    assert "number of nodes or edges" in reason(layer, features(), G.edge_index)
    for nodes, edges in ((9, 30), (3, 4), (5, 5), (1, 2)):
        g = graph("unsorted", nodes, nodes, edges, 3)
        assert_same(layer, features(nodes), g.edge_index)


ALLOWED = {
    "nothing is empty": lambda self, x_j, dim_size: x_j * (2 if x_j.numel() == 0 or not dim_size > 0 else 3),
    "features": lambda self, x_j: x_j * (2 if x_j.size(-1) > 3 else 3),
    "equal sizes": lambda self, x_i, x_j: x_j * (2 if x_i.size(0) == x_j.shape[0] else 3),
    "views": lambda self, x_j: (x_j.view(x_j.size(0) * 2, 2) * 3).view(x_j.shape[0], -1),
    "hash": lambda self, x_j: x_j * (2 if {x_j.size(0): True}[x_j.size(0)] else 3),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_sizes_that_decide_nothing(name):
    layer = made(ALLOWED[name])
    assert reason(layer, features(), G.edge_index) is None
    assert_same(layer, features(), G.edge_index, "compiled")


def test_a_loop_over_edges_is_refused(monkeypatch):
    monkeypatch.setattr(recorder, "MOST_OPS", 50)
    layer = made(lambda self, x_j: torch.stack([x_j[k] for k in range(x_j.size(0))]))
    assert reason(layer, features(), G.edge_index) == "it runs more than 50 operations"


def test_edges_one_by_one_are_refused():
    layer = made(lambda self, x_j: torch.stack([row * 2 for row in x_j]))
    assert reason(layer, features(), G.edge_index) == "it takes edges or nodes one by one"


# --- what guards watch


def reads_an_attribute_with_the_name_of_a_global(self, x_j):
    return x_j * self.SCALE


def test_an_attribute_is_no_global(monkeypatch):
    layer = made(reads_an_attribute_with_the_name_of_a_global)
    layer.SCALE, layer.lowering = 3.0, "compiled"
    layer(features(), G.edge_index)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 5.0)
    monkeypatch.setattr("graphgdl.compiler.message.record", None)
    layer(features(), G.edge_index)


OUTER = types.ModuleType("outer_of_a_user")
OUTER.inner = types.ModuleType("inner_of_a_user")
ARRAY = np.ones(3)


def imports(self, x_j):
    import outer_of_a_user

    return x_j * outer_of_a_user.SCALE


def default(x, options={"scale": 2.0}):  # noqa: B006 (that it may change is the point)
    return x * options["scale"]


def another(x, options=(2.0,)):
    return x * options[0]


CHANGES = {
    "module in a module": (lambda self, x_j: x_j * OUTER.inner.SCALE, lambda: setattr(OUTER.inner, "SCALE", 3.0)),
    "imported in the message": (imports, lambda: setattr(OUTER, "SCALE", 3.0)),
    "default argument": (lambda self, x_j: default(x_j), lambda: default.__defaults__[0].update(scale=3.0)),
    "default argument of the second": (
        lambda self, x_j: default(another(x_j)),
        lambda: default.__defaults__[0].update(scale=3.0),
    ),
    "NumPy array": (lambda self, x_j: x_j * float(ARRAY[1]), lambda: ARRAY.__setitem__(1, 3.0)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "outer_of_a_user", OUTER)
    OUTER.SCALE = OUTER.inner.SCALE = ARRAY[1] = default.__defaults__[0]["scale"] = 2.0
    message, change = CHANGES[name]
    layer = made(message)
    for _ in range(2):
        assert reason(layer, features(), G.edge_index) is None
        assert_same(layer, features(), G.edge_index, "compiled")
        change()

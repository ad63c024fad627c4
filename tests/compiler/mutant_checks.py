"""Small checks of the compiler that notice when one thing in it is broken."""

from __future__ import annotations

import pytest
import test_refusals  # noqa: F401 (cases)
import test_refused_state as user
import torch
from message_grammar import Generated
from random_graphs import graph
from test_derivatives import assert_same as same_derivatives
from torch_geometric import nn as pyg
from user_messages import assert_refused_or_right

from graphgdl.compiler import execute, interpret, topology
from graphgdl.compiler.interpret import Edges
from graphgdl.compiler.ir import Program
from graphgdl.nn import SAGEConv

G = graph("isolated rows", 11, 11, 45, 3)


def assert_compiled_is_interpreted(outputs_of, dtype: str = "f64") -> None:
    """Compile the program that `outputs_of(program, x, e, w)` builds, and compare it with the interpreter."""
    p = Program()
    shapes = {"x": ("N", (35,)), "e": ("E", (35,)), "w": ("C", (35, 6))}
    inputs = [p.input(name, space, shape, dtype) for name, (space, shape) in shapes.items()]
    generator = torch.Generator().manual_seed(0)
    values = [
        torch.randint(-2, 3, (*([] if n.space == "C" else [G.rows(n.space)]), *n.shape), generator=generator).double()
        for n in inputs
    ]
    outputs = outputs_of(p, *inputs)
    edge_index = G.edge_index
    found = execute.Executable(p.inputs, outputs)(topology.topology(edge_index, 11, 11), values)
    expected = interpret.interpret(outputs, dict(zip(inputs, values)), Edges(*edge_index, 11, 11))
    for node, a, b in zip(outputs, found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=lambda m, node=node: f"{node}: {m}")


def both_ends(p, x, e, w):
    left = p.pw("sub", p.gather(x, "src"), p.gather(x, "dst"))
    return [p.reduce(p.pw("mul", left, e), "dst", "N"), p.reduce(p.pw("mul", left, e), "src", "N")]


def sweeps(p, x, e, w):
    top = p.gather(p.rmax(e, "dst", "N"), "dst")
    weight = p.pw("exp", p.pw("sub", e, top))
    share = p.pw("div", weight, p.gather(p.reduce(weight, "dst", "N"), "dst"))
    return [p.reduce(p.pw("mul", share, p.gather(x, "src")), "dst", "N")]


def maxima(p, x, e, w):
    return [p.rmax(p.pw("sub", e, p.const(9.0, "f64")), "dst", "N"), p.rarg(e, "dst", "N")]


def tiles(p, x, e, w):
    squeezed = p.pw("tanh", e)
    hidden = p.mm(squeezed, w)
    return [
        squeezed,
        p.reduce(p.pw("tanh", hidden), "dst", "N"),
        p.reduce(p.cat([p.pw("cos", hidden), p.pw("sin", hidden)], 0), "src", "N"),
        p.mmt(hidden, e),
        p.total(p.pw("sin", hidden)),
    ]


def features(p, x, e, w):
    square = p.view(e, (5, 7))
    turned = p.permute(square, (1, 0))
    by_row = p.pw("mul", turned, p.sum(turned, [1], keepdim=True))
    parts = p.cat([p.take(by_row, 0, range(1, 4)), p.take(by_row, 0, range(3, 6))], 0)
    return [p.reduce(parts, "dst", "N"), p.total(p.amax(square, [1]))]


def loops(*programs):
    def check() -> None:
        for program in programs:
            assert_compiled_is_interpreted(program)

    return check


def assert_same_derivatives(plan, aggr) -> None:
    layer = Generated(plan, aggr, (4, 3), "both", 0)
    layer.widths, layer.described = (4, 3), "fixed"
    assert same_derivatives(layer, G, 1)


def derivatives() -> None:
    assert_same_derivatives([("mlp", 0, 0), ("silu", 0, 0), ("mul", 0, 2), ("tanh", 0, 0)], "sum")


def gradient_of_maximum() -> None:
    assert_same_derivatives([("linear", 0, 0)], "max")


def shares() -> None:
    """A softmax divides by its sum."""
    assert_same_derivatives([("linear", 0, 0)], "softmax")


def means() -> None:
    """The derivative of a mean divides by the degree of the other end, one number for many features."""
    layer = SAGEConv(18, 2).double()
    layer.lowering = "compiled"
    x = torch.rand(11, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    twin = pyg.SAGEConv(18, 2).double()
    twin.load_state_dict(layer.state_dict())
    found, expected = (torch.autograd.grad(c(x, G.edge_index).square().sum(), x)[0] for c in (layer, twin))
    torch.testing.assert_close(found, expected)


def of_user(name: str):
    return lambda: assert_refused_or_right(name)


def dropped() -> None:
    """Linear in x at x = 1, so the gradient of the sum is the sum, if both draw the same mask."""

    class Dropped(user.UserLayer):
        def message(self, x_j):
            return torch.nn.functional.dropout(x_j, 0.5, True)

    layer, ones = Dropped(), torch.ones(11, 4, dtype=torch.float64, requires_grad=True)
    layer.lowering = "compiled"
    out = layer(ones, G.edge_index)
    (gradient,) = torch.autograd.grad(out.sum(), ones)
    torch.testing.assert_close(out.sum(), gradient.sum())


def changed_attribute() -> None:
    with pytest.MonkeyPatch.context() as patcher:
        user.test_nothing_stale(lambda layer, m: setattr(layer, "own", 4.0), patcher)

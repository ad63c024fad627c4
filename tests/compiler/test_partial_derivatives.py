"""Only what a backward pass asks for is computed: any outputs, any inputs, equal to PyG's message path."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from random_graphs import graph
from torch import Tensor, nn
from user_layers import UserLayer

from graphgdl.compiler.derive import Differentiable
from graphgdl.compiler.execute import Executable


class Displacements(UserLayer):
    """Two results and three kinds of inputs, as in an equivariant layer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.net = nn.Sequential(nn.Linear(9, 4), nn.SiLU(), nn.Linear(4, 4), nn.Tanh()).double()

    def forward(self, x: Tensor, edge_index: Tensor, pos: Tensor) -> tuple[Tensor, Tensor]:
        return self.propagate(edge_index, x=x, pos=pos)

    def message(self, x_i: Tensor, x_j: Tensor, pos_i: Tensor, pos_j: Tensor) -> tuple[Tensor, Tensor]:
        r = pos_i - pos_j
        m = self.net(torch.cat([x_i, x_j, r.square().sum(-1, keepdim=True)], dim=-1))
        return m, r * m.sum(-1, keepdim=True)

    def aggregate(self, inputs, index, ptr=None, dim_size=None):
        return tuple(super(Displacements, self).aggregate(x, index, ptr, dim_size) for x in inputs)


def leaves(layer: Displacements, n: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x, pos = (torch.randn(n, c, generator=generator, dtype=torch.float64).requires_grad_() for c in (4, 3))
    return {"x": x, "pos": pos, "weight": layer.net[0].weight, "bias": layer.net[2].bias}


NAMES = ("x", "pos", "weight", "bias")


@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("names", [n for k in (1, 2, 4) for n in combinations(NAMES, k)])
def test_every_choice_of_outputs_and_inputs(which, names):
    layer, g = Displacements(), graph("unsorted", 7, 7, 20, 1)
    found = {}
    for lowering in ("message", "compiled"):
        layer.lowering = lowering
        given = leaves(layer, 7)
        outs = layer(given["x"], g.edge_index, given["pos"])
        asked = [given[name] for name in names]
        first = torch.autograd.grad(sum(outs[k].sin().sum() for k in which), asked, create_graph=True)
        rest = [t for name, t in given.items() if name != "bias"]
        second = torch.autograd.grad(sum(f.square().sum() for f in first), rest)
        found[lowering] = [*first, *second]
    for ours, theirs in zip(found["compiled"], found["message"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_what_is_not_asked_for_is_not_computed(monkeypatch):
    """The force step of a model: the slope of the energy, then gradients of a loss on it for the parameters."""
    made: list[tuple[str, ...]] = []
    run = Executable.__call__

    def noted(self, topology, values):
        made.append(tuple(o.op for o in self.outputs))
        return run(self, topology, values)

    monkeypatch.setattr(Executable, "__call__", noted)
    layer, g = Displacements(), graph("unsorted", 7, 7, 20, 1)
    layer.lowering = "compiled"
    given = leaves(layer, 7)
    layer(given["x"], g.edge_index, given["pos"])
    asked: list[tuple[int, int]] = []
    derivative = Differentiable.derivative

    def counted(self, present, wanted):
        asked.append((len(present), len(wanted)))
        return derivative(self, present, wanted)

    monkeypatch.setattr(Differentiable, "derivative", counted)
    h, _ = layer(given["x"], g.edge_index, given["pos"])
    (slope,) = torch.autograd.grad(h.sin().sum(), given["pos"], create_graph=True)
    assert asked[-1] == (1, 1)  # one cotangent: nobody used the displacements; one gradient: that of the positions
    torch.autograd.grad(slope.square().sum(), [given["weight"]])
    assert all(present == 1 for present, _ in asked)
    assert max(len(outputs) for outputs in made[-2:]) <= 3


def test_a_derivative_of_zero_is_zero():
    class Signs(UserLayer):
        def message(self, x_j):
            return x_j.sign()

    layer, g = Signs(), graph("unsorted", 7, 7, 20, 1)
    layer.lowering = "compiled"
    x = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(layer(x, g.edge_index).sin().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert not first.any()
    assert not second.any()


@pytest.mark.parametrize("inputs", [None, ["x"]])
def test_backward_into_leaves(inputs):
    layer, g = Displacements(), graph("unsorted", 7, 7, 20, 1)
    found = {}
    for lowering in ("message", "compiled"):
        layer.lowering = lowering
        layer.zero_grad()
        given = leaves(layer, 7)
        outs = layer(given["x"], g.edge_index, given["pos"])
        (outs[0].sin().sum() + outs[1].sum()).backward(inputs=inputs and [given[name] for name in inputs])
        found[lowering] = [given[name].grad for name in NAMES]
    for ours, theirs in zip(found["compiled"], found["message"], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)

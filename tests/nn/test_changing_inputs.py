"""Arguments of `propagate`, tied parameters and tensors that are plain attributes: a change of them counts too."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from layer_cases import close, gradients
from torch import nn
from torch_geometric.nn import MessagePassing

from graphgdl.nn import Lowered

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
EDGES = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 0, 4, 1]])


class Settings:
    scale = 2.0


def results(layer, lowering):
    layer.lowering = lowering
    x = X.clone().requires_grad_()
    out = layer(x)
    return [out, *gradients(out.tanh(), [x, *layer.parameters()])]


class Tied(Lowered, MessagePassing):
    """Two linear maps with one weight."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.other.weight = self.one.weight

    def forward(self, x):
        return self.propagate(EDGES, x=x)

    def message(self, x_i, x_j):
        return self.one(x_i) * self.other(x_j)


def test_a_parameter_in_two_places_becomes_two():
    layer = Tied().double()
    results(layer, "compiled")
    state = {name: torch.randn(4, 4, dtype=torch.float64) for name in layer.state_dict()}
    layer.load_state_dict(state, assign=True)
    for actual, expected in zip(results(layer, "compiled"), results(layer, "message"), strict=True):
        close(actual, expected)


@pytest.mark.parametrize(
    "argument",
    [SimpleNamespace(scale=2.0), Settings(), nn.Dropout(), torch.relu, ((2.0,),)],
    ids=lambda value: type(value).__name__,
)
def test_an_argument_that_may_change_unseen_is_refused(argument):
    class Takes(Lowered, MessagePassing):
        def message(self, x_j, argument):
            return 2 * x_j

    layer = Takes()
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match="an argument of propagate is neither a tensor nor a plain value"):
        layer.propagate(EDGES, x=X, argument=argument)


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_pair_keeps_its_type(kind):
    class Asks(Lowered, MessagePassing):
        def message(self, x_j, pair):
            return x_j * pair[0] if isinstance(pair, list) else x_j * pair[1]

    layer = Asks()
    for lowering in ("message", "compiled"):
        layer.lowering = lowering
        expected = {list: 2, tuple: 3}[kind] * torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]])
        close(layer.propagate(EDGES, x=X, pair=kind([2, 3])), expected)


def test_a_tensor_that_is_a_plain_attribute(monkeypatch):
    class Scales(Lowered, MessagePassing):
        def message(self, x_j):
            return x_j * self.scale

    layer, factor = Scales(), torch.rand(4, dtype=torch.float64, requires_grad=True)
    received = torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]])
    layer.lowering = "compiled"
    layer.scale = factor * 2
    layer.propagate(EDGES, x=X)
    monkeypatch.setattr("graphgdl.compiler.message.record", None)
    layer.scale = factor * 3  # as a model that makes the weights of a layer does at each call
    out = layer.propagate(EDGES, x=X)
    close(out, received * factor * 3)
    close(torch.autograd.grad(out.sum(), factor)[0], 3 * received.sum(0))
    layer.scale = factor.detach().clone()
    monkeypatch.undo()
    layer.propagate(EDGES, x=X)
    layer.scale.add_(1)
    close(layer.propagate(EDGES, x=X), received * (factor + 1))
    layer.scale = torch.arange(4)
    with pytest.raises(ValueError, match=r"`scale` is torch\.int64, not floating point"):
        layer.propagate(EDGES, x=X)

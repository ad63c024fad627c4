"""What a message reads may change between calls: each change counts at the next call."""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from layer_cases import close, gradients
from torch import nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import MaxAggregation

from graphgdl import nn as gdl
from graphgdl.compiler import guards
from graphgdl.nn import Lowered, explain_lowering

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
EDGES = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 0, 4, 1]])
SCALE = 2.0
TABLE = {"scale": [1.0, 2.0]}
SETTINGS = types.ModuleType("settings_of_a_user")
SETTINGS.SCALE = 2.0


class Settings:
    scale = 2.0


class Slotted:
    __slots__ = ("scale",)
    offset = 0.0

    def __init__(self):
        self.scale = 1.0


def shift(x):
    return x + SCALE


def closed(scale):
    def apply(x):
        return scale[0] * x

    return apply


class Everything(Lowered, MessagePassing):
    """A message that reads whatever a message may read."""

    factor = 3.0

    def __init__(self):
        super().__init__(aggr="sum")
        self.slope = 0.5
        self.list = [1.0, 2.0]
        self.nested = {"a": {"b": [1.5]}}
        self.config = SimpleNamespace(bias=0.25, inner=SimpleNamespace(power=2))
        self.nn = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Tanh())
        self.cell = [2.0]
        self.slotted = Slotted()
        self.queue = deque([0.0])
        self.array = np.zeros(3)
        self.closed = closed(self.cell)
        self.partial = functools.partial(torch.clamp, max=1.0)
        self.weight = nn.Parameter(torch.ones(4))
        self.hidden = [nn.LeakyReLU(0.1)]
        self.switch = None
        self.nn[1].eval()

    def forward(self, x):
        return self.propagate(EDGES, x=x)

    def helper(self, x):
        return x * self.factor

    def message(self, x_j):
        x = self.helper(self.nn(x_j)) * self.slope + sum(self.list) + self.nested["a"]["b"][0]
        x = (x + self.config.bias) ** self.config.inner.power
        x = shift(self.closed(x)) * SCALE + TABLE["scale"][0] + SETTINGS.SCALE * Settings.scale
        x = x * self.slotted.scale + self.slotted.offset + self.queue[0] + self.array[0]
        x = self.partial(self.hidden[0](x) * self.weight * 0.01)
        return x if self.switch is None else -x


def set_global(name, value):
    setattr(sys.modules[__name__], name, value)


def outside(layer):
    layer.hidden[0].negative_slope = 0.9
    layer.slope = -3.0


CHANGES = {
    "an attribute": lambda m: setattr(m, "slope", 0.7),
    "an attribute from None": lambda m: setattr(m, "switch", True),
    "a list": lambda m: m.list.append(3.0),
    "a nested list": lambda m: m.nested["a"]["b"].__setitem__(0, 9.0),
    "an object": lambda m: setattr(m.config, "bias", 0.75),
    "an object in an object": lambda m: setattr(m.config.inner, "power", 3),
    "an object with slots": lambda m: setattr(m.slotted, "scale", 0.75),
    "the class of an object": lambda m: setattr(Slotted, "offset", -0.75),
    "a queue": lambda m: m.queue.appendleft(-0.75),
    "an array": lambda m: m.array.fill(-0.75),
    "a module": lambda m: m.nn.__setitem__(2, nn.Sigmoid()),
    "a module added": lambda m: m.nn.append(nn.Sigmoid()),
    "a parameter replaced": lambda m: setattr(m, "weight", nn.Parameter(2 * torch.ones(4))),
    "a parameter written to": lambda m: m.weight.data.mul_(3),
    "a parameter of another shape": lambda m: setattr(m, "weight", nn.Parameter(torch.tensor([3.0]))),
    "a parameter's data of another shape": lambda m: setattr(
        m.weight, "data", torch.tensor([3.0], dtype=torch.float64)
    ),
    "a parameter of another dtype": lambda m: setattr(m.weight, "data", 2 * m.weight.data.float()),
    "the aggregation": lambda m: setattr(m, "aggr_module", MaxAggregation()),
    "a class attribute": lambda m: setattr(Everything, "factor", 4.0),
    "an attribute over a class attribute": lambda m: setattr(m, "factor", 5.0),
    "a method of the class": lambda m: setattr(Everything, "helper", lambda self, x: -x),
    "a method of the instance": lambda m: setattr(m, "helper", lambda x: x.exp()),
    "the message of the instance": lambda m: setattr(m, "message", lambda x_j: x_j.sin()),
    "a global": lambda m: set_global("SCALE", 3.0),
    "a global function": lambda m: set_global("shift", lambda x: x * 5),
    "inside a global": lambda m: TABLE["scale"].__setitem__(0, 7.0),
    "an attribute of a module of the user's": lambda m: setattr(SETTINGS, "SCALE", 4.0),
    "an attribute of a class of the user's": lambda m: setattr(Settings, "scale", 5.0),
    "a closure": lambda m: m.cell.__setitem__(0, 4.0),
    "a function": lambda m: setattr(m, "closed", closed([7.0])),
    "a partial function": lambda m: setattr(m, "partial", functools.partial(torch.clamp, max=0.5)),
    "a module that is not registered": outside,
    "the flow": lambda m: setattr(m, "flow", "target_to_source"),
}


@pytest.fixture(autouse=True)
def restored():
    kept = SCALE, shift, dict(vars(Everything))
    yield
    set_global("SCALE", kept[0])
    set_global("shift", kept[1])
    TABLE["scale"][:], SETTINGS.SCALE, Settings.scale, Slotted.offset = [1.0, 2.0], 2.0, 2.0, 0.0
    for name in ("factor", "helper"):
        setattr(Everything, name, kept[2][name])


def made():
    torch.manual_seed(0)
    return Everything().double()


def results(layer, lowering):
    layer.lowering = lowering
    x = X.clone().requires_grad_()
    out = layer(x)
    return [out, *gradients(out.tanh(), [x, *layer.parameters()])]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_counts_at_the_next_call(change):
    layer = made()
    before = results(layer, "compiled")[0].detach()  # no graph is kept, which would know the old shapes
    CHANGES[change](layer)
    after = results(layer, "compiled")
    for actual, expected in zip(after, results(layer, "message"), strict=True):
        close(actual, expected)
    assert not torch.allclose(after[0], before)


def test_an_unchanged_layer_is_recorded_once(monkeypatch):
    layer = made()
    layer(X)
    monkeypatch.setattr("graphgdl.compiler.message.record", None)
    layer.slope = layer.slope * 1.0  # another object, the same value
    layer(X)
    layer(2 * X)
    layer.slope = 0.7
    layer.lowering = "compiled"
    with pytest.raises(
        ValueError, match="TypeError while it was compiled and proved: 'NoneType' object is not callable"
    ):
        layer(X)


def test_explaining_records_nothing_anew(monkeypatch):
    layer, calls = made(), []
    layer.lowering = "auto"
    explain_lowering(layer, X)
    monkeypatch.setattr("graphgdl.compiler.message.record", lambda *args: calls.append(1))
    for layer.lowering in ("auto", "compiled", "auto"):
        explain_lowering(layer, X)
        layer(X)
    assert not calls


def test_going_back_finds_the_first_recording_again(monkeypatch):
    layer, calls = made(), []
    layer(X)
    layer.train()  # dropout
    layer(X)
    monkeypatch.setattr("graphgdl.compiler.message.record", lambda *args: calls.append(1))
    layer.eval()
    layer.train()
    layer(X)
    assert not calls


def test_train_eval_and_the_share_of_dropout():
    layer, x = made(), torch.ones(400, 4, dtype=torch.float64)
    layer.nn = nn.Dropout(0.5)
    layer.message = lambda x_j: layer_net(x_j)
    layer_net = layer.nn
    edges = torch.stack([torch.arange(400), torch.arange(400)])
    for p, training in ((0.5, True), (0.25, True), (0.25, False), (0.75, True)):
        layer.train(training)
        layer.nn.p = p
        layer.lowering = "compiled"
        out = layer.propagate(edges, x=x)
        share = (out == 0).double().mean()
        assert abs(share - (p if training else 0)) < 5 * (0.25 / out.numel()) ** 0.5
        kept = out[out != 0]
        close(kept, torch.full_like(kept, 1 / (1 - p) if training else 1.0))


def test_a_parameter_that_needs_a_gradient_again():
    layer = gdl.EdgeConv(nn.Linear(8, 3)).double()
    layer.lowering = "compiled"
    for needed in (False, True, False, True):
        layer.nn.weight.requires_grad_(needed)
        out = layer(X, EDGES)
        (found,) = torch.autograd.grad(out.sum(), [layer.nn.weight], allow_unused=True) if needed else (None,)
        layer.lowering = "message"
        reference = layer(X, EDGES)
        layer.lowering = "compiled"
        close(out, reference)
        if needed:
            close(found, torch.autograd.grad(reference.sum(), [layer.nn.weight])[0])
        else:
            layer.nn.bias.requires_grad_(False)
            assert not layer(X, EDGES).requires_grad
            layer.nn.bias.requires_grad_(True)


def test_too_much_to_watch_is_refused(monkeypatch):
    monkeypatch.setattr(guards, "MOST_PLACES", 3)
    layer = made()
    (row,) = explain_lowering(layer, X)
    assert row.refused["compiled"] == "the layer refers to too many objects to watch them all"


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = 2.0

    def forward(self, x):
        return self.scale * x


class Holds(Lowered, MessagePassing):
    """Its message gets at a module of the layer by another way than `self.inner`."""

    def __init__(self, way):
        super().__init__()
        self.inner = Inner()
        inner = self.inner
        if way == "a method":
            self.call = inner.forward
        elif way == "a list":
            self.held = [inner]
            self.call = lambda x: self.held[0](x)
        elif way == "a reference":
            self.held = weakref.ref(inner)
            self.call = lambda x: self.held()(x)
        elif way == "a closure over it":
            self.call = lambda x: inner(x)
        else:
            self.call = lambda x: self.inner(x)

    def message(self, x_j):
        return self.call(x_j)


@pytest.mark.parametrize("way", ["a method", "a list", "a reference", "a closure over it", "a closure over the layer"])
def test_a_module_that_the_message_gets_at_by_another_way(way):
    layer = Holds(way)
    layer.lowering = "compiled"
    received = torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]])
    close(layer.propagate(EDGES, x=X), 2 * received)
    layer.inner.scale = 5.0
    close(layer.propagate(EDGES, x=X), 5 * received)


def test_what_the_message_does_not_read_may_change(monkeypatch):
    layer = gdl.SAGEConv(4, 3).double()
    layer.lowering = "compiled"
    layer(X, EDGES)
    monkeypatch.setattr("graphgdl.compiler.message.record", None)
    layer.lin_l.requires_grad_(False)
    layer.lin_r.note = "frozen"
    calls = []
    layer.lin_l.register_forward_hook(lambda *_: calls.append(1))
    layer(X, EDGES)
    assert calls == [1]


def test_shared_modules_are_watched_under_every_name():
    class Shares(Lowered, MessagePassing):
        def __init__(self):
            super().__init__()
            self.first = Inner()
            self.second = self.first

        def message(self, x_j):
            return self.second(x_j)

    layer = Shares()
    layer.lowering = "compiled"
    received = torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]])
    close(layer.propagate(EDGES, x=X), 2 * received)
    layer.first.scale = 3.0
    close(layer.propagate(EDGES, x=X), 3 * received)


@pytest.mark.parametrize(
    "read",
    [
        lambda layer: dict(layer._modules),
        lambda layer: {**layer._modules},
        lambda layer: dict(layer.named_children()),
        lambda layer: dict(zip(layer._modules, layer._modules.values())),
    ],
)
def test_a_message_that_lists_the_modules_of_its_layer(read):
    class Lists(Lowered, MessagePassing):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def message(self, x_j):
            return x_j * read(self)["inner"].scale

    layer = Lists()
    layer.lowering = "compiled"
    received = torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]])
    for scale in (2.0, 5.0):
        layer.inner.scale = scale
        close(layer.propagate(EDGES, x=X), scale * received)

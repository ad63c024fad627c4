"""Messages that are no function of their inputs: each call runs them anew, and what only looks like one is seen through."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from layer_cases import close
from torch_geometric.nn import MessagePassing

from graphgdl import nn as gdl
from graphgdl.nn import Lowered, explain_lowering

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
EDGES = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 0, 4, 1]])


class Remembers(Lowered, MessagePassing):
    """Keeps its first message: what it returns depends on whether it was called."""

    kept = None

    def message(self, x_j):
        if self.kept is None:
            self.kept = 2 * x_j
        return self.kept


class Counts(Lowered, MessagePassing):
    def __init__(self):
        super().__init__()
        self.calls = []

    def message(self, x_j):
        self.calls.append(1)
        return x_j * len(self.calls)


class CountsInside(Lowered, MessagePassing):
    def __init__(self):
        super().__init__()
        self.state = SimpleNamespace(calls=0)

    def message(self, x_j):
        self.state.calls += 1
        return x_j * self.state.calls


class RollsDice(Lowered, MessagePassing):
    def message(self, x_j):
        import random

        return x_j * random.random()


class Draws(Lowered, MessagePassing):
    def message(self, x_j):
        return x_j + torch.randn_like(x_j)


class ReadsALargeArray(Lowered, MessagePassing):
    def __init__(self):
        super().__init__()
        self.array = np.ones(1000)

    def message(self, x_j):
        return x_j * self.array[0]


class Foreign(Lowered, MessagePassing):
    def __init__(self):
        super().__init__()
        self.plain = [torch.ones(4, dtype=torch.float64)]

    def message(self, x_j):
        return x_j * self.plain[0]


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (Counts, "the message changes the attribute `calls`"),
        (CountsInside, "the message changes what it reads"),
        (RollsDice, "it draws random numbers outside torch"),
        (Draws, "draws random numbers"),
        (ReadsALargeArray, "a NumPy array that is too large to watch, not contiguous, or of objects"),
        (Foreign, "neither an input nor a parameter or buffer"),
    ],
)
def test_what_is_no_function_of_its_inputs_is_refused(cls, reason):
    (row,) = explain_lowering(_call(cls()), X)
    assert reason in row.refused["compiled"]


def test_a_message_that_counts_its_calls_counts_them_once():
    layer = Counts()
    received = torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]])
    for count in (1, 2, 3):
        close(layer.propagate(EDGES, x=X), count * received)
        assert len(layer.calls) == count


def test_a_message_that_remembers():
    layer = Remembers()
    first = layer.propagate(EDGES, x=X)
    close(first, 2 * torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]]))
    close(layer.kept, 2 * X[EDGES[0]])
    close(layer.propagate(EDGES, x=7 * X), first)


def _call(layer):
    layer.forward = lambda x: layer.propagate(EDGES, x=x)
    return layer


def test_a_number_that_changes_at_each_call_ends_on_the_message_path():
    class Annealed(Lowered, MessagePassing):
        def message(self, x_j, temperature):
            return x_j / temperature

    layer = Annealed()
    received = torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]])
    for k in range(1, 80):
        layer._record = []
        close(layer.propagate(EDGES, x=X, temperature=0.5 * k), received / (0.5 * k))
    assert "changed more than 64 times" in layer._record[0].refused["compiled"]


def test_the_default_dtype_counts():
    class Makes(Lowered, MessagePassing):
        def message(self, x_j):
            return x_j * torch.full((4,), 1 / 3)

    layer = Makes()
    layer.lowering = "compiled"
    single = layer.propagate(EDGES, x=X)
    torch.set_default_dtype(torch.float64)
    try:
        double = layer.propagate(EDGES, x=X)
    finally:
        torch.set_default_dtype(torch.float32)
    received = torch.zeros_like(X).index_add(0, EDGES[1], X[EDGES[0]])
    close(double, received / 3)
    assert 1e-9 < (single - double).abs().max() < 1e-6


def test_no_edges_and_then_edges():
    layer = gdl.SAGEConv(4, 4).double()
    (empty,) = explain_lowering(layer, X, EDGES[:, :0])
    assert empty.refused["compiled"] == "the graph has no edges"
    assert explain_lowering(layer, X, EDGES)[0].ran == "compiled"
    assert explain_lowering(layer, X, EDGES[:, :0])[0].ran == "message"

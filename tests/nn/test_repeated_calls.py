"""A call like the last one is taken up at once: whatever differs must be seen."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from layer_cases import close
from torch_geometric.nn import MessagePassing

from graphgdl import nn as gdl
from graphgdl.compiler import message as compiled_messages
from graphgdl.nn import Lowered

EDGES = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 0, 3, 1]])


def drawn(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(shape[0]), dtype=dtype)


class Difference(Lowered, MessagePassing):
    def message(self, x_i, x_j, scale, weight):
        out = scale * (x_j - 2 * x_i)
        return out if weight is None else out * weight[:, None]


X, Y = drawn(4, 3), drawn(4, 3) + 1
CALLS = {
    "as it is": ((X, X), 2.0, None),
    "two tensors": ((X, Y), 2.0, None),
    "a list of one": ([X, X], 2.0, None),
    "a list of two": ([X, Y], 2.0, None),
    "one tensor": (X, 2.0, None),
    "more nodes": ((drawn(6, 3),) * 2, 2.0, None),
    "two kinds of nodes": ((drawn(5, 3), drawn(7, 3)), 2.0, None),
    "wider": ((drawn(4, 5),) * 2, 2.0, None),
    "another number": ((X, X), 3.0, None),
    "another type of number": ((X, X), 2, None),
    "weights": ((X, X), 2.0, drawn(5)),
    "a gradient": ((X.clone().requires_grad_(),) * 2, 2.0, None),
    "single precision": ((X.float(),) * 2, 2.0, None),
}


@pytest.mark.parametrize("second", CALLS)
@pytest.mark.parametrize("first", ["as it is", "a list of one", "one tensor", "weights", "a gradient"])
def test_the_second_call_is_the_message_path_whatever_the_first_was(first, second):
    layer = Difference()
    for name in (first, second, first):
        x, scale, weight = CALLS[name]
        layer.lowering = "message"
        expected = layer.propagate(EDGES, x=x, scale=scale, weight=weight)
        layer.lowering = "auto"
        found = layer.propagate(EDGES, x=x, scale=scale, weight=weight)
        close(found, expected)
        assert found.requires_grad == expected.requires_grad


def twice(layer, *args):
    return [layer(*args) for _ in range(2)][1]


def again_or_not(monkeypatch):
    seen = []
    original = compiled_messages.again

    def again(*args):
        found = original(*args)
        seen.append(found is not None)
        return found

    monkeypatch.setattr("graphgdl.compiler.again", again)
    return seen


def test_only_a_call_like_the_last_is_taken_up(monkeypatch):
    seen = again_or_not(monkeypatch)
    layer, edges = gdl.SAGEConv(3, 2).double(), EDGES.clone()
    received = layer(X, edges)
    close(layer(X, edges), received)
    assert seen == [False, True]
    edges[1, 0] = 3  # written to
    layer(X, edges)
    layer(X, edges.clone())
    with torch.no_grad():
        layer(X, edges)
    layer.eval()
    layer(X, edges)
    assert seen == [False, True, False, False, False, False]
    with torch.inference_mode():
        own = EDGES.clone()
        close(twice(layer, X, own), layer(X, EDGES))


def test_edges_that_are_written_to_are_read_again():
    layer, edges = gdl.SAGEConv(3, 2).double(), EDGES.clone()
    twice(layer, X, edges)
    edges[0] = edges[0].flip(0)
    close(layer(X, edges), layer(X, edges.clone()))


def test_a_hook_and_a_changed_attribute_count_at_the_next_call():
    layer = gdl.SAGEConv(3, 2, aggr="sum").double()
    before = twice(layer, X, EDGES)
    handle = layer.register_message_forward_hook(lambda module, args, out: 2 * out)
    hooked = layer(X, EDGES)
    assert not torch.allclose(hooked, before)
    handle.remove()
    close(layer(X, EDGES), before)
    with torch.autocast("cpu", torch.bfloat16):
        layer.float()(X.float(), EDGES)


def test_neither_layer_nor_edges_are_kept_alive():
    layer, edges = gdl.SAGEConv(3, 2).double(), EDGES.clone()
    twice(layer, X, edges)
    kept = compiled_messages._layers[layer].last["propagate"]
    del edges
    gc.collect()
    assert kept.edges() is None
    assert kept.graph() is None
    layer = weakref.ref(layer)
    del kept
    gc.collect()
    assert layer() is None

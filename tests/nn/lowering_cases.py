"""A small graph, and what it shows of a layer: that it is compiled and right, or on the message path for a reason."""

from __future__ import annotations

import pytest
import torch
from layer_cases import close, gradients

from graphgdl.nn import explain_lowering

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

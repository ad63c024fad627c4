"""Messages as a user may write them, each with the reason why it is refused, or compiled to what the message path gives."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from random_graphs import graph
from user_layers import UserLayer, reason

from graphgdl.compiler import message as compiled_messages


class Case(NamedTuple):
    step: str
    function: Callable[..., Any]
    reason: str | None


CASES: dict[str, Case] = {}


def case(expected: str | None = None, step: str = "message") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Remember a step of a layer: with a reason it must be refused for it, else compiled and right."""

    def remember(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES[function.__name__] = Case(step, function, expected)
        return function

    return remember


def cases_of(module: str) -> list[str]:
    """Return the names of the cases that a module defines."""
    return [name for name, case in CASES.items() if case.function.__module__ == module]


def made(step: str, function: Callable[..., Any], **kwargs: Any) -> UserLayer:
    """Return a layer with one of its methods replaced."""
    method = types.FunctionType(function.__code__, function.__globals__, step, None, function.__closure__)
    layer = type(f"With{function.__name__}", (UserLayer,), {step: method, "__module__": function.__module__})(**kwargs)
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


def assert_refused_or_right(name: str) -> None:
    """Call a layer with one of the cases."""
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

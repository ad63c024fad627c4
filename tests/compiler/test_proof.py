"""What the proof of a program must see: programs that are wrong at zeros, at ties, or in their gradient alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from user_layers import UserLayer, reason
from user_messages import G, node_features

from graphgdl.compiler import prove
from graphgdl.compiler.tape import NODES, Refused
from graphgdl.compiler.trace import general


def layer(message: Callable[..., Any]) -> UserLayer:
    class Layer(UserLayer):
        pass

    message.__name__ = "message"
    Layer.message = message
    return Layer()


def proved(right: Callable[..., Any], other: Callable[..., Any]) -> None:
    """Prove that messages `other` are those of `right`, by a run of PyG's path."""

    def candidate(seed: torch.Tensor) -> Callable[..., Any]:
        model = layer(other)
        return lambda edges, n, m, given: [general("propagate")(model, edges, size=(n, m), **given)]

    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    prove.prove(candidate, layer(right), "propagate", x.device, {"x": x}, {"x": NODES}, True, True)


WRONG_AT_TIES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "zero": (lambda self, x_j: torch.where(x_j >= 0, 2.0, x_j), lambda self, x_j: torch.where(x_j > 0, 2.0, x_j)),
    "negative zero": (lambda self, x_j: x_j + torch.signbit(x_j), lambda self, x_j: x_j + (x_j < 0)),
    "equal ends": (lambda self, x_i, x_j: x_j + (x_i == x_j), lambda self, x_i, x_j: x_j),
    "quotient": (lambda self, x_j: x_j / x_j, lambda self, x_j: x_j - x_j + 1),
}


@pytest.mark.parametrize("name", WRONG_AT_TIES)
def test_the_tied_graph_sees_what_random_numbers_do_not(name, monkeypatch):
    right, wrong = WRONG_AT_TIES[name]
    proved(right, right)
    with pytest.raises(Refused, match="value differs from that of the message path"):
        proved(right, wrong)
    simple = prove._GRAPHS[0]
    kept = zip(*[(s, d) for s, d in zip(*simple.edges) if s != d])
    monkeypatch.setattr(prove, "_GRAPHS", [simple._replace(edges=tuple(kept))])
    proved(right, wrong)


def test_a_wrong_gradient_is_seen():
    with pytest.raises(Refused, match="gradient differs from that of the message path"):
        proved(lambda self, x_j: x_j * x_j, lambda self, x_j: x_j * x_j.detach())


def direction(self, x_i, x_j):
    return (x_i - x_j) / ((x_i - x_j).norm(dim=-1, keepdim=True) + 1e-9)


def test_a_slope_that_cancels_at_a_self_loop_is_no_difference():
    """Rounding is all that is left of it; what is wrong elsewhere, or is not finite there, is seen."""
    proved(direction, lambda self, x_i, x_j: -direction(self, x_j, x_i) * (1 + 1e-15))
    x, edges = node_features(9, 4), torch.cat([G.edge_index, torch.arange(9).expand(2, 9)], 1)
    assert reason(layer(direction), x.requires_grad_(), edges) is None
    for wrong in (
        lambda self, x_i, x_j: direction(self, x_i, x_j.detach()),
        lambda self, x_i, x_j: direction(self, x_i, x_j) + 0 * (x_i - x_j).square().sum(-1, keepdim=True).sqrt(),
    ):
        with pytest.raises(Refused, match="gradient differs from that of the message path"):
            proved(direction, wrong)


def test_a_result_of_another_shape_is_seen():
    with pytest.raises(Refused, match="another value shape or dtype than the message path"):
        proved(lambda self, x_j: x_j, lambda self, x_j: x_j[:, :2])


@pytest.mark.parametrize("square", [True, False])
def test_what_the_graphs_hold(square):
    """Between them: a self-loop, a repeated edge, unsorted rows, and nodes that receive or send nothing."""
    for graph in prove._GRAPHS:
        src, dst = graph.edges
        n, m = graph.nodes, graph.nodes - (not square)
        assert len(src) == len(dst)
        assert max(src) < n
        assert max(dst) < m
        assert any(s == d for s, d in zip(src, dst))
        assert len({*zip(src, dst)}) < len(src)
        assert list(dst) != sorted(dst)
        assert set(range(m)) - set(dst)

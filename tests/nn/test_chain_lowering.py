"""Recurrence along chains: which lowering runs, what goes through it, and its errors."""

from __future__ import annotations

import copy

import pytest
import torch
from chain_cases import C, H, chain_of, draw, pair
from layer_cases import close

from graphgdl.domains import Chain
from graphgdl.nn import ChainGRU, ChainLSTM, ChainRNN, explain_lowering


class Halved(ChainLSTM):
    def message(self, state_j):
        return 0.5 * state_j


class Overflowing(ChainGRU):
    def cell(self, x, state, weights):
        return 2 * super().cell(x, state, weights)


def ran(layer, x, edges):
    return explain_lowering(layer, x, edges)[0]


def test_which_lowering_runs():
    ours, _ = pair("LSTM")
    chain, x = chain_of((4, 2)), draw(ours, (4, 2), False)[0]
    assert ran(ours, x, chain).ran == "rnn"
    assert "a `Chain` is known" in ran(ours, x, chain.edge_index).refused["rnn"]
    halved = Halved(C, H).double()
    halved.load_state_dict(ours.state_dict())
    assert "`message` is overridden" in ran(halved, x, chain).refused["rnn"]
    assert (halved(x, chain) - ours(x, chain)).abs().max() > 1e-3
    assert ran(Overflowing(C, H).double(), x, chain).refused["rnn"] == "`cell` is overridden, and `kernel` is not"
    handle = ours.register_message_forward_hook(lambda module, inputs, out: 0.5 * out)
    assert "a hook is registered on message" in ran(ours, x, chain).refused["rnn"]
    close(ours(x, chain), halved(x, chain))
    handle.remove()
    assert ran(ours, x, chain).ran == "rnn"
    with torch.autocast("cpu"):
        assert "autocast is active on the CPU" in ran(ours, x, chain).refused["rnn"]


def test_transforms_take_the_message_path():
    ours, _ = pair("GRU")
    chain, x = chain_of((3, 2)), draw(ours, (3, 2), False)[0].detach()
    y = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(ours(y, chain).tanh().sum(), y)
    close(torch.func.grad(lambda x: ours(x, chain).tanh().sum())(x), expected)
    _, slope = torch.func.jvp(lambda x: ours(x, chain), (x,), (torch.ones_like(x),))
    step = 1e-6 * torch.ones_like(x)
    torch.testing.assert_close(slope, (ours(x + step, chain) - ours(x - step, chain)) / 2e-6, rtol=1e-6, atol=1e-8)


def test_copies_and_saves(tmp_path):
    ours, _ = pair("LSTM", num_layers=2)
    x, chain = draw(ours, (4, 2), False)[0], chain_of((4, 2))
    torch.save(ours, tmp_path / "layer.pt")
    for other in (copy.deepcopy(ours), torch.load(tmp_path / "layer.pt", weights_only=False)):
        assert torch.equal(other(x, chain), ours(x, chain))
    assert repr(ours) == "ChainLSTM(3, 4, num_layers=2)"


def test_compiles():
    ours, _ = pair("GRU", num_layers=2)
    x, chain = draw(ours, (4, 2), False)[0], chain_of((4, 2))
    close(torch.compile(ours, backend="eager")(x, chain), ours(x, chain))


X = torch.zeros(4, C)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ChainRNN(0, 4), r"`in_channels` must be at least 1, got 0"),
        (lambda: ChainGRU(3, 0), r"`hidden_channels` must be at least 1, got 0"),
        (lambda: ChainGRU(3, 4, num_layers=0), r"`num_layers` must be at least 1, got 0"),
        (lambda: ChainLSTM(3, 4, 2, dropout=1.5), r"`dropout` must be a probability between 0 and 1, got 1.5"),
        (
            lambda: ChainLSTM(3, 4, dropout=0.5),
            r"`dropout` acts between layers, got 0.5 with num_layers=1; use `nn.Dropout`",
        ),
        (lambda: ChainRNN(3, 4, nonlinearity="exp"), r"`nonlinearity` must be 'tanh' or 'relu', got 'exp'"),
        (lambda: ChainRNN(C, H)(X[:, :2], Chain(4)), r"`x` must have shape \(n, 3\), got \(4, 2\)"),
        (
            lambda: ChainRNN(C, H)(X, Chain(5)),
            r"`x` must have one row for each of the 5 nodes of the Chain, got 4 rows",
        ),
        (lambda: ChainRNN(C, H)(X, Chain(4, bidirectional=True)), r"`edge_index` must be a Chain that runs one way"),
        (lambda: ChainRNN(C, H)(X, Chain(4).edge_index, return_state=True), r"`return_state` needs .*pass a `Chain`"),
        (lambda: ChainRNN(C, H)(X, Chain(4).edge_index, torch.zeros(1, 1, H)), r"`hx` needs .*pass a `Chain`"),
        (
            lambda: ChainRNN(C, H)(X, Chain(4), torch.zeros(1, H)),
            r"`hx` must be h_0 of shape \(1, 1, 4\).*got \(1, 4\)",
        ),
        (lambda: ChainLSTM(C, H)(X, Chain(4), torch.zeros(1, 1, H)), r"`hx` must be h_0 and c_0 of shape \(1, 1, 4\)"),
        (
            lambda: ChainRNN(C, H)(X, torch.tensor([[0, 1], [2, 2]])),
            r"`edge_index` must hold disjoint chains, got node 2 with 2 predecessors",
        ),
        (
            lambda: ChainRNN(C, H)(X, torch.tensor([[0, 0], [1, 2]])),
            r"`edge_index` must hold disjoint chains, got node 0 with 2 successors",
        ),
        (
            lambda: ChainRNN(C, H)(X, torch.tensor([[0, 1, 2], [1, 2, 0]])),
            r"`edge_index` must hold chains that end, got a cycle through 3 nodes; leave out one",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_forced_name_raises_with_the_reason():
    layer = ChainLSTM(C, H)
    layer.lowering = "rnn"
    with pytest.raises(ValueError, match=r"`lowering` 'rnn' of ChainLSTM does not apply: plain edges .*; use 'auto'"):
        layer(X, Chain(4).edge_index)
    with pytest.raises(
        ValueError, match=r"`lowering` of ChainLSTM must be one of .*'rnn', 'compiled', 'message'.*'fast'"
    ):
        layer.lowering = "fast"

"""Chains, and recurrent layers with torch's parameters, for the tests of recurrence."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from graphgdl.domains import Chain
from graphgdl.nn import ChainGRU, ChainLSTM, ChainRNN

C, H = 3, 4
LAYERS = {"RNN": ChainRNN, "GRU": ChainGRU, "LSTM": ChainLSTM}


def chain_of(lengths):
    return Chain([0, *itertools.accumulate(lengths)])


def pair(kind, dtype=torch.float64, **options):
    """Our layer and torch's with the same parameters, none of them special."""
    torch.manual_seed(1)
    theirs, ours = getattr(nn, kind)(C, H, **options).to(dtype), LAYERS[kind](C, H, **options).to(dtype)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.7)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def draw(layer, lengths, with_state, dtype=torch.float64):
    """Features, and the initial states that a call takes, with the leaves among them."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(sum(lengths), C, generator=generator, dtype=dtype, requires_grad=True)
    shape = (layer.num_layers * (1 + layer.bidirectional), len(lengths), H)
    states = [
        torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True)
        for _ in range(1 + isinstance(layer, ChainLSTM))
    ]
    return x, states if with_state else None

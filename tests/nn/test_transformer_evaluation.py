"""The encoder layer in evaluation: torch's fused layer runs where it computes the same, and only there."""

from __future__ import annotations

import pytest
import torch
from layer_cases import close
from test_transformer_encoder import OPTIONS, features, layer, sets
from torch import nn

from graphgdl.nn import TransformerEncoderLayer, explain_lowering


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class OtherNetwork(TransformerEncoderLayer):
    def _ff_block(self, x):
        return -super()._ff_block(x)


def doubled(_, args, out):
    return 2 * out


CHANGES = {
    "dropout that stays on": lambda m: m.dropout1.train(),
    "a hook": lambda m: m.linear1.register_forward_hook(doubled),
    "a hook on the projection": lambda m: m.self_attn.out_proj.register_forward_hook(doubled),
    "a hook on the messages": lambda m: m.attention.register_message_forward_hook(doubled),
    "another linear map": lambda m: setattr(m, "linear2", Doubled(12, 8, dtype=torch.float64)),
    "another forward": lambda m: setattr(m.norm1, "forward", torch.sin),
    "another activation": lambda m: setattr(m, "activation", torch.tanh),
    "another lowering": lambda m: setattr(m.attention, "lowering", "compiled"),
    "the other flow": lambda m: setattr(m.attention, "flow", "target_to_source"),
}


def evaluated(ours, x, structure, monkeypatch):
    """The output without a gradient, and how often torch's layer was called."""
    calls, forward = [], nn.TransformerEncoderLayer.forward
    monkeypatch.setattr(nn.TransformerEncoderLayer, "forward", lambda *args: (calls.append(1), forward(*args))[1])
    torch.manual_seed(0)
    with torch.no_grad():
        return ours(x, structure), len(calls)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("sizes", [[3, 3, 3], [4], [3, 2, 3], [3, 3, 0]])
def test_in_evaluation_torchs_layer_on_sets_of_one_size(sizes, options, monkeypatch):
    ours, structure = layer(**options).eval(), sets(sizes)
    x = features(structure)
    expected = ours(x, structure)
    found, calls = evaluated(ours, x, structure, monkeypatch)
    close(found, expected)
    torchs_own = options.get("activation") is not torch.tanh
    assert calls == (torchs_own and len(set(sizes)) == 1)
    assert explain_lowering(ours, x, structure)[0].ran == "sdpa"


@pytest.mark.parametrize("change", CHANGES)
def test_in_evaluation_what_was_changed_counts(change, monkeypatch):
    ours, structure = layer(dropout=0.5).eval(), sets([3, 3])
    CHANGES[change](ours)
    x = features(structure)
    torch.manual_seed(0)
    expected = ours(x, structure)
    found, calls = evaluated(ours, x, structure, monkeypatch)
    close(found, expected)
    assert not calls


def test_in_evaluation_an_overridden_network_counts(monkeypatch):
    ours, structure = layer(cls=OtherNetwork).eval(), sets([3, 3])
    x = features(structure)
    found, calls = evaluated(ours, x, structure, monkeypatch)
    close(found, ours(x, structure))
    assert not calls


def test_in_evaluation_autocast_transforms_and_compile(monkeypatch):
    ours, structure = layer().float().eval(), sets([3, 3])
    x = features(structure).detach().float()
    with torch.autocast("cpu", torch.bfloat16):
        assert evaluated(ours, x, structure, monkeypatch)[1] == 0
    with torch.no_grad():
        mapped = torch.func.vmap(lambda v: ours(v, structure))(torch.stack([x, 2 * x]))
    close(mapped[1], ours(2 * x, structure))
    torch._dynamo.reset()
    with torch.no_grad():
        close(torch.compile(ours, backend="eager")(x, structure), ours(x, structure))

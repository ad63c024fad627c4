"""Janossy pooling against tuples listed by itertools, and its two special cases: Deep Sets and self-attention."""

from __future__ import annotations

import math
from itertools import permutations, product

import pytest
import torch
from layer_cases import close
from torch import nn

from graphgdl.domains.structure import Chain, Complete
from graphgdl.groups import Permutation
from graphgdl.nn import DeepSets, DotProductAttention, JanossyPooling, TransformerEncoderLayer

SIZES = [3, 1, 0, 4]
SETS = Complete(torch.tensor([0, *SIZES]).cumsum(0))


def features(channels=2, seed=0, n=8):
    return torch.randn(n, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ordered(tuples):
    """A function that knows the order of its elements."""
    weights = torch.arange(1.0, tuples.size(1) + 1, dtype=tuples.dtype)
    return (tuples * weights[:, None]).sum(dim=1).sin()


def listed(x, k, reduce, distinct, marked):
    """The pooled function, tuple by tuple."""
    out = []
    for rows in x.split(SIZES):
        every = [*(permutations if distinct else lambda r, k: product(r, repeat=k))(range(len(rows)), k)]
        groups = [[t for t in every if t[0] == i] for i in range(len(rows))] if marked else [every]
        for tuples in groups:
            values = [ordered(torch.stack([rows[i] for i in t])[None])[0] for t in tuples]
            total = sum(values, torch.zeros(x.size(1), dtype=x.dtype))
            out.append(total / len(values) if reduce == "mean" and values else total)
    return torch.stack(out)


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_every_tuple_once(k, reduce, distinct, marked):
    pool = JanossyPooling(k, ordered, reduce=reduce, distinct=distinct, marked=marked)
    close(pool(features(), SETS), listed(features(), k, reduce, distinct, marked))


def test_k_1_is_deep_sets():
    torch.manual_seed(0)
    phi = nn.Sequential(nn.Linear(2, 4), nn.Tanh()).double()
    close(JanossyPooling(1, lambda t: phi(t[:, 0]))(features(), SETS), DeepSets(phi)(features(), SETS))


def test_k_2_at_a_marked_element_is_self_attention():
    """Numerator and denominator of attention are two pair sums; their ratio is the layer."""
    torch.manual_seed(0)
    to_query, to_key, to_value = (nn.Linear(2, 3, dtype=torch.float64) for _ in range(3))

    def weight(pairs):
        return ((to_query(pairs[:, 0]) * to_key(pairs[:, 1])).sum(dim=1, keepdim=True) / math.sqrt(3)).exp()

    def over_pairs(function):
        return JanossyPooling(2, function, distinct=False, marked=True)(x, SETS)

    x = features()
    ratio = over_pairs(lambda pairs: weight(pairs) * to_value(pairs[:, 1])) / over_pairs(weight)
    for name in ("sdpa", "compiled", "message"):
        attend = DotProductAttention()
        attend.lowering = name
        out = attend(*(linear(x)[:, None] for linear in (to_query, to_key, to_value)), SETS)[:, 0]
        assert (out - ratio).abs().max() < 1e-10
    without_self = JanossyPooling(2, weight, marked=True)(x, SETS)
    assert ((over_pairs(weight) - without_self).abs() > 1e-3).all()  # the element itself is one of its neighbours


def test_k_2_is_the_attention_of_the_encoder_layer():
    torch.manual_seed(0)
    layer = TransformerEncoderLayer(4, 1, 8, dropout=0.0).double()
    maps, x = layer.self_attn, features(4)
    nn.init.normal_(maps.in_proj_bias)
    w, b = maps.in_proj_weight.split(4), maps.in_proj_bias.split(4)

    def weight(pairs):
        return ((pairs[:, 0] @ w[0].t() + b[0]) * (pairs[:, 1] @ w[1].t() + b[1])).sum(1, keepdim=True).div(2).exp()

    def value(pairs):
        return pairs[:, 1] @ w[2].t() + b[2]

    top, bottom = (
        JanossyPooling(2, f, distinct=False, marked=True)(x, SETS) for f in (lambda p: weight(p) * value(p), weight)
    )
    y = layer.norm1(x + maps.out_proj(top / bottom))
    expected = layer.norm2(y + layer.linear2(layer.linear1(y).relu()))
    assert (layer(x, SETS) - expected).abs().max() < 1e-10


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_samples_have_the_right_mean(reduce, distinct, marked):
    generator = torch.Generator().manual_seed(0)
    pool = JanossyPooling(3, ordered, 4000, reduce, distinct, marked)
    exact = listed(features(), 3, reduce, distinct, marked)
    count = 1.0
    if reduce == "sum":  # as many tuples as the exact sum has
        count = JanossyPooling(3, lambda t: torch.ones_like(t[:, 0]), distinct=distinct, marked=marked)(
            features(), SETS
        )
    error = (pool(features(), SETS, generator) - exact) / torch.as_tensor(count).clamp(min=1)
    assert 0 < error.abs().max() < 6 / 4000**0.5  # six deviations of the mean of values in -1 .. 1


def test_samples_follow_the_generator():
    pool = JanossyPooling(2, ordered, num_samples=3)
    first, same, other = (pool(features(), SETS, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    torch.manual_seed(5)
    first = pool(features(), SETS)
    torch.manual_seed(5)
    assert torch.equal(pool(features(), SETS), first)


def test_sampled_tuples_are_distinct():
    seen = []

    def keep(tuples):
        seen.append(tuples[..., 0])
        return tuples[:, 0]

    JanossyPooling(3, keep, num_samples=200)(torch.arange(8.0)[:, None], SETS, torch.Generator().manual_seed(0))
    found = {tuple(t) for t in seen[0].tolist()}
    assert found == {*permutations(range(3), 3), *permutations(range(4, 8), 3)}


@pytest.mark.parametrize("marked", [False, True])
def test_law(marked):
    """Invariant, or equivariant at a marked element; the function alone, on neighbours in the list, is not."""
    x, group, sets = features(n=6), Permutation(6), Complete(6)
    pool = JanossyPooling(2, ordered, marked=marked)
    twin = ordered(torch.stack([x, x.roll(-1, 0)], dim=1))
    for seed in range(4):
        g = group.sample(torch.Generator().manual_seed(seed))
        moved = group.act(g, x)
        close(pool(moved, sets), group.act(g, pool(x, sets)) if marked else pool(x, sets))
        broken = ordered(torch.stack([moved, moved.roll(-1, 0)], dim=1))
        assert (broken.sum(0) - twin.sum(0)).abs().max() > 1e-6
    assert not torch.allclose(pool(features(n=6, seed=1), sets), pool(x, sets))


def test_sets_do_not_mix():
    x, pool = features(), JanossyPooling(2, ordered)
    parts = [pool(rows, Complete(len(rows))) for rows in x.split(SIZES)]
    close(pool(x, SETS), torch.cat(parts))


def test_second_derivative():
    x = features(n=4).requires_grad_()
    pool = JanossyPooling(2, ordered)
    assert torch.autograd.gradgradcheck(lambda x: pool(x, Complete([0, 3, 4])), (x,))


def test_errors():
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        JanossyPooling(0, ordered)
    with pytest.raises(ValueError, match="`num_samples` must be at least 1, or None for all tuples, got 0"):
        JanossyPooling(2, ordered, num_samples=0)
    with pytest.raises(ValueError, match="`reduce` must be 'sum' or 'mean', got 'max'"):
        JanossyPooling(2, ordered, reduce="max")
    with pytest.raises(TypeError, match=r"`structure` must be Complete\(ptr\)"):
        JanossyPooling(2, ordered)(features(), Chain(8))

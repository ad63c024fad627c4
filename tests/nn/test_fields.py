"""Layers on typed channels: their group's law, torch's layers as special cases, a broken twin for each."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphgdl.groups import (
    SO,
    Cyclic,
    Dihedral,
    FieldType,
    O,
    direct_sum,
    frequency,
    quotient,
    regular,
    scalars,
    sign,
    standard,
    trivial,
)
from graphgdl.nn import FieldNorm, GatedNonlinearity, NormNonlinearity, NormPool, PointwiseNonlinearity
from graphgdl.testing import assert_disjoint_union, assert_equivariant, assert_not_vacuous, assert_twin_fails

D4 = Dihedral(4)
PERMUTING = [regular(Cyclic(4)), quotient(D4, [torch.tensor([0, 1])]), direct_sum([trivial(D4), regular(D4)])]
MIXING = [standard(SO(2)), standard(O(3)), frequency(O(2), 3), sign(D4), direct_sum([standard(D4), regular(D4)])]
ANY = [NormNonlinearity, GatedNonlinearity, FieldNorm, NormPool]
LAYERS = [(PointwiseNonlinearity, r) for r in PERMUTING] + [(layer, r) for layer in ANY for r in PERMUTING + MIXING]


def case(layer, representation):
    """The layer with random parameters and running moments, and features for it."""
    torch.manual_seed(0)
    module = layer(FieldType(representation, 3)).double()
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data.uniform_(0.1, 0.3)
    return module, Data(x=torch.randn(5, 3 * representation.size, dtype=torch.float64))


@pytest.mark.parametrize(("layer", "representation"), LAYERS, ids=str)
def test_stated_laws_hold(layer, representation):
    module, data = case(layer, representation)
    laws = module.laws(data)
    assert len(laws) == 2
    for law in laws:
        assert law.kind == "exact"
        assert (
            assert_equivariant(module, data, group=law.group, law="invariant" if law.invariant else "equivariant")
            < 1e-10
        )
    assert_not_vacuous(module, data, seed=1)
    assert_disjoint_union(module, [data, Data(x=data.x.flip(0))])


class OneChannel(nn.Module):
    """The layer with one thing broken: the last channel is scaled alone."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(torch.cat([x[:, :-1], 1.1 * x[:, -1:]], dim=1))


@pytest.mark.parametrize(("layer", "representation"), [c for c in LAYERS if c[1].name != "sign"], ids=str)
def test_a_broken_twin_fails(layer, representation):
    module, data = case(layer, representation)
    law = module.laws(data)[1]
    assert_twin_fails(
        OneChannel(module), data, group=law.group, law="invariant" if law.invariant else "equivariant", draws=8
    )


def test_pointwise_on_channels_that_mix_would_break_the_law():
    """Why `PointwiseNonlinearity` refuses them."""
    fields = FieldType(standard(SO(2)), 3)
    law = NormNonlinearity(fields).laws(Data(x=torch.zeros(5, 6)))[1]
    with pytest.raises(AssertionError, match="ReLU is not equivariant"):
        assert_equivariant(nn.ReLU(), Data(x=torch.randn(5, 6)), group=law.group, call=lambda f, d: f(d.x))


def test_a_norm_per_channel_breaks_a_regular_representation():
    """Why `FieldNorm` has one scale for each copy."""
    module, data = case(FieldNorm, regular(Cyclic(4)))
    per_channel = nn.BatchNorm1d(12)
    per_channel.running_var.uniform_(0.5, 1.5)
    call = lambda f, d: f(d.x)  # noqa: E731
    assert assert_twin_fails(per_channel, data, group=module.laws(data)[1].group, call=call) > 1e-3


def test_field_norm_obeys_its_law_in_training():
    module, data = case(FieldNorm, direct_sum([standard(D4), regular(D4)]))
    for g in D4.elements():
        moved = module.train()(module.in_type.act(g, data.x))
        torch.testing.assert_close(moved, module.in_type.act(g, module(data.x)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_field_norm_of_scalars_is_torchs_batch_norm(training):
    ours, theirs = FieldNorm(scalars(4), eps=1e-3, momentum=0.3), nn.BatchNorm1d(4, eps=1e-3, momentum=0.3)
    torch.manual_seed(0)
    for module in (ours, theirs):
        torch.manual_seed(1)
        module.double().weight.data.uniform_(0.5, 1.5)
        module.bias.data.normal_()
    for _ in range(3):
        x = 2 * torch.randn(6, 4, dtype=torch.float64) + 1
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    x.requires_grad_()
    grads = [torch.autograd.grad(m.train(training)(x).sin().sum(), [x, m.weight, m.bias]) for m in (ours, theirs)]
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want)


def test_field_norm_of_a_regular_type_is_batch_norm_over_nodes_and_channels():
    module = FieldNorm(FieldType(regular(Cyclic(4)), 3)).double()
    x = torch.randn(5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    flat = x.view(5, 3, 4).transpose(1, 2).reshape(20, 3)
    want = nn.BatchNorm1d(3).double()(flat).view(5, 4, 3).transpose(1, 2).reshape(5, 12)
    torch.testing.assert_close(module(x), want)


@pytest.mark.parametrize("layer", ANY)
def test_derivatives_and_zero(layer):
    module, data = case(layer, standard(SO(3)))
    x = data.x[:2].clone().requires_grad_()
    assert torch.autograd.gradcheck(module, x)
    assert torch.autograd.gradgradcheck(module, x)
    zero = torch.zeros(2, 9, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(module(zero).sum(), zero, create_graph=True)
    assert first.isfinite().all()


def test_norm_nonlinearity_by_the_formula():
    module, data = case(NormNonlinearity, standard(SO(2)))
    module.bias.data.copy_(torch.tensor([-1.0, 0.0, 0.5]))
    out = module(data.x)
    for i in range(5):
        for k in range(3):
            v = data.x[i, 2 * k : 2 * k + 2]
            r = (v.square().sum() + 1e-8).sqrt()
            want = v / r * max(r + module.bias[k], torch.zeros(()))
            torch.testing.assert_close(out[i, 2 * k : 2 * k + 2], want)


@pytest.mark.parametrize("layer", [PointwiseNonlinearity, *ANY])
def test_misuse_is_refused_by_name(layer):
    with pytest.raises(TypeError, match=r"`field_type` must be a FieldType, got int; .* take `scalars\(c\)`"):
        layer(8)
    with pytest.raises(ValueError, match=r"`x` must have shape \(\.\.\., 4\) to be of type 1 x regular of Cyclic\(4\)"):
        layer(FieldType(regular(Cyclic(4))))(torch.ones(2, 3))


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match=r"permutes its channels, got 2 x standard of SO.2., .* `NormNonlinearity`"):
        PointwiseNonlinearity(FieldType(standard(SO(2)), 2))
    with pytest.raises(ValueError, match="`x` must hold at least 2 values for each copy in training, got 1"):
        FieldNorm(scalars(2))(torch.ones(1, 2))
    for x in (torch.ones(1, 2), torch.zeros(0, 2)):
        assert FieldNorm(scalars(2)).eval()(x).shape == x.shape


def test_scalars_state_no_group_of_the_channels():
    (law,) = PointwiseNonlinearity(scalars(3)).laws(Data(x=torch.ones(4, 3)))
    assert law.statement == "permutations of the nodes"

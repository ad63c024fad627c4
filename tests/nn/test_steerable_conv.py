"""Steerable convolution on grids: exact under the lattice's turns, in the limit under all, one convolution either way."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch
from grid_cases import derivatives
from torch import nn

from graphgdl.domains import Grid, StructuredData
from graphgdl.groups import (
    SO,
    Cyclic,
    Dihedral,
    E,
    FieldType,
    O,
    direct_sum,
    frequency,
    monomials,
    regular,
    scalars,
    sign,
    standard,
    trivial,
)
from graphgdl.nn import SteerableConv
from graphgdl.nn.planar_laws import about_center
from graphgdl.testing import assert_disjoint_union, assert_equivariant, assert_not_vacuous, assert_twin_fails
from graphgdl.testing.measure import measure

LOWERINGS = ("conv", "message")


def spectrum(group, *ks):
    return direct_sum([trivial(group), *(frequency(group, k) for k in ks)])


TYPES = {
    "C4": (FieldType(regular(Cyclic(4)), 2), FieldType(regular(Cyclic(4)), 3)),
    "C8": (FieldType(regular(Cyclic(8)), 1), FieldType(standard(Cyclic(8)), 2)),
    "C6": (scalars(2), FieldType(regular(Cyclic(6)))),
    "D4": (FieldType(standard(Dihedral(4)), 2), FieldType(regular(Dihedral(4)))),
    "SO2": (FieldType(spectrum(SO(2), 1, 2), 2), FieldType(spectrum(SO(2), 1), 2)),
    "O2": (FieldType(direct_sum([sign(O(2)), frequency(O(2), 1)]), 2), FieldType(spectrum(O(2), 1, 2))),
}


def layer_of(name, kernel_size=3, lowering="auto", **options):
    torch.manual_seed(0)
    layer = SteerableConv(*TYPES[name], kernel_size, **options).double()
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    layer.lowering = lowering
    return layer


def data_of(layer, shape, periodic, seed=0):
    grid = Grid(shape, periodic)
    generator = torch.Generator().manual_seed(seed)
    return StructuredData(
        torch.randn(grid.num_nodes, layer.in_type.size, generator=generator, dtype=torch.float64), grid
    )


def call(module, data):
    return module(data.x, data.structure)


LAWS = [  # types, shape, periodic, options, point group, kind
    ("C4", (4, 4), True, {"padding": 1}, "Cyclic(4)", "exact"),
    ("C8", (5, 5), True, {"padding": 2, "kernel_size": 5}, "Cyclic(4)", "subgroup"),
    ("C6", (4, 6), True, {"padding": 1}, "Cyclic(2)", "subgroup"),
    ("D4", (5, 5), False, {"padding": 1}, "Dihedral(4)", "exact"),
    ("D4", (6, 6), True, {"padding": 1, "stride": 3, "kernel_size": 4}, "Dihedral(4)", "subgroup"),
    ("SO2", (6, 6), True, {"padding": 2, "kernel_size": 5, "stride": 2}, "Cyclic(4)", "subgroup"),
    ("SO2", (5, 5), False, {"padding": 1, "stride": 2}, "Cyclic(4)", "subgroup"),
    ("O2", (4, 4), True, {"padding": 1}, "Dihedral(4)", "subgroup"),
    ("O2", (3, 5), False, {"padding": 1}, "Dihedral(2)", "subgroup"),
]


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(("name", "shape", "periodic", "options", "point", "kind"), LAWS)
def test_law(name, shape, periodic, options, point, kind, lowering):
    layer = layer_of(name, lowering=lowering, **options)
    data = data_of(layer, shape, periodic)
    (law,) = layer.laws(data)
    assert law.kind == kind
    assert law.statement.startswith(point)
    assert assert_equivariant(layer, data, group=law.group, call=call, draws=12) < 1e-10


class OneTapOff(nn.Module):
    """The layer with one thing broken: one tap of one filter."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, structure):
        filters = type(self.layer).filters(self.layer).clone()
        filters[0, 0, 0, 1] += 0.1
        self.layer.filters = lambda: filters
        return self.layer(x, structure)


@pytest.mark.parametrize("name", TYPES)
def test_contract(name):
    layer = layer_of(name, padding=1)
    data = data_of(layer, (5, 5), True)
    (law,) = layer.laws(data)
    assert_not_vacuous(layer, data, group=law.group, call=call, seed=1)
    assert_twin_fails(OneTapOff(layer), data, group=law.group, call=call, draws=8)
    assert_disjoint_union(layer, [data, data_of(layer, (5, 5), True, seed=1)], call=call)


def test_outside_the_statement_nothing_is_claimed():
    layer = layer_of("SO2", padding=1, stride=2)
    assert layer.laws(data_of(layer, (6, 6), False)) == ()
    data = data_of(layer, (6, 6), False)
    out = call(layer, data)
    moved = layer(quarter_turn(layer.in_type, data.x, 6), data.structure)
    assert (moved - quarter_turn(layer.out_type, out, 3)).abs().max() > 0.1 * out.abs().max()


def quarter_turn(fields, x, side):
    g = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    return fields.act(g, torch.rot90(x.view(side, side, -1)).reshape(x.shape))


@pytest.mark.parametrize("name", ["C8", "O2"])
def test_both_lowerings_agree_in_value_and_derivatives(name):
    conv = layer_of(name, lowering="conv", stride=2, padding=1)
    message = copy.deepcopy(conv)
    message.lowering = "message"
    grid = Grid([(5, 5), (4, 6)])
    x = torch.randn(49, conv.in_type.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = [derivatives(lambda v, f=f: f(v, grid), x, list(f.parameters())) for f in (conv, message)]
    for got, want in zip(*pairs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


def test_gradients_of_scalars_point_along_or_across():
    """k(x) = a(r) x / r + b(r) J x / r for frequency 1: the formula itself, not its constraint."""
    torch.manual_seed(0)
    layer = SteerableConv(scalars(1), FieldType(standard(SO(2))), 5, bias=False).double()
    taps = torch.cartesian_prod(torch.arange(-2.0, 3), torch.arange(-2.0, 3)).double()
    values, r = layer.filters()[:, 0].flatten(1).T, taps.norm(dim=1)
    along = (values * taps).sum(dim=1) / r
    across = (values * torch.stack([-taps[:, 1], taps[:, 0]], dim=1)).sum(dim=1) / r
    for part in (along, across):
        for radius in (1, math.sqrt(2), 2, math.sqrt(5), math.sqrt(8)):
            ring = part[(r - radius).abs() < 1e-9]
            assert ring.std() < 1e-14
            assert ring.abs().min() > 1e-3
    assert values[12].abs().max() == 0


@pytest.mark.parametrize("name", ["SO2", "C8"])
def test_other_turns_hold_in_the_limit(name):
    """A smooth field, turned by any angle, seen at one place of grids of spacing 1, 1/2, 1/4: the error falls fast."""
    group = TYPES[name][0].group
    g = (
        torch.tensor([1, 0])
        if name == "C8"
        else torch.linalg.matrix_exp(torch.tensor([[0.0, -0.5], [0.5, 0.0]]).double())
    )
    in_type, out_type = TYPES[name]
    errors = []
    for kernel_size, spacing in ((3, 1.0), (7, 0.5), (15, 0.25)):
        layer = layer_of(name, kernel_size=kernel_size, spacing=spacing).requires_grad_(False)
        axis = spacing * (torch.arange(kernel_size, dtype=torch.float64) - (kernel_size - 1) / 2)
        places, grid = torch.cartesian_prod(axis, axis), Grid((kernel_size, kernel_size))
        out = layer(waves(places, in_type.size), grid)
        moved = in_type.act(g, waves(group.act(group.inverse(g), places), in_type.size))
        errors.append(float((layer(moved, grid) - out_type.act(g, out)).norm() / out.norm()))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert errors[-1] < 1e-3, errors
    assert min(orders) > 2.5, (errors, orders)


def refined(name, kernel_sizes=(3, 7, 15), dilations=(1, 1, 1)):
    """The layer and a polynomial at the spacings 1, 1/2, 1/4, far enough that outputs reach 2 from the centre."""
    layers, family = [], []
    for kernel_size, dilation, spacing in zip(kernel_sizes, dilations, (1, 0.5, 0.25)):
        layers.append(layer_of(name, kernel_size, spacing=spacing * dilation, dilation=dilation))
        shape = (int(4 / spacing) + 1 + dilation * (kernel_size - 1),) * 2
        terms = monomials(about_center(shape) * spacing / 4, 4)
        weights = torch.randn(15, layers[0].in_type.size, generator=torch.Generator().manual_seed(0)).double()
        family.append(StructuredData(terms @ weights, Grid(shape), spacing=spacing))
    return layers, family


@pytest.mark.parametrize("name", ["SO2", "O2", "C8", "C6"])
def test_the_limit_is_stated_and_proved(name):
    layers, family = refined(name)
    laws = [layer.laws(data)[-1] for layer, data in zip(layers, family)]
    assert (laws[0].kind, laws[0].order) == ("limit", 3)
    assert laws[0].statement == f"{TYPES[name][1].group} about the centre, of polynomials of degree 4"
    found = measure(layers, family, laws)
    assert found.holds, found
    assert 1e-10 < found.error < 1e-3


def test_a_group_without_a_turn_of_the_lattice_states_its_limit_alone():
    fields = FieldType(regular(Cyclic(3)))
    conv, grid = SteerableConv(fields, fields, 3), Grid((9, 9))
    x = torch.zeros(81, 3)
    assert conv.laws(StructuredData(x, grid)) == ()
    (law,) = conv.laws(StructuredData(x, grid, spacing=1.0))
    assert (law.kind, law.statement) == ("limit", "Cyclic(3) about the centre, of polynomials of degree 4")


@pytest.mark.parametrize("name", ["SO2", "C8"])
def test_the_same_disc_without_refinement_fails_the_fit(name):
    """The twin of the limit: 3 taps at distance 1 on every grid."""
    layers, family = refined(name, kernel_sizes=(3, 3, 3), dilations=(1, 2, 4))
    found = measure(layers, family, [layer.laws(data)[-1] for layer, data in zip(layers, family)])
    assert not found.holds
    assert abs(found.order) < 0.5


@pytest.mark.parametrize(
    ("name", "shape", "periodic", "options", "spacing"),
    [
        ("SO2", (9, 9), False, {}, None),
        ("SO2", (9, 9), True, {}, 1.0),
        ("SO2", (9, 9), False, {"padding": 1}, 1.0),
        ("SO2", (6, 6), False, {}, 1.0),
        ("SO2", (10, 10), False, {"stride": 2}, 1.0),
        ("C4", (9, 9), False, {}, 1.0),
        ("D4", (9, 9), False, {}, 1.0),
    ],
    ids=["no spacing", "periodic", "padding", "too small", "off centre", "on the lattice", "reflections too"],
)
def test_no_limit_is_stated(name, shape, periodic, options, spacing):
    layer = layer_of(name, **options)
    data = data_of(layer, shape, periodic)
    data.spacing = spacing
    assert all(law.kind != "limit" for law in layer.laws(data))


def waves(places, channels):
    """A smooth field of the plane."""
    generator = torch.Generator().manual_seed(3)
    directions = 0.7 * torch.randn(2, channels, generator=generator, dtype=torch.float64)
    return (places @ directions + torch.arange(channels)).cos()


def test_a_fixed_kernel_on_the_lattice_keeps_no_other_turn():
    """The twin of the limit: without refinement an eighth of a turn is off by what the sampled kernel is."""
    layer = layer_of("C8", kernel_size=3)
    filters = layer.filters()
    assert (filters[:2, :, 0, 1].norm() - filters[:2, :, 0, 0].norm()).abs() > 1e-3


def test_types_state_and_bias():
    layer = layer_of("C8", padding=1)
    assert (layer.in_type, layer.out_type) == TYPES["C8"]
    assert layer.bias is None  # no vector is invariant
    assert list(layer.state_dict()) == ["weight"]
    biased = layer_of("O2")
    assert biased.bias.shape == (1, 1)
    assert biased.biases().ne(0).tolist() == [True, False, False, False, False]
    assert layer_of("C4").bias.shape == (3, 1)
    assert repr(layer) == "SteerableConv(1 x regular of Cyclic(8), 2 x standard of Cyclic(8), kernel_size=3, stride=1)"


def test_a_detour_through_float32_leaves_the_law_exact():
    layer = layer_of("SO2", padding=1).float().double()
    data = data_of(layer, (4, 4), True)
    (law,) = layer.laws(data)
    assert assert_equivariant(layer, data, group=law.group, call=call) < 1e-10


def test_variance_is_kept_through_a_relu():
    torch.manual_seed(0)
    layer = SteerableConv(FieldType(spectrum(SO(2), 1), 30), FieldType(spectrum(SO(2), 1), 30), 5, bias=False)
    x = torch.randn(400, 90)
    assert 1.0 < float(layer(x, Grid((20, 20), True)).detach().var()) < 3.0


MISUSES = {
    "`in_type` and `out_type` must have one group, got": lambda: SteerableConv(TYPES["C4"][0], TYPES["C8"][1], 3),
    "`spacing` must be a distance above 0, got 0": lambda: layer_of("C4", spacing=0),
    r"`reach` must be at least 1, got 0\.5; take a larger kernel": lambda: layer_of("C4", kernel_size=1, spacing=0.5),
    "`max_frequency` must allow a kernel": lambda: SteerableConv(scalars(1), FieldType(frequency(SO(2), 3)), 3),
    "`kernel_size` must be one number for both axes": lambda: layer_of("C4", kernel_size=(3, 5)),
    r"`x` must have shape \(16, 8\)": lambda: layer_of("C4")(torch.ones(16, 2), Grid((4, 4))),
}


@pytest.mark.parametrize("message", MISUSES)
def test_misuse_is_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        MISUSES[message]()


@pytest.mark.parametrize("group", [SO(3), E(2)], ids=repr)
def test_other_groups_are_refused_by_name(group):
    with pytest.raises(TypeError, match=r"must be of Cyclic\(n\), Dihedral\(n\), SO\(2\) or O\(2\), got"):
        SteerableConv(scalars(1), FieldType(standard(group)), 3)

"""Group convolutions equal the sum over places and turns, follow p4, p4m and their kin, and refuse what does not fit."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
from grid_cases import derivatives
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

from graphgdl.domains import Grid, StructuredData
from graphgdl.groups import SO, Cyclic, Dihedral, FieldType, p4, quotient, regular, standard
from graphgdl.nn import GroupConv, GroupLiftingConv, GroupPool
from graphgdl.testing import assert_disjoint_union, assert_equivariant, assert_not_vacuous, assert_twin_fails
from graphgdl.testing.equivariance import equivariance_errors

LOWERINGS = ("conv", "message")
GROUPS = [Cyclic(1), Cyclic(2), Cyclic(4), Dihedral(1), Dihedral(2), Dihedral(4)]
C4, D4 = Cyclic(4), Dihedral(4)


def layer_of(group, lift=False, channels=(2, 3), kernel_size=3, lowering="auto", **options):
    torch.manual_seed(0)
    layer = (GroupLiftingConv if lift else GroupConv)(*channels, kernel_size, group, **options).double()
    layer.lowering = lowering
    return layer


def signal(layer, grid, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(grid.num_nodes, layer.in_type.size, generator=generator, dtype=torch.float64)


def data_of(layer, shape, periodic, seed=0):
    grid = Grid(shape, periodic)
    return StructuredData(signal(layer, grid, seed), grid)


def call(module, data):
    return module(data.x, data.structure)


def by_sums(layer, group, x, shape, stride, padding, dilation, ring):
    """The sum over places and turns, written from the paper with matrices: nothing is shared with the layer."""
    lift, elements = isinstance(layer, GroupLiftingConv), group.elements()
    matrices = [group.matrix(h).to(torch.int64) for h in elements]
    k, centre = layer.weight.size(-1), (layer.weight.size(-1) - 1) / 2

    def where(matrix):
        return next(i for i, m in enumerate(matrices) if torch.equal(m, matrix))

    def weight(h, other, u):
        v = (matrices[h].T.double() @ (torch.tensor(u, dtype=torch.float64) - centre) + centre).round().long().tolist()
        seen = () if lift else (where(matrices[h].T @ matrices[other]),)
        return layer.weight[(slice(None), slice(None), *seen, *v)]

    places = [(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n in shape]
    fields = x.view(*shape, -1, 1 if lift else len(elements))
    out = layer.bias.expand(*places, len(elements), -1).clone()
    for i, j, h, u, v in product(range(places[0]), range(places[1]), range(len(elements)), range(k), range(k)):
        at = [i * stride - padding + u * dilation, j * stride - padding + v * dilation]
        at = [a % n for a, n in zip(at, shape)] if ring else at
        if all(0 <= a < n for a, n in zip(at, shape)):
            for other in range(fields.size(3)):
                out[i, j, h] = out[i, j, h] + weight(h, other, (u, v)) @ fields[at[0], at[1], :, other]
    return out.transpose(2, 3).reshape(places[0] * places[1], -1)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("lift", [True, False], ids=["lift", "group"])
@pytest.mark.parametrize("group", GROUPS, ids=repr)
def test_equals_the_sum_over_places_and_turns(group, lift, lowering):
    layer = layer_of(group, lift, (2, 2), lowering=lowering, stride=2, padding=1)
    for shape, ring in (((4, 3), False), ((4, 4), True)):
        grid = Grid(shape, ring)
        x = signal(layer, grid)
        want = by_sums(layer, group, x, shape, 2, 1, 1, ring)
        torch.testing.assert_close(layer(x, grid), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_equals_the_sum_with_an_even_dilated_kernel(lowering):
    layer = layer_of(D4, channels=(1, 1), kernel_size=2, lowering=lowering, padding=2, dilation=3)
    grid = Grid((3, 4))
    x = signal(layer, grid)
    torch.testing.assert_close(layer(x, grid), by_sums(layer, D4, x, (3, 4), 1, 2, 3, False), rtol=1e-12, atol=1e-12)


def test_one_turn_is_a_plain_convolution():
    layer, grid = layer_of(Cyclic(1), padding=1), Grid((4, 5))
    x = signal(layer, grid)
    want = nn.functional.conv2d(x.view(1, 4, 5, 2).movedim(-1, 1), layer.weight[:, :, 0], layer.bias, padding=1)
    torch.testing.assert_close(layer(x, grid), want.movedim(1, -1).reshape(20, 3), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lift", [True, False], ids=["lift", "group"])
@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
def test_both_lowerings_agree_in_value_and_derivatives(mode, lift):
    conv = layer_of(D4, lift, lowering="conv", stride=2, padding=1, padding_mode=mode)
    message = copy.deepcopy(conv)
    message.lowering = "message"
    grid = Grid([(5, 5), (4, 6), (5, 5)], periodic=mode == "circular")
    x = signal(conv, grid)
    pairs = [derivatives(lambda v, f=f: f(v, grid), x, list(f.parameters())) for f in (conv, message)]
    for got, want in zip(*pairs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


LAWS = [  # group, shape, periodic, options, kind
    (C4, (4, 4), True, {"padding": 1}, "exact"),
    (D4, (5, 5), True, {"padding": 1}, "exact"),
    (Dihedral(2), (3, 4), True, {"padding": 1}, "exact"),
    (C4, (3, 5), True, {"padding": 1}, "subgroup"),  # half turns only
    (D4, (6, 6), True, {"padding": 1, "stride": 2}, "subgroup"),
    (D4, (6, 6), True, {"padding": 0, "stride": 2, "kernel_size": 2}, "subgroup"),  # about points between nodes
    (D4, (6, 6), True, {"padding": 1, "stride": 3, "kernel_size": 4}, "subgroup"),
    (D4, (5, 5), False, {"padding": 1}, "exact"),
    (D4, (4, 4), False, {"padding": 2, "kernel_size": 2, "dilation": 2, "padding_mode": "reflect"}, "exact"),
    (C4, (5, 5), False, {"padding": 0}, "exact"),
    (D4, (7, 7), False, {"padding": 1, "stride": 3, "padding_mode": "replicate"}, "subgroup"),
    (D4, (6, 6), False, {"padding": 1, "stride": 2, "kernel_size": 4}, "subgroup"),
    (Dihedral(1), (5, 3), False, {"padding": 1, "stride": 2}, "subgroup"),
]


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("lift", [True, False], ids=["lift", "group"])
@pytest.mark.parametrize(("group", "shape", "periodic", "options", "kind"), LAWS)
def test_law(group, shape, periodic, options, kind, lift, lowering):
    layer = layer_of(group, lift, lowering=lowering, **options)
    data = data_of(layer, shape, periodic)
    (law,) = layer.laws(data)
    assert law.kind == kind
    assert assert_equivariant(layer, data, group=law.group, call=call, draws=12) < 1e-10


class Untouched(nn.Module):
    """The layer with one thing broken: one weight of the filters for the first turn is not that of the others."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, structure):
        filters = type(self.layer).filters(self.layer).clone()
        filters[0, 0, 0, 0] *= 1.5
        self.layer.filters = lambda: filters
        return self.layer(x, structure)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("lift", [True, False], ids=["lift", "group"])
def test_twin_and_non_vacuity(lift, periodic):
    layer = layer_of(D4, lift, padding=1)
    data = data_of(layer, (5, 5), periodic)
    (law,) = layer.laws(data)
    assert_not_vacuous(layer, data, group=law.group, call=call, seed=1)
    assert_twin_fails(Untouched(layer), data, group=law.group, call=call, draws=12)
    assert_disjoint_union(layer, [data, data_of(layer, (5, 5), periodic, seed=1)], call=call)


@pytest.mark.parametrize(
    ("shape", "options"),
    [((6, 6), {"padding": 1, "stride": 2}), ((5, 5), {"padding": 1, "stride": 2, "kernel_size": 4})],
)
def test_outside_the_statement_nothing_is_claimed_and_it_fails(shape, options):
    layer = layer_of(D4, **options)
    inside = data_of(layer, (shape[0] - 1,) * 2 if shape[0] == 6 else (6, 6), False)
    outside = data_of(layer, shape, False)
    assert layer.laws(outside) == ()
    (law,) = layer.laws(inside)
    assert assert_equivariant(layer, inside, group=law.group, call=call) < 1e-10
    out, side = layer(outside.x, outside.structure), layer.grid(outside.structure).shape[0]
    turned = regular_turn(outside.x, shape)
    want = regular_turn(out, (side, side))
    assert (layer(turned, outside.structure) - want).abs().max() > 0.1 * out.abs().max()


def regular_turn(x, shape):
    """Turn an image of regular fields of D_4 by a quarter about its centre."""
    moved = torch.rot90(x.view(*shape, -1)).reshape(x.shape)
    return FieldType(regular(D4), x.size(1) // 8).act(torch.tensor([1, 0]), moved)


def test_odd_shifts_are_no_symmetry_under_stride():
    layer = layer_of(C4, stride=2, padding=1)
    data = data_of(layer, (6, 6), True)
    (law,) = layer.laws(data)
    g = torch.tensor([1, 0, 0, 0])
    moved = call(layer, law.group.act(g, data)).view(3, 3, -1)
    assert min((moved.roll(k, 0).flatten(0, 1) - call(layer, data)).abs().max() for k in range(3)) > 0.1


@pytest.mark.parametrize("data", ["batch", "half open", "torn by the stride"])
def test_no_law_is_claimed(data):
    layer = layer_of(C4, lift=True, padding=1, stride=2)
    grid = {
        "batch": Grid((4, 4), True, ptr=[0, 16, 32]),
        "half open": Grid((4, 4), (True, False)),
        "torn by the stride": Grid((5, 5), True),
    }[data]
    assert layer.laws(StructuredData(signal(layer, grid), grid)) == ()


class Network(nn.Module):
    """Lifting, two group layers with stride, pooling over turns and places."""

    def __init__(self, group):
        super().__init__()
        self.lift = GroupLiftingConv(1, 3, 3, group, padding=1)
        self.convs = nn.ModuleList(
            [GroupConv(3, 4, 3, group, stride=2, padding=1), GroupConv(4, 5, 3, group, stride=2)]
        )
        self.pool = GroupPool(self.convs[-1].out_type)
        self.head = nn.Linear(5, 4)

    def forward(self, x, structure):
        x, grid = self.lift(x, structure).relu(), structure
        for conv in self.convs:
            x, grid = conv(x, grid).relu(), conv.grid(grid)
        places = self.pool(x).view(grid.num_graphs, -1, 5)
        return self.head(places.mean(dim=1))


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("group", [C4, D4], ids=repr)
def test_logits_of_a_network_stay_over_the_orbit(group, lowering):
    torch.manual_seed(0)
    network = Network(group).double()
    for layer in network.modules():
        if isinstance(layer, MessagePassing):
            layer.lowering = lowering
    for side, holds in ((13, True), (9, True), (14, False)):
        data = data_of(network.lift, (side, side), False)
        images = [torch.rot90(data.x.view(side, side), r) for r in range(4)]
        images += [image.flip(1) for image in images] if group == D4 else []
        grid = Grid((side, side), ptr=side**2 * torch.arange(len(images) + 1))
        logits = network(torch.stack(images).view(-1, 1), grid)
        gap = (logits - logits[0]).abs().max() / logits.abs().max()
        assert (gap < 1e-13) == holds
        assert logits.std(dim=1).min() > 1e-3
    flipped = network(data.x.view(14, 14).flip(1).reshape(-1, 1), Grid((14, 14)))
    assert (flipped - logits[0]).abs().max() > 1e-6


def test_pooling():
    fields = FieldType(regular(C4), 2)
    x = torch.arange(16.0).view(2, 8)
    assert GroupPool(fields)(x).tolist() == [[3, 7], [11, 15]]
    assert GroupPool(fields, "mean")(x).tolist() == [[1.5, 5.5], [9.5, 13.5]]
    assert GroupPool(FieldType(quotient(D4, [torch.tensor([1, 0])])))(x.view(8, 2)).shape == (8, 1)
    assert repr(GroupPool(fields)) == "GroupPool(2 x regular of Cyclic(4), reduce='max')"


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_pooling_law(reduce):
    pool = GroupPool(FieldType(regular(D4), 2), reduce)
    for periodic in (True, False):
        data = data_of(pool, (4, 4), periodic)
        (law,) = pool.laws(data)
        error = assert_equivariant(pool, data, group=law.group, call=lambda f, d: f(d.x))
        assert error < 1e-14
        (of_channel,) = equivariance_errors(Channel(), data, law.group, "equivariant", 1, 1, torch.float64, call)
        assert of_channel > 0.1


class Channel(nn.Module):
    """What pools nothing: one channel of each field."""

    def forward(self, x, structure):
        return x.unflatten(1, (2, -1))[:, :, 0]


def test_types_and_state():
    layer = layer_of(D4, stride=2)
    assert (layer.in_type, layer.out_type) == (FieldType(regular(D4), 2), FieldType(regular(D4), 3))
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert layer.weight.shape == (3, 2, 8, 3, 3)
    other = layer_of(D4, stride=2)
    nn.init.ones_(other.weight)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.filters(), layer.filters())
    assert repr(layer) == "GroupConv(2 x regular of Dihedral(4), 3 x regular of Dihedral(4), kernel_size=3, stride=2)"
    assert layer_of(C4, True, bias=False).bias is None


def test_initial_values_are_those_of_a_convolution_with_as_many_inputs():
    layer = layer_of(D4, channels=(16, 64))
    bound = (16 * 8 * 9) ** -0.5
    largest = [float(p.detach().abs().max()) / bound for p in layer.parameters()]
    assert 0.99 < largest[0] <= 1
    assert 0.8 < largest[1] <= 1


def test_compiles_whole():
    layer = layer_of(C4, padding=1)
    data = data_of(layer, (4, 4), True)
    fast = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(call(fast, data), call(layer, data))
    wide = layer_of(C4, channels=(3, 3), padding=1)  # the same code with more channels
    data = data_of(wide, (4, 4), True)
    torch.testing.assert_close(call(torch.compile(wide, backend="eager", fullgraph=True), data), call(wide, data))


MISUSES = {
    "`group` must turn the square lattice to itself, n = 1, 2 or 4, got Cyclic": lambda: GroupConv(1, 1, 3, Cyclic(8)),
    "`kernel_size` must be one number for both axes": lambda: GroupConv(1, 1, (3, 5), C4),
    "`padding` must be the same on all sides, .*'same' needs an odd kernel": lambda: layer_of(
        C4, kernel_size=2, padding="same"
    ),
    r"`padding` must be the same on all sides, .*got \[1, 2\]": lambda: layer_of(C4, padding=(1, 2)),
    "`padding_mode` must be one of": lambda: layer_of(C4, padding_mode="wrap"),
    "`multiplicity` must be a number of copies": lambda: GroupLiftingConv(1, 0, 3, C4),
    r"`x` must have shape \(16, 8\)": lambda: layer_of(C4)(torch.ones(16, 2), Grid((4, 4))),
    "`structure` must have 2 axes": lambda: layer_of(C4)(torch.ones(4, 8), Grid((4,))),
    "`in_type` must be of a representation that permutes its channels": lambda: GroupPool(FieldType(standard(C4))),
    "`data` must hold a Grid as its `structure`, got None": lambda: layer_of(C4).laws(Data(x=torch.ones(16, 8))),
    "`data` must hold a Grid as its": lambda: GroupPool(FieldType(regular(C4))).laws(Data(x=torch.ones(16, 4))),
    "`reduce` must be 'max' or 'mean', got 'sum'": lambda: GroupPool(FieldType(regular(C4)), "sum"),
    r"`x` must have shape \(n, 4\) to be 1 x regular": lambda: GroupPool(FieldType(regular(C4)))(torch.ones(2, 5)),
}


@pytest.mark.parametrize("message", MISUSES)
def test_misuse_is_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        MISUSES[message]()


@pytest.mark.parametrize("group", [SO(2), p4(3)], ids=repr)
def test_other_groups_are_refused_by_name(group):
    with pytest.raises(TypeError, match=r"`group` must be Cyclic\(n\) or Dihedral\(n\), got"):
        GroupLiftingConv(1, 1, 3, group)

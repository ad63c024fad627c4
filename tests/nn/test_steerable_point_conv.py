"""Steerable convolution on planar points: exact under every turn; on the points of a grid it is the grid's layer."""

from __future__ import annotations

import copy

import pytest
import torch
from grid_cases import derivatives
from test_steerable_conv import TYPES
from torch import nn
from torch_geometric.data import Data

from graphgdl.domains import Grid
from graphgdl.groups import SO, FieldType, frequency, scalars, trivial
from graphgdl.nn import SteerableConv, SteerablePointConv
from graphgdl.testing import assert_contract, assert_equivariant

LOWERINGS = ("auto", "message")
NAMES = list(TYPES)


def layer_of(name, radius=1.5, rings=3, **options):
    torch.manual_seed(0)
    layer = SteerablePointConv(*TYPES[name], radius, rings, **options).double()
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    return layer


def cloud(layer, n=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 3
    x = torch.randn(n, layer.in_type.size, generator=generator, dtype=torch.float64)
    near = torch.cdist(pos, pos) < layer.radius
    return Data(x=x, pos=pos, edge_index=near.nonzero().T.contiguous())


class Bent(nn.Module):
    """The layer with one thing broken: it sees the plane a little stretched."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, pos, edge_index):
        return self.layer(x, pos * torch.tensor([1.02, 1.0], dtype=pos.dtype), edge_index)


@pytest.mark.parametrize("aggr", ["add", "mean"])
@pytest.mark.parametrize("name", NAMES)
def test_contract(name, aggr):
    layer = layer_of(name, aggr=aggr)
    data = cloud(layer)
    nodes, law = layer.laws(data)
    assert (nodes.statement, law.kind) == ("permutations of the nodes", "exact")
    how = "invariant" if law.invariant else "equivariant"
    errors = assert_contract(layer, data, twin=Bent(layer), group=law.group, law=how)
    assert errors["law"] < 1e-12


def test_the_law_says_what_moves():
    arrows, ones = FieldType(frequency(SO(2), 1)), FieldType(trivial(SO(2)))
    data = Data(x=torch.ones(2, 2), pos=torch.zeros(2, 2), edge_index=torch.tensor([[0], [1]]))
    for out, invariant in ((arrows, False), (ones, True), (scalars(2), True)):
        assert SteerablePointConv(arrows, out, radius=1.0).laws(data)[1].invariant == invariant
    plain = SteerablePointConv(scalars(2), scalars(2), radius=1.0).laws(data)
    assert [law.statement for law in plain] == ["permutations of the nodes", "translations of the plane"]


class Placed(Bent):
    """The layer with one thing broken: it sees a little of where the points are."""

    def forward(self, x, pos, edge_index):
        return self.layer(x * (1 + 0.01 * pos[:, :1].sin()), pos, edge_index)


@pytest.mark.parametrize("name", [*NAMES, "no turns"])
def test_translations_are_a_part_of_the_law(name):
    layer = SteerablePointConv(scalars(2), scalars(3), 1.5).double() if name == "no turns" else layer_of(name)
    data = cloud(layer)
    law = layer.laws(data)[1]
    shift = torch.cat([torch.tensor([5.0, -2.0]).double(), law.group.identity()[2:]])
    moved = law.group.act(shift, data)
    torch.testing.assert_close(moved.pos, data.pos + torch.tensor([5.0, -2.0]).double())
    torch.testing.assert_close(moved.x, data.x)
    out = layer(data.x, data.pos, data.edge_index)
    torch.testing.assert_close(layer(moved.x, moved.pos, moved.edge_index), out, rtol=1e-12, atol=1e-12)
    how = "invariant" if law.invariant else "equivariant"
    assert_contract(layer, data, twin=Placed(layer), group=law.group, law=how)
    assert assert_equivariant(layer, data) < 1e-12


@pytest.mark.parametrize("name", ["C8", "SO2"])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_on_the_points_of_a_grid_it_is_the_layer_of_the_grid(name, kernel_size):
    torch.manual_seed(0)
    on_grid = SteerableConv(*TYPES[name], kernel_size, padding=kernel_size // 2).double()
    rings = (kernel_size + 1) // 2
    layer = layer_of(name, radius=float(rings), rings=rings)
    layer.load_state_dict(on_grid.state_dict())
    pos = torch.cartesian_prod(torch.arange(5.0), torch.arange(4.0)).double()
    edge_index = torch.cartesian_prod(torch.arange(20), torch.arange(20)).T  # all pairs: far ones add nothing
    x = torch.randn(20, layer.in_type.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    inside = (pos[edge_index[0]] - pos[edge_index[1]]).abs().amax(dim=1) < rings
    torch.testing.assert_close(layer(x, pos, edge_index[:, inside]), on_grid(x, Grid((5, 4))), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(x, pos, edge_index), on_grid(x, Grid((5, 4))), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_equals_the_sum_over_neighbours(lowering):
    layer = layer_of("SO2")
    layer.lowering = lowering
    data = cloud(layer)
    weight = torch.einsum("boi,bpqh->opiqh", layer.weight, layer.basis.coefficients)
    want = layer.biases().repeat(12, 1)
    for j, i in data.edge_index.T.tolist():
        functions = layer.basis.functions((data.pos[j] - data.pos[i])[None] * 2)[0]
        want[i] = want[i] + (weight @ functions).reshape(layer.out_type.size, -1) @ data.x[j]
    torch.testing.assert_close(layer(data.x, data.pos, data.edge_index), want, rtol=1e-12, atol=1e-12)


def test_lowerings_agree_in_value_and_derivatives_of_features_and_positions():
    auto = layer_of("C8")
    message = copy.deepcopy(auto)
    message.lowering = "message"
    data = cloud(auto)
    assert (
        data.edge_index[0] == data.edge_index[1]
    ).any()  # a node beside itself: distance 0, and no derivative is nan
    for varied in ("x", "pos"):
        pairs = []
        for layer in (auto, message):

            def run(v, layer=layer, varied=varied):
                given = {"x": data.x, "pos": data.pos, "edge_index": data.edge_index, varied: v}
                return layer(**given)

            pairs.append(derivatives(run, data[varied], list(layer.parameters())))
        for got, want in zip(*pairs, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_forces_equal_finite_differences_and_stay_finite_where_points_meet():
    layer = layer_of("SO2")
    data = cloud(layer, n=5)
    data.pos[1] = data.pos[0]
    pos = data.pos.clone().requires_grad_()
    assert torch.autograd.grad(layer(data.x, pos, data.edge_index).sum(), pos)[0].isfinite().all()
    apart = cloud(layer, n=5)
    edge_index = apart.edge_index[:, apart.edge_index[0] != apart.edge_index[1]]
    pos = apart.pos.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: layer(apart.x, p, edge_index), pos)


MISUSES = {
    r"`aggr` must be 'add' or 'mean', .* got 'max'": lambda: layer_of("C4", aggr="max"),
    "`radius` must be a distance above 0, got 0": lambda: layer_of("C4", radius=0),
    "`rings` must be a number of radial profiles, at least 1, got 0": lambda: layer_of("C4", rings=0),
    "`max_frequency` must allow a kernel": lambda: SteerablePointConv(scalars(1), FieldType(frequency(O2, 3)), 1.0, 2),
    r"`x` must have shape \(n, 8\) to be 2 x regular": lambda: layer_of("C4")(
        torch.ones(2, 3), torch.ones(2, 2), EDGES
    ),
    r"`x` must have shape \(n, 8\) to be .*, got \(8,\)": lambda: layer_of("C4")(
        torch.ones(8), torch.ones(8, 2), EDGES
    ),
    r"`pos` must have shape \(2, 2\), points of the plane, got \(2, 3\)": lambda: layer_of("C4").float()(
        torch.ones(2, 8), torch.ones(2, 3), EDGES
    ),
}
EDGES, O2 = torch.tensor([[0], [1]]), TYPES["O2"][0].group


@pytest.mark.parametrize("message", MISUSES)
def test_misuse_is_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        MISUSES[message]()


def test_name():
    assert (
        repr(layer_of("C6")) == "SteerablePointConv(2 scalar channels, 1 x regular of Cyclic(6), radius=1.5, rings=3)"
    )

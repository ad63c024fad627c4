"""GridConv is torch's convolution in value and derivatives, obeys the shifts of its grid, and refuses what does not fit."""

from __future__ import annotations

import copy

import pytest
import torch
from grid_cases import CASES, MODULES, Shifts, by_loops, by_torch, derivatives
from torch import nn
from torch_geometric.nn import MessagePassing

from graphgdl.domains import Complete, Grid, StructuredData
from graphgdl.nn import GridConv
from graphgdl.nn.grid_torch import _CONVOLUTIONS
from graphgdl.testing import assert_disjoint_union, assert_equivariant, assert_not_vacuous, assert_twin_fails

LOWERINGS = ("conv", "message")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # torch's, about its own copy
@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_torch_in_value_and_derivatives(case, lowering):
    module, x, grid = case.module(), case.x(), case.grid()
    layer = GridConv.from_torch(module)
    layer.lowering = lowering
    ours = derivatives(lambda v: layer(v, grid), x, list(layer.parameters()))
    theirs = derivatives(lambda v: by_torch(module, v, case.shape), x, list(module.parameters()))
    assert ours[0].size(0) == layer.grid(grid).num_nodes
    for got, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("ring", [False, True])
def test_equals_the_formula_by_loops(ring, lowering):
    torch.manual_seed(0)
    layer = GridConv(2, 3, (2, 3), stride=(1, 2), padding=(1, 2), dilation=(2, 1)).double()
    layer.lowering = lowering
    x = torch.randn(20, 2, dtype=torch.float64)
    want = by_loops(x, layer.weight, layer.bias, (4, 5), (1, 2), (1, 2), (2, 1), ring)
    torch.testing.assert_close(layer(x, Grid((4, 5), periodic=ring)), want, rtol=1e-12, atol=1e-12)


def test_four_axes_run_as_messages():
    torch.manual_seed(0)
    layer = GridConv(2, 2, 2, dim=4, padding=(0, 1, 0, 1)).double()
    x, shape = torch.randn(36, 2, dtype=torch.float64), (2, 3, 3, 2)
    want = by_loops(x, layer.weight, layer.bias, shape, (1,) * 4, (0, 1, 0, 1), (1,) * 4, False)
    torch.testing.assert_close(layer(x, Grid(shape)), want, rtol=1e-12, atol=1e-12)
    layer.lowering = "conv"
    with pytest.raises(ValueError, match=r"'conv' of GridConv does not apply: torch convolves grids of 1, 2 or 3 axes"):
        layer(x, Grid(shape))


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_window_goes_round_a_small_ring_more_than_once(lowering):
    layer = GridConv(1, 2, 5, dim=1, padding=7).double()
    layer.lowering = lowering
    x = torch.randn(3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    want = by_loops(x, layer.weight, layer.bias, (3,), (1,), (7,), (1,), True)
    torch.testing.assert_close(layer(x, Grid((3,), periodic=True)), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("periodic", [False, (True, False)])
def test_a_batch_of_unequal_grids_is_each_alone(periodic, lowering):
    torch.manual_seed(0)
    layer = GridConv(3, 2, 3, dim=2, padding=1, stride=2)
    layer.lowering = lowering
    shapes = [(4, 3), (4, 3), (2, 5), (4, 3)]
    data = [StructuredData(torch.randn(a * b, 3), Grid((a, b), periodic)) for a, b in shapes]
    assert_disjoint_union(layer, data, call=call)
    union = Grid(shapes, periodic)
    assert layer.grid(union).shapes == tuple(layer.grid(Grid(s, periodic)).shape for s in shapes)
    assert layer(torch.randn(46, 3), union).size(0) == layer.grid(union).num_nodes == 2 * 2 * 3 + 3


def call(module, data):
    return module(data.x, data.structure)


def torus(shape, channels=3, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parts = [
        StructuredData(torch.randn(torch.Size(shape).numel(), channels, generator=generator), Grid(shape, True))
        for _ in range(batch)
    ]
    return (
        parts[0]
        if batch == 1
        else StructuredData(torch.cat([p.x for p in parts]), Grid.concat([p.structure for p in parts]))
    )


class LouderFirstNode(nn.Module):
    """The layer with one thing broken: the node that happens to be number 0 speaks a little louder."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, structure):
        return self.layer(torch.cat([1.05 * x[:1], x[1:]]), structure)


class OpenOnTheTorus(nn.Module):
    """The layer with one thing broken: it takes the torus for an open grid, and pads with zeros."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, structure):
        return self.layer(x, Grid(structure.shape))


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("shape", [(6,), (4, 5), (3, 2, 4)], ids=str)
def test_contract_under_shifts(shape, lowering):
    torch.manual_seed(0)
    layer = GridConv(3, 2, 3, dim=len(shape), padding=1)
    layer.lowering = lowering
    data = torus(shape)
    assert_equivariant(layer, torus(shape, batch=3), group=Shifts(shape), call=call)
    assert_equivariant(layer, data, group=Shifts(shape), call=call)
    assert_twin_fails(LouderFirstNode(layer), data, group=Shifts(shape), call=call)
    with pytest.raises(AssertionError, match="OpenOnTheTorus is not equivariant under shifts"):
        assert_equivariant(OpenOnTheTorus(layer), data, group=Shifts(shape), call=call)
    assert_disjoint_union(layer, [data, torus(shape, seed=1)], call=call)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_stride_keeps_the_even_shifts_and_loses_the_odd(lowering):
    torch.manual_seed(0)
    layer = GridConv(3, 2, 3, dim=2, padding=1, stride=2)
    layer.lowering = lowering
    data = torus((6, 4), batch=2)
    assert layer.grid(data.structure).periodic == (True, True)
    assert assert_equivariant(layer, data, group=Shifts((6, 4), 2), call=call) < 1e-10
    f, x = layer.double(), data.x.double().view(2, 6, 4, 3)
    out = f(x.flatten(0, 2), data.structure)
    odd = f(x.roll(1, 1).flatten(0, 2), data.structure)  # one place up: half a step of the coarse grid
    for steps in (0, 1):
        assert (odd.view(2, 3, 2, 2).roll(-steps, 1) - out.view(2, 3, 2, 2)).abs().max() > 0.1


def test_an_open_grid_moves_where_nothing_reaches_the_padding():
    torch.manual_seed(0)
    layer, grid = GridConv(2, 3, 3, dim=2, padding=1).double(), Grid((7, 8))
    x = torch.zeros(7, 8, 2, dtype=torch.float64)
    x[2:4, 2:5] = torch.randn(2, 3, 2, dtype=torch.float64)
    moved = layer(x.roll((2, 2), (0, 1)).flatten(0, 1), grid)
    want = layer(x.flatten(0, 1), grid).view(7, 8, 3).roll((2, 2), (0, 1)).flatten(0, 1)
    torch.testing.assert_close(moved, want, rtol=0, atol=1e-14)
    lost = layer(x.roll((4, 2), (0, 1)).flatten(0, 1), grid)  # now a border swallows a row
    assert (lost - layer(x.flatten(0, 1), grid).view(7, 8, 3).roll((4, 2), (0, 1)).flatten(0, 1)).abs().max() > 0.1


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_output_varies_with_features_orbit_and_parameters(lowering):
    torch.manual_seed(0)
    layer = GridConv(3, 4, 3, dim=2, padding=1, groups=1)
    layer.lowering = lowering
    assert_not_vacuous(layer, torus((4, 5)), group=Shifts((4, 5)), call=call)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_state_dict_and_initial_values_are_those_of_torch(dim):
    options = {"stride": 2, "padding": 1, "groups": 2}
    torch.manual_seed(3)
    module = MODULES[dim](4, 6, 3, **options)
    torch.manual_seed(3)
    layer = GridConv(4, 6, 3, dim=dim, **options)
    assert list(layer.state_dict()) == list(module.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), module.parameters(), strict=True))
    other = MODULES[dim](4, 6, 3, **options)
    layer.load_state_dict(other.state_dict())
    module.load_state_dict(layer.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_from_torch_shares_the_parameters_and_the_mode():
    module = nn.Conv2d(3, 4, 3, padding=1, bias=False).eval()
    layer = GridConv.from_torch(module)
    assert layer.weight is module.weight
    assert layer.bias is None
    assert not layer.training
    assert (layer.padding_mode, layer.dim) == ("zeros", 2)


def test_no_edge_is_built_for_the_convolution(monkeypatch):
    def build(*args):
        raise RuntimeError("built")

    monkeypatch.setattr("graphgdl.domains.window.Window.taps", build)
    monkeypatch.setattr(Grid, "_build", build)
    layer, grid = GridConv(2, 2, 3, dim=2, padding=1), Grid((4, 4), periodic=True)
    layer(torch.randn(16, 2), grid)
    layer.lowering = "message"
    with pytest.raises(RuntimeError, match="built"):
        layer(torch.randn(16, 2), grid)


def test_nothing_is_copied_on_the_way_to_the_convolution(monkeypatch):
    seen = []
    convolution = nn.functional.conv2d
    monkeypatch.setitem(_CONVOLUTIONS, 2, lambda x, *rest: seen.append(x) or convolution(x, *rest))
    x = torch.randn(2 * 16, 8)
    out = GridConv(8, 8, 3, dim=2, padding=1)(x, Grid((4, 4), ptr=[0, 16, 32]))
    assert seen[0].data_ptr() == x.data_ptr()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert out.is_contiguous()


def test_the_lowering_that_ran_is_told():
    layer, data = GridConv(2, 2, 3, dim=2, padding=1), torus((4, 4), 2)
    assert ran(layer, data) == "conv"
    hooked = copy.deepcopy(layer)
    hooked.register_message_forward_hook(lambda *args: None)
    assert ran(hooked, data) == "message"
    hooked.lowering = "conv"
    with pytest.raises(ValueError, match="a hook is registered on message"):
        hooked(data.x, data.structure)


def ran(layer, data):
    layer._record = []
    layer(data.x, data.structure)
    (step,) = layer._record
    layer._record = None
    return step.lowering


class Doubled(GridConv):
    def message(self, x_j, counts):
        return 2 * super().message(x_j, counts)


def test_an_overridden_message_counts():
    torch.manual_seed(0)
    doubled, data = Doubled(2, 2, 3, dim=2, padding=1, bias=False), torus((4, 4), 2)
    plain = GridConv(2, 2, 3, dim=2, padding=1, bias=False)
    plain.load_state_dict(doubled.state_dict())
    torch.testing.assert_close(doubled(data.x, data.structure), 2 * plain(data.x, data.structure))
    doubled.lowering = "conv"
    with pytest.raises(ValueError, match="`message` is overridden"):
        doubled(data.x, data.structure)


def test_message_is_the_layer():
    assert issubclass(GridConv, MessagePassing)
    layer = GridConv(2, 3, (1, 2), bias=False).double()
    x_j = torch.randn(5, 2, dtype=torch.float64)
    left, right = layer.weight[:, :, 0, 0], layer.weight[:, :, 0, 1]
    want = torch.cat([x_j[:2] @ left.t(), x_j[2:] @ right.t()])
    torch.testing.assert_close(layer.message(x_j, (2, 3)), want)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_compiles_whole(lowering):
    layer, data = GridConv(2, 3, 3, dim=2, padding=1), torus((4, 4), 2)
    layer.lowering = lowering
    want = layer(data.x, data.structure)
    fast = torch.compile(layer, backend="eager", fullgraph=lowering == "conv")  # edges depend on data: a graph break
    torch.testing.assert_close(fast(data.x, data.structure), want)


def test_vmap_over_weights():
    layer, data = GridConv(2, 3, 3, dim=2, padding=1, bias=False), torus((4, 4), 2)
    weights = torch.randn(5, *layer.weight.shape)
    outs = torch.func.vmap(lambda w: torch.func.functional_call(layer, {"weight": w}, (data.x, data.structure)))(
        weights
    )
    for w, out in zip(weights, outs):
        layer.weight.data.copy_(w)
        torch.testing.assert_close(out, layer(data.x, data.structure), rtol=1e-4, atol=1e-5)


MISUSES = {
    "`dim` must say the number of axes": lambda: GridConv(1, 1, 3),
    "`dim` must be at least 1, got 0": lambda: GridConv(1, 1, 3, dim=0),
    r"`kernel_size` must be one integer or 2, one for each axis, each at least 1, got \(3, 0\)": lambda: GridConv(
        1, 1, (3, 0)
    ),
    r"`stride` must be one integer or 2, .* got \(1, 1, 1\)": lambda: GridConv(1, 1, (3, 3), stride=(1, 1, 1)),
    "`dilation` must be one integer or 1, .* got 0": lambda: GridConv(1, 1, 3, dim=1, dilation=0),
    "`padding` must be one integer or 1, .* got -1": lambda: GridConv(1, 1, 3, dim=1, padding=-1),
    "`padding` must be numbers, 'same' or 'valid', got 'full'": lambda: GridConv(1, 1, 3, dim=1, padding="full"),
    r"`padding` 'same' needs stride 1, got \(2,\)": lambda: GridConv(1, 1, 3, dim=1, padding="same", stride=2),
    "`in_channels` must be a multiple of `groups` 2, got 3": lambda: GridConv(3, 2, 3, dim=1, groups=2),
    "`out_channels` must be a multiple of `groups` 2, got 3": lambda: GridConv(2, 3, 3, dim=1, groups=2),
    "`padding_mode` must be one of .* or None, got 'wrap'": lambda: GridConv(1, 1, 3, dim=1, padding_mode="wrap"),
    "`structure` must hold at least one grid": lambda: line()(torch.ones(0, 1), Grid((4,), ptr=[0])),
    "`structure` must have 1 axes, got a grid of 2": lambda: line()(torch.ones(4, 1), Grid((2, 2))),
    r"`x` must have shape \(4, 1\), .* got \(4, 2\)": lambda: line()(torch.ones(4, 2), Grid((4,))),
    r"`x` must have shape \(4, 1\), .* got \(5, 1\)": lambda: line()(torch.ones(5, 1), Grid((4,))),
    r"`x` must have shape \(4, 1\), .* got \(4,\)": lambda: line()(torch.ones(4), Grid((4,))),
    "`kernel_size` spans 3 nodes along axis 0, but .* has 2": lambda: line()(torch.ones(2, 1), Grid((2,))),
    "`padding` by reflection must be below the size 3 of axis 0, got 3": lambda: line("reflect", 3)(
        torch.ones(3, 1), Grid((3,))
    ),
    "`padding_mode` 'zeros' does not fit a grid that is periodic along axis 0; .*periodic=False": lambda: line(
        "zeros", 1
    )(torch.ones(4, 1), Grid((4,), periodic=True)),
    "`padding_mode` 'circular' does not fit a grid that is open along axis 0; .*periodic=True": lambda: line(
        "circular", 1
    )(torch.ones(4, 1), Grid((4,))),
}


def line(mode=None, padding=0):
    return GridConv(1, 1, 3, dim=1, padding_mode=mode, padding=padding)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("message", MISUSES)
def test_misuse_is_refused_by_name(message, lowering, monkeypatch):
    monkeypatch.setattr(GridConv, "_lowering", lowering)
    with pytest.raises(ValueError, match=message):
        MISUSES[message]()


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda: line()(torch.ones(4, 1), Complete(4)), "`structure` must be a Grid, got Complete"),
        (lambda: line()(torch.ones(2, 1), torch.tensor([[0], [1]])), "`structure` must be a Grid, got Tensor"),
        (lambda: line()([1.0], Grid((1,))), r"`x` must be a tensor \(n, c\), got list"),
        (lambda: GridConv.from_torch(nn.Linear(1, 1)), "`conv` must be a torch.nn.Conv1d, .* got Linear"),
        (lambda: GridConv.from_torch(nn.ConvTranspose1d(1, 1, 1)), "`conv` must be .* got ConvTranspose1d"),
    ],
)
def test_wrong_kinds_are_refused_by_name(misuse, message):
    with pytest.raises(TypeError, match=message):
        misuse()

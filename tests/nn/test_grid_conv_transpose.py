"""GridConvTranspose is torch's transposed convolution, and on a torus the adjoint of GridConv."""

from __future__ import annotations

import pytest
import torch
from grid_cases import derivatives
from torch import nn

from graphgdl.domains import Complete, Grid, StructuredData
from graphgdl.nn import GridConv, GridConvTranspose
from graphgdl.testing import assert_disjoint_union

LOWERINGS = ("conv", "message")
MODULES = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
CASES = [
    ((5,), {}),
    ((4,), {"stride": 3, "padding": 2, "output_padding": 1}),
    ((3, 4), {"padding": 1, "bias": False}),
    ((3, 4), {"stride": (2, 3), "padding": (0, 1), "output_padding": (1, 2), "dilation": (1, 2), "groups": 2}),
    ((2, 3, 2), {"stride": 2, "padding": 1}),
]
RINGS = [  # options under which a stride goes round a ring
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 4, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
    {"kernel_size": (5, 1), "dilation": 2, "padding": (4, 0), "groups": 2},
]


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_equals_torch_in_value_and_derivatives(shape, options, lowering):
    torch.manual_seed(0)
    dim, n = len(shape), 2 * torch.Size(shape).numel()
    module = MODULES[dim](4, 6, 3, **options).double()
    torch.manual_seed(0)
    layer = GridConvTranspose(4, 6, 3, dim=dim, **options).double()
    assert list(layer.state_dict()) == list(module.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), module.parameters(), strict=True))
    layer.lowering = lowering
    grid, x = Grid([shape, shape]), torch.randn(n, 4, dtype=torch.float64)

    def by_torch(v):
        return module(v.reshape(2, *shape, 4).movedim(-1, 1)).movedim(1, -1).flatten(0, -2)

    ours = derivatives(lambda v: layer(v, grid), x, list(layer.parameters()))
    theirs = derivatives(by_torch, x, list(module.parameters()))
    assert ours[0].size(0) == layer.grid(grid).num_nodes
    for got, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("options", RINGS, ids=str)
def test_on_a_torus_it_is_the_adjoint_and_moves_with_shifts(options, lowering):
    torch.manual_seed(0)
    layer = GridConvTranspose(4, 6, dim=2, bias=False, **options).double()
    layer.lowering = lowering
    coarse = Grid((3, 4), periodic=True)
    fine, s = layer.grid(coarse), layer.stride
    assert (fine.shape, fine.periodic) == ((3 * s[0], 4 * s[1]), (True, True))
    x = torch.randn(12, 4, dtype=torch.float64)
    y = torch.randn(fine.num_nodes, 6, dtype=torch.float64)
    own = {name: value for name, value in options.items() if name != "output_padding"}
    forth = GridConv(6, 4, dim=2, bias=False, **own).double()
    forth.load_state_dict(layer.state_dict())
    torch.testing.assert_close((layer(x, coarse) * y).sum(), (x * forth(y, fine)).sum(), rtol=1e-12, atol=1e-12)
    moved = layer(x.view(3, 4, 4).roll((1, 3), (0, 1)).flatten(0, 1), coarse)
    out = layer(x, coarse).view(*fine.shape, 6)
    torch.testing.assert_close(moved, out.roll((s[0], 3 * s[1]), (0, 1)).flatten(0, 1), rtol=1e-12, atol=1e-12)
    assert (moved - out.flatten(0, 1)).abs().max() > 0.1
    louder = layer(torch.cat([1.05 * x[:1], x[1:]]), coarse)  # the twin: node 0 speaks louder, shifted or not
    again = x.view(3, 4, 4).roll((1, 3), (0, 1)).flatten(0, 1)
    twin = layer(torch.cat([1.05 * again[:1], again[1:]]), coarse)
    assert (twin.view_as(out) - louder.view_as(out).roll((s[0], 3 * s[1]), (0, 1))).abs().max() > 1e-3


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_batch_of_unequal_grids_is_each_alone(lowering):
    torch.manual_seed(0)
    layer = GridConvTranspose(3, 2, 4, dim=2, stride=2, padding=1)
    layer.lowering = lowering
    shapes = [(4, 3), (2, 5), (2, 5)]
    data = [StructuredData(torch.randn(a * b, 3), Grid((a, b), (True, False))) for a, b in shapes]
    assert_disjoint_union(layer, data, call=lambda module, d: module(d.x, d.structure))


def test_it_undoes_the_stride_of_a_convolution():
    down, up = GridConv(2, 3, 3, dim=2, stride=2, padding=1), GridConvTranspose(3, 2, 2, dim=2, stride=2)
    for periodic in (False, True):
        grid = Grid((6, 8), periodic)
        assert up.grid(down.grid(grid)) == grid


MISUSES = {
    "`padding` of a transposed convolution must be numbers, got 'same'": lambda: line(padding="same"),
    r"`output_padding` must be below the stride \(2,\), got \(2,\)": lambda: line(stride=2, output_padding=2),
    "`output_padding` must be one integer or 1, .* got -1": lambda: line(output_padding=-1),
    "`in_channels` must be a multiple of `groups` 2, got 1": lambda: line(groups=2),
    "leaves no node along axis 0; pad less": lambda: line(padding=3)(torch.ones(2, 1), Grid((2,))),
    "`structure` is periodic along axis 0, .* = 4 nodes, got 5": lambda: line(stride=2)(
        torch.ones(2, 1), Grid((2,), periodic=True)
    ),
}


def line(**options):
    return GridConvTranspose(1, 1, 3, dim=1, **options)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("message", MISUSES)
def test_misuse_is_refused_by_name(message, lowering, monkeypatch):
    monkeypatch.setattr(GridConvTranspose, "_lowering", lowering)
    with pytest.raises(ValueError, match=message):
        MISUSES[message]()


def test_no_grid_is_refused_by_name():
    with pytest.raises(TypeError, match="`structure` must be a Grid, got Complete"):
        line()(torch.ones(4, 1), Complete(4))

"""GridPool and GridUpsample are torch's in value and derivatives, obey the shifts of their grid, and refuse misuse."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from grid_cases import Shifts, by_torch, derivatives
from torch import nn

from graphgdl.domains import Complete, Grid, StructuredData
from graphgdl.groups import Cyclic, FieldType, regular, standard
from graphgdl.models import Blueprint
from graphgdl.nn import GridPool, GridUpsample, NormNonlinearity, PointwiseNonlinearity, explain_lowering
from graphgdl.testing import assert_disjoint_union, assert_equivariant, assert_not_vacuous, assert_twin_fails

LOWERINGS = ("conv", "compiled", "message")
CASES = {
    "max-1d": (nn.MaxPool1d(3, stride=2, padding=1), (8,)),
    "max-1d-dilated": (nn.MaxPool1d(2, stride=1, dilation=3), (7,)),
    "max-2d": (nn.MaxPool2d(2), (4, 5)),
    "max-2d-oblong": (nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (5, 6)),
    "max-2d-dilated-pad": (nn.MaxPool2d(3, stride=1, padding=1, dilation=2), (4, 3)),
    "max-3d": (nn.MaxPool3d((2, 1, 3), padding=(1, 0, 1)), (3, 2, 4)),
    "mean-1d": (nn.AvgPool1d(3, stride=2, padding=1), (8,)),
    "mean-1d-present": (nn.AvgPool1d(3, stride=2, padding=1, count_include_pad=False), (7,)),
    "mean-2d": (nn.AvgPool2d((2, 3), padding=(1, 1)), (4, 5)),
    "mean-2d-present": (nn.AvgPool2d((2, 3), padding=(1, 1), count_include_pad=False), (4, 5)),
    "max-1d-ceil": (nn.MaxPool1d(3, stride=2, ceil_mode=True), (8,)),
    "max-1d-ceil-short": (nn.MaxPool1d(5, stride=2, ceil_mode=True), (4,)),
    "max-1d-ceil-dropped": (nn.MaxPool1d(2, stride=4, padding=1, ceil_mode=True), (7,)),
    "max-2d-ceil": (nn.MaxPool2d((3, 2), stride=(2, 3), padding=(1, 0), ceil_mode=True), (6, 5)),
    "max-2d-ceil-dilated": (nn.MaxPool2d(2, stride=3, dilation=2, ceil_mode=True), (5, 7)),
    "mean-1d-ceil": (nn.AvgPool1d(4, stride=3, ceil_mode=True), (9,)),
    "mean-2d-ceil": (nn.AvgPool2d(2, ceil_mode=True), (5, 3)),
    "mean-2d-ceil-present": (nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False), (4, 6)),
    "mean-3d": (nn.AvgPool3d(2, stride=1, padding=1), (2, 3, 2)),
}


def randn(n, c=3, seed=1):
    return torch.randn(n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch_of(shape, count=2, periodic=False):
    return Grid(shape, periodic, ptr=math.prod(shape) * torch.arange(count + 1))


def using(layer, lowering):
    layer.lowering = lowering
    return layer


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("case", CASES)
def test_pool_equals_torch_in_value_and_derivatives(case, lowering):
    module, shape = CASES[case]
    layer, grid = using(GridPool.from_torch(module), lowering), batch_of(shape)
    x = randn(grid.num_nodes)
    ours = derivatives(lambda v: layer(v, grid), x, [])
    theirs = derivatives(lambda v: by_torch(module, v, shape), x, [])
    assert ours[0].size(0) == layer.grid(grid).num_nodes
    for got, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    explained = explain_lowering(layer, x, grid)
    assert [row.ran for row in explained] == [lowering]


def windows(x, shape, size, stride, ring=True):
    """The values in each window of a periodic grid, by loops."""
    image = x.view(*shape, x.size(1))
    for place in product(*(range(0, n, s) for n, s in zip(shape, stride))):
        taps = product(*(range(k) for k in size))
        yield torch.stack([image[tuple((p + u - 1) % n for p, u, n in zip(place, tap, shape))] for tap in taps])


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("counted", [True, False])
def test_pool_on_a_ring_by_loops(counted, lowering):
    x, grid, size, stride = randn(24), Grid((4, 6), periodic=True), (3, 2), (2, 1)
    for aggr, reduce in (("max", lambda v: v.amax(0)), ("mean", lambda v: v.mean(0))):
        pool = GridPool(size, aggr, stride=stride, padding=1, count_include_pad=counted)
        want = torch.stack([reduce(values) for values in windows(x, (4, 6), size, stride)])
        out = using(pool, lowering)(x, grid).view(2, -1, 3)[:, :6]  # even windows reach one place beyond the ring
        torch.testing.assert_close(out.flatten(0, 1), want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("lowering", ["compiled", "message"])
def test_pool_over_four_axes_and_means_with_gaps_run_as_messages(lowering):
    x = randn(36)
    pool = using(GridPool((1, 3, 1, 2), "mean"), lowering)
    want = x.view(2, 3, 3, 2, 3).mean(dim=(1, 3)).flatten(0, 1)
    torch.testing.assert_close(pool(x, Grid((2, 3, 3, 2))), want, rtol=1e-13, atol=1e-13)
    gaps = using(GridPool(2, "mean", dim=1, stride=1, dilation=5), lowering)
    torch.testing.assert_close(gaps(x, Grid((36,))), (x[:-5] + x[5:]) / 2, rtol=1e-13, atol=1e-13)
    gaps.lowering = "conv"
    with pytest.raises(ValueError, match=r"'conv' of GridPool does not apply: torch averages .* without dilation"):
        gaps(x, Grid((36,)))


UPSAMPLED = {"1d": ((3,), (4,)), "2d": ((2, 3), (3, 2)), "2d-one": ((2, 3), (1, 2)), "3d": ((2, 1, 3), (2, 3, 1))}


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("case", UPSAMPLED)
def test_upsampling_equals_torch_in_value_and_derivatives(case, lowering):
    shape, factor = UPSAMPLED[case]
    layer, grid = using(GridUpsample(factor), lowering), batch_of(shape)
    x = randn(grid.num_nodes)
    theirs = derivatives(lambda v: by_torch(nn.Upsample(scale_factor=tuple(map(float, factor))), v, shape), x, [])
    for got, want in zip(derivatives(lambda v: layer(v, grid), x, []), theirs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    assert layer.grid(grid) == batch_of(tuple(n * s for n, s in zip(shape, factor)))


@pytest.mark.parametrize("aggr", ["max", "mean"])
def test_what_is_constant_in_each_window_returns_whole(aggr):
    coarse, x = batch_of((2, 3), periodic=True), randn(12)
    up, down = GridUpsample((2, 3)), GridPool((2, 3), aggr)
    torch.testing.assert_close(down(up(x, coarse), up.grid(coarse)), x)
    assert down.grid(up.grid(coarse)) == coarse


def call(module, data):
    return module(data.x, data.structure)


def torus(shape, batch=1, seed=5):
    return StructuredData(randn(batch * math.prod(shape), seed=seed), batch_of(shape, batch, True))


class LouderFirstNode(nn.Module):
    """The layer with one thing broken: the node that happens to be number 0 speaks a little louder."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, structure):
        return self.layer(torch.cat([1.05 * x[:1], x[1:]]), structure)


class FromCoarse(Shifts):
    """The same shifts, for a layer whose output is finer than its input."""

    def coarsening(self, rows):
        return next(c for c in (1, 0.5) if rows * c ** len(self.shape) % math.prod(self.shape) == 0)

    def act(self, g, x):
        if isinstance(x, torch.Tensor) and x.size(0) > math.prod(self.shape):
            fine = Shifts([2 * n for n in self.shape])
            return fine.act([2 * s for s in g], x)
        return super().act(g, x)


LAWS = {
    "max": (GridPool(3, dim=2, stride=1, padding=1), Shifts((4, 6))),
    "max-stride": (GridPool(2, dim=2), Shifts((4, 6), 2)),
    "mean-stride": (GridPool(3, "mean", dim=2, stride=2, padding=1), Shifts((4, 6), 2)),
    "up": (GridUpsample(2, dim=2), FromCoarse((4, 6))),
}


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("case", LAWS)
def test_contract_under_shifts(case, lowering):
    layer, group = LAWS[case]
    using(layer, lowering)
    data = torus((4, 6))
    assert assert_equivariant(layer, data, group=group, call=call) < 1e-10
    assert_twin_fails(LouderFirstNode(layer), data, group=group, call=call)
    assert_not_vacuous(layer, data, group=group, call=call)
    assert_disjoint_union(layer, [data, torus((4, 6), seed=6), torus((2, 4), seed=7)], call=call)


def test_odd_shifts_are_lost_under_stride_two():
    pool, data = GridPool(2, dim=2), torus((4, 6))
    moved = pool(data.x.view(4, 6, 3).roll(1, 0).flatten(0, 1), data.structure).view(2, 3, 3)
    for steps in (0, 1):
        assert (moved.roll(-steps, 0) - pool(data.x, data.structure).view(2, 3, 3)).abs().max() > 0.1


def test_no_edge_is_built_for_torchs_kernel(monkeypatch):
    def build(*args):
        raise RuntimeError("built")

    monkeypatch.setattr("graphgdl.domains.window.Window.taps", build)
    for layer in (GridPool(2, dim=2), GridUpsample(2, dim=2)):
        layer(randn(24), Grid((4, 6)))
        with pytest.raises(RuntimeError, match="built"):
            using(layer, "message")(randn(24), Grid((4, 6)))


def test_compiles_whole():
    for layer in (GridPool(2, dim=2), GridUpsample(2, dim=2)):
        fast = torch.compile(layer, backend="eager", fullgraph=True)
        torch.testing.assert_close(fast(randn(24), Grid((4, 6))), layer(randn(24), Grid((4, 6))))


def test_from_torch_keeps_the_mode_and_refuses_a_ring_that_torch_would_pad():
    assert not GridPool.from_torch(nn.MaxPool2d(2).eval()).training
    pool = GridPool.from_torch(nn.MaxPool2d(3, padding=1))
    assert repr(pool) == "GridPool((3, 3), 'max', stride=(3, 3))"
    with pytest.raises(ValueError, match="`padding_mode` 'zeros' does not fit a grid that is periodic along axis 0"):
        pool(randn(24), Grid((4, 6), periodic=True))


def test_repr_of_upsampling():
    assert repr(GridUpsample(2, dim=2)) == "GridUpsample((2, 2))"


def test_in_a_blueprint_they_hand_on_grid_and_fields():
    pool, up = GridPool(2, dim=2), GridUpsample(2, dim=2)
    x, grid = randn(24, 4), Grid((4, 6), periodic=True)
    torch.testing.assert_close(Blueprint([pool, up])(x, grid), up(pool(x, grid), pool.grid(grid)))
    for fields in (regular(Cyclic(4)), standard(Cyclic(4))):
        local = PointwiseNonlinearity if fields.permutes else NormNonlinearity
        Blueprint([local(FieldType(fields)), GridPool(2, "mean", dim=2), up])
    Blueprint([PointwiseNonlinearity(FieldType(regular(Cyclic(4)))), pool])
    with pytest.raises(ValueError, match=r"layer 1, `GridPool\(.*acts channel by channel, which does not commute"):
        Blueprint([NormNonlinearity(FieldType(standard(Cyclic(4)))), pool])


MISUSES = {
    "`aggr` must be 'max' or 'mean', got 'min'": lambda: GridPool(2, "min", dim=1),
    "`dim` must say the number of axes where `kernel_size`": lambda: GridPool(2),
    "`padding` of a pooling must be numbers, got 'same'": lambda: GridPool(2, dim=1, padding="same"),
    r"`padding` must be at most half of `kernel_size` \(2,\), got 2": lambda: GridPool(2, dim=1, padding=2),
    "`padding_mode` must be 'zeros', 'circular' or None, got 'reflect'": lambda: GridPool(
        2, dim=1, padding_mode="reflect"
    ),
    "`dilation` 3 along axis 0 steps over all of its 2 nodes": lambda: GridPool(2, dim=1, padding=1, dilation=3)(
        randn(2), Grid((2,))
    ),
    "`ceil_mode` does not go with a mean that counts its `padding`, got 1": lambda: GridPool.from_torch(
        nn.AvgPool2d(3, padding=1, ceil_mode=True)
    ),
    r"`ceil_mode` needs a grid that is open along every axis, got periodic=\(True,\)": lambda: GridPool(
        2, dim=1, ceil_mode=True
    )(randn(4), Grid((4,), periodic=True)),
    "`return_indices` of MaxPool1d": lambda: GridPool.from_torch(nn.MaxPool1d(2, return_indices=True)),
    "`divisor_override` of AvgPool2d .* got 3": lambda: GridPool.from_torch(nn.AvgPool2d(2, divisor_override=3)),
    r"`x` must have shape \(4, c\), .* got \(5, 3\)": lambda: GridPool(2, dim=1)(randn(5), Grid((4,))),
    "`kernel_size` spans 5 nodes along axis 0": lambda: GridPool(5, dim=1)(randn(4), Grid((4,))),
    "`dim` must say the number of axes where `scale_factor` is one number, got 2": lambda: GridUpsample(2),
    "`scale_factor` must be one integer or 2, .* got 0": lambda: GridUpsample(0, dim=2),
    "`structure` must have 1 axes, got a grid of 2": lambda: GridUpsample(2, dim=1)(randn(4), Grid((2, 2))),
}


@pytest.mark.parametrize("message", MISUSES)
def test_misuse_is_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        MISUSES[message]()


def test_wrong_kinds_are_refused_by_name():
    with pytest.raises(TypeError, match="`structure` must be a Grid, got Complete"):
        GridPool(2, dim=1)(randn(4), Complete(4))
    with pytest.raises(TypeError, match=r"`pool` must be a torch.nn.MaxPool1d, ..., AvgPool3d, got LPPool2d"):
        GridPool.from_torch(nn.LPPool2d(2, 2))

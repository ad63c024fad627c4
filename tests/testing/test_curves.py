"""Curves and slopes against analytic values; stability where it is a theorem, instability where it is one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains import Grid
from graphgdl.domains.structured_data import StructuredData
from graphgdl.groups import SE, SO, Cyclic, E, FieldAction, O, p4, standard
from graphgdl.nn import GraphConv, GridConv
from graphgdl.testing import (
    Curve,
    EdgeDropping,
    EdgeWeightNoise,
    GridDeformations,
    GridRotations,
    GridShifts,
    Path,
    Rotations,
    Shifts,
    equivariance_curve,
    equivariance_slope,
    plot_curves,
)


class Of(nn.Module):
    """A function of one attribute."""

    def __init__(self, function: Callable[[Tensor], Tensor], name: str = "pos") -> None:
        super().__init__()
        self.function, self.name = function, name

    def forward(self, data: Data) -> Tensor:
        return self.function(data[self.name])


def cloud(d: int, n: int = 5) -> Data:
    return Data(pos=torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def test_the_curve_of_a_coordinate_is_its_formula() -> None:
    data = cloud(2)
    x, y = (float(value) for value in data.pos.sum(dim=0))
    sizes = [0.0, 0.3, 1.0, math.pi]
    curve = equivariance_curve(Of(lambda pos: pos[:, 0].sum()), data, Rotations(SO(2)), sizes, invariant=True, draws=6)
    for size, row in zip(sizes, curve.errors):
        both = [abs((math.cos(size) - 1) * x - sign * math.sin(size) * y) / abs(x) for sign in (1, -1)]
        assert all(min(abs(float(error) - value) for value in both) < 1e-12 for error in row)
    assert curve.errors[1].unique().numel() > 1  # both directions are drawn
    assert curve.floor is not None
    assert float(curve.floor.max()) < 1e-12  # rotations of points are exact
    assert torch.equal(curve.mean, curve.errors.mean(dim=1))
    assert torch.equal(curve.std, curve.errors.std(dim=1))
    assert Curve(curve.sizes, curve.errors[:, :1]).std.tolist() == [0.0] * 4


@pytest.mark.parametrize("group", [O(3), SE(3), E(3)])
def test_rotations_have_their_angle(group: O | E) -> None:
    path = Rotations(group)
    g = path.of_size(0.7, torch.Generator().manual_seed(1))
    matrix = group.matrix(g)
    assert abs(float(matrix.trace()) - 1 - 2 * math.cos(0.7)) < 1e-12
    assert abs(float(torch.linalg.det(matrix)) - 1) < 1e-12


def test_equivariant_maps_have_no_error_and_a_twin_has() -> None:
    group = SE(3)
    vectors = FieldAction(group, {"pos": group}, output=standard(group))
    data = cloud(3)
    for path in (Rotations(vectors), Shifts(vectors)):
        for f, right in (
            (lambda pos: pos - pos.mean(dim=0), True),
            (lambda pos: pos - pos.mean(dim=0) + 0.1 * pos[:1, :1], False),
        ):
            error = float(equivariance_curve(Of(f), data, path, [0.5, 2.0]).mean.min())
            assert error < 1e-12 if right else 1e-3 < error < 1


def test_the_slope_is_the_lie_derivative() -> None:
    data = cloud(2)

    def f(pos: Tensor) -> Tensor:
        return torch.stack([pos[:, 0].pow(2).sum(), (pos[:, 0] * pos[:, 1]).sin().sum()])

    first = Of(lambda pos: pos[:, 0].sum())
    spin = data.pos @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)  # d/ds of the rotation
    before, derivative = torch.func.jvp(f, (data.pos,), (spin,))
    exact = float(derivative.norm() / before.norm())
    slope = equivariance_slope(Of(f), data, Rotations(SO(2)), invariant=True)
    assert abs(slope - exact) < 1e-6 * exact
    x, y = data.pos.sum(dim=0)
    coarse, finer = (
        abs(equivariance_slope(first, data, Rotations(SO(2)), invariant=True, step=step, draws=1) - abs(float(y / x)))
        for step in (4e-2, 2e-2)
    )
    assert 3 < coarse / finer < 5  # second order in the step
    assert equivariance_slope(Of(lambda pos: pos.norm(dim=1)), data, Rotations(SO(2)), invariant=True) < 1e-9


def blobs(shape: tuple[int, int]) -> StructuredData:
    """Smooth spots well inside an open grid."""
    places = torch.cartesian_prod(*map(torch.arange, shape)).double()
    spots = [(0.4, 0.45, 1.0), (0.6, 0.5, -0.7), (0.5, 0.65, 0.5)]
    x = sum(
        weight * torch.exp(-((places - torch.tensor([a * shape[0], b * shape[1]])) ** 2).sum(1) / (shape[0] / 12) ** 2)
        for a, b, weight in spots
    )
    return StructuredData(torch.as_tensor(x).view(-1, 1), Grid(shape))


def smoothing(symmetric: bool) -> GridConv:
    conv = GridConv(1, 1, 3, dim=2, padding=1, bias=False).double()
    ring = torch.tensor([[0.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    sobel = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]], dtype=torch.float64)
    conv.weight.data.copy_((ring if symmetric else sobel).view(1, 1, 3, 3))
    return conv


def test_rotated_images_show_the_module_above_the_floor_of_interpolation() -> None:
    data = blobs((33, 33))
    path = GridRotations(data.structure)
    sizes = [0.05, 0.3, math.pi / 2]
    right, broken = (equivariance_curve(smoothing(s), data, path, sizes, draws=2) for s in (True, False))
    assert right.floor is not None
    assert broken.floor is not None
    assert bool((right.mean[:2] < 1.5 * right.floor.mean(dim=1)[:2]).all())
    assert bool((broken.mean[1:] > 2.5 * broken.floor.mean(dim=1)[1:]).all())
    assert float(right.mean[2]) < 1e-12  # a quarter turn takes nodes to nodes
    assert float(right.floor[2].max()) < 1e-12
    # a derivative along an axis, turned by s, is that along another axis: 2 sin(s / 2) away, times its size
    finer = blobs((129, 129))
    path = GridRotations(finer.structure)
    curve = equivariance_curve(smoothing(False), finer, path, sizes, draws=1)
    for size, error in zip(sizes, curve.mean):
        assert abs(float(error) / (2 * math.sin(size / 2)) - 1) < 0.25


def test_the_floor_falls_with_the_resolution() -> None:
    floors = []
    for n in (17, 33, 65):
        data = blobs((n, n))
        curve = equivariance_curve(smoothing(True), data, GridRotations(data.structure), [0.4], draws=1)
        assert curve.floor is not None
        floors.append(float(curve.floor))
    orders = [math.log2(a / b) for a, b in itertools.pairwise(floors)]
    assert 1.6 < orders[1] < 2.4  # bilinear interpolation is of second order


def test_shifts_are_exact_by_whole_steps_only() -> None:
    x = torch.randn(36, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = StructuredData(x, Grid((6, 6), periodic=True))
    torch.manual_seed(0)
    conv = GridConv(1, 2, 3, dim=2, padding=1)

    def call(module: nn.Module, data: Data) -> Tensor:
        return module(data.x, data.structure).relu()

    curve = equivariance_curve(conv, data, GridShifts(data.structure), [1.0, 1.5, 4.0], call=call)
    assert float(curve.errors[[0, 2]].max()) < 1e-12
    assert float(curve.errors[1].min()) > 1e-2


def test_quarter_turns_are_those_of_the_grid() -> None:
    path, group = GridRotations(Grid((5, 5))), p4(5)
    x = torch.randn(25, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = group.act(group.about_center(torch.tensor([1, 0])), x)
    assert torch.allclose(path.act(torch.tensor(math.pi / 2).double(), x), expected, atol=1e-12)
    angles = {float(path.of_size(0.3, torch.Generator().manual_seed(seed))) for seed in range(8)}
    assert angles == {0.3, -0.3}
    thirds = {
        round(float(GridRotations(Grid((5, 5)), 3).sample(torch.Generator().manual_seed(s))), 9) for s in range(20)
    }
    assert thirds == {round(2 * math.pi * k / 3, 9) for k in range(3)}


@pytest.mark.parametrize("shape", [(40,), (12, 10)])
def test_the_size_of_a_deformation_is_its_largest_stretch(shape: tuple[int, ...]) -> None:
    """The gradient of a band-limited field is exact by its Fourier transform."""
    tau = GridDeformations(Grid(shape), bandwidth=3).of_size(0.2, torch.Generator().manual_seed(0)).view(*shape, -1)
    axes = list(range(len(shape)))
    gradient = []
    for axis, n in enumerate(shape):
        waves = 2j * math.pi * torch.fft.fftfreq(n, d=1 / n, dtype=torch.float64) / n
        waves = waves.view(*[-1 if a == axis else 1 for a in axes], 1)
        gradient.append(torch.fft.ifftn(torch.fft.fftn(tau, dim=axes) * waves, dim=axes).real)
    largest = torch.linalg.svdvals(torch.stack(gradient, dim=-1)).max()
    assert abs(float(largest) - 0.2) < 1e-12
    assert float(torch.fft.fftn(tau, dim=axes).abs()[4:-3].max()) < 1e-10  # no more than three waves


def averaged(nonnegative: Tensor) -> Tensor:
    return nonnegative.mean(dim=0)


@pytest.mark.parametrize("size", [0.02, 0.05, 0.1])
def test_averages_are_stable_to_deformations(size: float) -> None:
    """The sum of x(p - tau(p)) is that of x(q) / det(1 - grad tau): it changes by at most (1 - s)^-d - 1."""
    data = blobs((32, 32))
    data.x = data.x.abs()
    curve = equivariance_curve(
        Of(averaged, "x"), data, GridDeformations(data.structure), [size], invariant=True, draws=12
    )
    assert curve.floor is None
    assert 0.01 * size < float(curve.mean) <= float(curve.errors.max()) < (1 - size) ** -2 - 1 + 1e-3


def test_the_fourier_modulus_is_not_stable_at_high_frequencies() -> None:
    """A wave packet of frequency w moves by w s: twice the frequency, twice the change; the average stays."""
    n = 512
    place = torch.arange(n, dtype=torch.float64)
    envelope = torch.exp(-(((place - n / 2) / (n / 10)) ** 2))
    slopes, averages = [], []
    for waves in (8, 16, 32):
        packet = envelope * torch.cos(2 * math.pi * waves * place / n)
        data = StructuredData(packet.view(-1, 1), Grid((n,), periodic=True))
        path = GridDeformations(data.structure, bandwidth=1)
        for function, out in (
            (lambda x: torch.fft.fft(x, dim=0).abs(), slopes),
            (lambda x: x.abs().mean(dim=0), averages),
        ):
            curve = equivariance_curve(Of(function, "x"), data, path, [0.01], invariant=True, draws=6)
            out.append(float(curve.mean) / 0.01)
    assert slopes[0] > 1
    assert all(1.7 < b / a < 2.2 for a, b in itertools.pairwise(slopes))
    assert max(averages) < 1.5


def ring(n: int) -> Data:
    node = torch.arange(n)
    there = torch.stack([node, (node + 1) % n])
    return Data(x=torch.ones(n, 1), edge_index=torch.cat([there, there.flip(0)], dim=1), edge_weight=torch.ones(2 * n))


class SumOverEdges(nn.Module):
    def forward(self, data: Data) -> Tensor:
        return data.x.new_zeros(data.x.shape).index_add(0, data.edge_index[1], data.x[data.edge_index[0]]).sum(dim=0)


def test_dropped_edges_change_a_count_by_their_share() -> None:
    data = ring(20)
    curve = equivariance_curve(
        SumOverEdges(), data, EdgeDropping(data.edge_index), [0.0, 0.1, 0.5, 1.0], invariant=True
    )
    assert torch.allclose(curve.errors, curve.sizes.view(-1, 1).expand(4, 8), atol=1e-12)
    path = EdgeDropping(data.edge_index)
    thin = path.act(path.of_size(0.3, torch.Generator().manual_seed(0)), data)
    assert thin.is_undirected()
    assert thin.num_edges == 28
    assert thin.edge_weight.shape == (28,)
    fewer = path.of_size(0.6, torch.Generator().manual_seed(0))
    assert not bool((fewer & ~path.of_size(0.3, torch.Generator().manual_seed(0))).any())


def test_weight_noise_is_bounded_by_its_size_and_linear() -> None:
    data = ring(12)
    path = EdgeWeightNoise(data.edge_index)
    torch.manual_seed(0)
    layer = GraphConv(1, 1, bias=False)
    layer.lin_root.weight.data.zero_()
    curve = equivariance_curve(layer, data, path, [0.1, 0.2], invariant=True)
    assert float(curve.errors[0].max()) <= 0.1
    assert torch.allclose(2 * curve.errors[0], curve.errors[1], atol=1e-12)  # the layer is linear in the weights
    g = path.of_size(0.1, torch.Generator().manual_seed(0))
    factor = torch.zeros(12, 12, dtype=torch.float64)
    factor[data.edge_index[0], data.edge_index[1]] = g
    assert torch.equal(factor, factor.T)


def test_the_plot_shows_every_curve_and_its_floor() -> None:
    curve = Curve(torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 0.0], [1.0, 3.0]]), torch.zeros(2, 2))
    figure = plot_curves({"CNN": curve, "GNN": Curve(curve.sizes, curve.errors)}, size="angle")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["CNN", "GNN"]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.0, 2.0], [0.0, 0.0], [0.0, 2.0]]
    assert axes.get_xlabel() == "angle"


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (lambda: Rotations(Cyclic(4)), TypeError, r"`action` must be that of O\(d\) or E\(d\), got Cyclic\(4\)"),
        (lambda: Shifts(SO(2)), TypeError, r"`action` must be that of E\(d\), got SO\(2\)"),
        (lambda: Rotations(O(1)), ValueError, "`action` must be of a space of 2 dimensions or more to rotate"),
        (lambda: GridRotations(Grid((4,))), ValueError, r"`grid` must have two axes to rotate, got shape \(4,\)"),
        (
            lambda: GridRotations(Grid((4, 4)), n=0),
            ValueError,
            "`n` must be a number of rotations, at least 1, or None",
        ),
        (lambda: GridShifts(Grid([(2,), (3,)])), ValueError, r"`grid` must be one grid, got 2; take `grid\[0\]`"),
        (
            lambda: GridDeformations(Grid((4,)), 0),
            ValueError,
            "`bandwidth` must be a number of waves, at least 1, got 0",
        ),
        (lambda: EdgeDropping(torch.zeros(3, 2)), ValueError, r"`edge_index` must have shape \(2, e\), got \(3, 2\)"),
        (
            lambda: measure(EdgeDropping(ring(5).edge_index), 2.0),
            ValueError,
            "`size` must be a share of the edges, in 0 .. 1",
        ),
        (
            lambda: measure(EdgeDropping(ring(4).edge_index)),
            ValueError,
            "`x` must have the 8 edges of the path, got 10",
        ),
        (
            lambda: measure(EdgeWeightNoise(ring(5).edge_index), weights=False),
            ValueError,
            "`x` must have `edge_weight`",
        ),
        (
            lambda: measure(GridShifts(Grid((4,)))),
            ValueError,
            "`x` must have one row for each of the 4 nodes, got shape",
        ),
        (lambda: measure(sizes=[]), ValueError, "`sizes` must hold at least one size, got none"),
        (lambda: measure(draws=0), ValueError, "`draws` must be at least 1, got 0; no draw proves nothing"),
        (lambda: measure(f=lambda x: 0 * x), ValueError, "`module` must not return zeros only"),
        (
            lambda: measure(f=lambda x: x[x > 0.5]),
            ValueError,
            r"`module` must return outputs of one shape for an input",
        ),
        (
            lambda: equivariance_slope(Of(averaged), cloud(2), Rotations(SO(2)), step=0),
            ValueError,
            "`step` must be a size above 0, got 0",
        ),
    ],
)
def test_input_errors(run: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run()


def measure(
    path: Path | None = None,
    size: float = 0.5,
    sizes: list[float] | None = None,
    draws: int = 1,
    weights: bool = True,
    f: Callable[[Tensor], Tensor] = averaged,
) -> Curve:
    data = ring(5)
    if not weights:
        del data.edge_weight
    path = GridShifts(Grid((5,))) if path is None else path
    sizes = [size] if sizes is None else sizes
    return equivariance_curve(Of(f, "x"), data, path, sizes, invariant=True, draws=draws)

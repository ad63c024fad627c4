"""A free part stays away where the data keep the symmetry, comes where they break it, and is what its prior says."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains import Grid
from graphgdl.domains.structured_data import StructuredData
from graphgdl.groups import Cyclic, FieldType, Law, Permutation, Translations, regular
from graphgdl.models import Blueprint
from graphgdl.nn import ApproximatelyEquivariant, GraphConv, GridConv
from graphgdl.testing import GridShifts, equivariance_curve

N, M = 6, 40
RINGS = Grid((N,), periodic=True, ptr=torch.arange(M + 1) * N)


class Dense(nn.Module):
    """Any linear map of the N values of a ring."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(N, N, dtype=torch.float64) / 4)

    def forward(self, x: Tensor, structure: Grid) -> Tensor:
        return (x.view(-1, N) @ self.weight.T).view(-1, 1)


def block(sigma: float = 1.0) -> ApproximatelyEquivariant:
    torch.manual_seed(0)
    conv = GridConv(1, 1, 3, dim=1, padding=1, bias=False).double()
    return ApproximatelyEquivariant(conv, Dense(), sigma)


def task(broken: float, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Signals, and their smoothed copies; `broken` weighs the places differently."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(M, N, generator=generator, dtype=torch.float64)
    y = 0.5 * x.roll(1, dims=1) + x + 0.25 * x.roll(-1, dims=1)
    y = y * (1 + broken * torch.linspace(-1, 1, N, dtype=torch.float64))
    return x, y + noise * torch.randn(M, N, generator=generator, dtype=torch.float64)


def fit(model: ApproximatelyEquivariant, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (model(x.view(-1, 1), RINGS).view(M, N) - y).square().sum() / 2 + model.penalty()
        value.backward()
        return value

    optimizer.step(loss)


def departure(model: ApproximatelyEquivariant, x: Tensor) -> float:
    return model.departure(x.view(-1, 1), RINGS)


def test_data_that_keep_the_symmetry_send_the_free_part_away() -> None:
    x, y = task(broken=0)
    model = block()
    assert departure(model, x) > 0.3
    fit(model, x, y)
    assert departure(model, x) < 1e-6
    assert torch.allclose(model.equivariant.weight.flatten(), torch.tensor([0.5, 1.0, 0.25]).double(), atol=1e-6)


def test_data_that_break_it_keep_the_free_part_at_its_price() -> None:
    x, y = task(broken=0.5)
    reached = []
    for sigma in (0.01, 0.1, 1.0):
        model = block(sigma)
        fit(model, x, y)
        reached.append(departure(model, x))
    assert reached == sorted(reached)
    assert reached[0] < 0.02
    assert reached[2] > 0.15


def test_departure_grows_with_the_break() -> None:
    reached = []
    for broken in (0.0, 0.1, 0.2, 0.4):
        x, y = task(broken, noise=0.05)
        model = block(sigma=0.3)
        fit(model, x, y)
        reached.append(departure(model, x))
    assert reached[0] < 0.03
    assert all(b > 1.3 * a for a, b in itertools.pairwise(reached[1:]))


def test_the_optimum_is_that_of_the_normal_equations() -> None:
    """A linear model with a normal prior on a part of its weights: solved in one step."""
    sigma = 0.2
    x, y = task(broken=0.5, noise=0.1)
    model = block(sigma)
    fit(model, x, y)
    taps = torch.stack([x.roll(1, dims=1), x, x.roll(-1, dims=1)], dim=-1).reshape(M * N, 3)
    dense = torch.einsum("mj,ik->mikj", x, torch.eye(N, dtype=x.dtype)).reshape(M * N, N * N)
    design = torch.cat([taps, dense], dim=1)
    price = torch.diag(torch.tensor([0.0] * 3 + [sigma**-2] * N * N, dtype=x.dtype))
    solution = torch.linalg.solve(design.T @ design + price, design.T @ y.flatten())
    found = torch.cat([model.equivariant.weight.flatten(), model.free.weight.flatten()]).detach()
    assert float((found - solution).abs().max()) < 1e-6
    assert abs(model.penalty().item() - float(solution[3:].square().sum()) / (2 * sigma**2)) < 1e-6


@torch.no_grad()
def test_departure_is_the_share_of_norms_and_bounds_the_error() -> None:
    model = block()
    data = StructuredData(torch.randn(N, 1, generator=torch.Generator().manual_seed(2)).double(), RINGS[0])

    kept, free = (part(data.x, data.structure).norm() for part in (model.equivariant, model.free))
    share = model.departure(data.x, data.structure)
    assert share == pytest.approx(float(free / (kept + free)))
    path = GridShifts(data.structure)
    for size, errors in zip((1.0, 2.0), equivariance_curve(model, data, path, [1.0, 2.0]).errors):
        moved = [path.act(torch.tensor([sign * size]).double(), data.x) for sign in (1, -1)]
        worst = max(model.free(x, data.structure).norm() for x in moved)
        assert 1e-3 < float(errors.max()) <= float((free + worst) / model(data.x, data.structure).norm())
    model.free.weight.data.zero_()
    assert model.departure(data.x, data.structure) == 0.0
    assert float(equivariance_curve(model, data, path, [1.0, 2.0]).errors.max()) < 1e-12
    model.equivariant.weight.data.zero_()
    assert model.departure(data.x, data.structure) == 0.0
    assert math.isnan(model.departure(torch.full_like(data.x, math.nan), data.structure))
    assert ApproximatelyEquivariant(nn.Identity(), nn.Identity()).penalty() == 0


class Stating(nn.Identity):
    def __init__(self, *laws: Law) -> None:
        super().__init__()
        self.stated = laws

    def laws(self, data: Data) -> tuple[Law, ...]:
        return self.stated


def test_laws_and_types() -> None:
    shifts, nodes = Law(Translations((4,), True), "shifts"), Law(Permutation(4), "permutations of the nodes")
    data = Data(num_nodes=4)
    assert ApproximatelyEquivariant(Stating(shifts, nodes), Stating(nodes)).laws(data) == (nodes,)
    assert ApproximatelyEquivariant(Stating(shifts), nn.Identity()).laws(data) == ()
    typed = Stating()
    typed.in_type = typed.out_type = FieldType(regular(Cyclic(4)), 2)
    model = ApproximatelyEquivariant(typed, nn.Identity())
    assert model.in_type is model.out_type is typed.in_type
    assert not hasattr(ApproximatelyEquivariant(nn.Identity(), typed), "in_type")


def test_it_stands_in_a_blueprint_as_its_symmetric_part_does() -> None:
    def strided() -> nn.Module:
        return GridConv(1, 2, 3, dim=2, padding=1, stride=2)

    model = Blueprint([ApproximatelyEquivariant(strided(), strided()), GridConv(2, 1, 3, dim=2, padding=1)])
    data = StructuredData(torch.randn(64, 1), Grid((8, 8), periodic=True))
    assert model(data).shape == (16, 1)
    assert [law.statement for law in model.laws(data)] == ["translations by multiples of 2x2"]
    with pytest.raises(ValueError, match=r"takes 3 scalar channels.* gives 2 scalar channels"):
        Blueprint([ApproximatelyEquivariant(strided(), strided()), nn.Linear(3, 1)])


def test_inputs_reach_both_parts() -> None:
    edges, weight = torch.tensor([[0, 1], [1, 0]]), torch.tensor([2.0, 3.0])
    parts = GraphConv(1, 1), GraphConv(1, 1)
    model = ApproximatelyEquivariant(*parts)
    x = torch.tensor([[1.0], [2.0]])
    expected = sum(part(x, edges, edge_weight=weight) for part in parts)
    assert torch.equal(model(x, edges, edge_weight=weight), expected)
    assert model.departure(x, edges) != model.departure(x, edges, edge_weight=weight)


def test_state_dict_round_trip() -> None:
    model, other = block(), block()
    nn.init.zeros_(other.free.weight)
    other.load_state_dict(model.state_dict())
    assert sorted(model.state_dict()) == ["equivariant.weight", "free.weight"]
    x, _ = task(0)
    assert torch.equal(model(x.view(-1, 1), RINGS), other(x.view(-1, 1), RINGS))


def test_input_errors() -> None:
    with pytest.raises(ValueError, match="`sigma` must be a standard deviation above 0, got 0"):
        ApproximatelyEquivariant(nn.Identity(), nn.Identity(), sigma=0)
    model = ApproximatelyEquivariant(nn.Linear(2, 1), nn.Linear(2, 3))
    message = r"`equivariant` and `free` must give outputs of one shape, got \(4, 1\) and \(4, 3\)"
    with pytest.raises(ValueError, match=message):
        model(torch.ones(4, 2))

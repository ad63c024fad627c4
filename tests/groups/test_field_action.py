from __future__ import annotations

import re

import pytest
import torch
from group_laws import assert_action, close
from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains import from_grid
from graphgdl.groups import (
    SE,
    SO,
    Dihedral,
    E,
    FieldAction,
    Group,
    O,
    Signal,
    Translations,
    direct_sum,
    p4m,
    sign,
    standard,
    trivial,
)
from graphgdl.testing import assert_equivariant, assert_twin_fails


def cloud(d: int) -> Data:
    """Five points with a charge and a velocity each, and a displacement on each edge."""
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(5, d, generator=generator, dtype=torch.float64)
    edges = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 2, 3, 4, 0, 2, 0]])
    return Data(
        x=torch.randn(5, 2, generator=generator, dtype=torch.float64),
        pos=pos,
        velocity=torch.randn(5, d, generator=generator, dtype=torch.float64),
        edge_index=edges,
        edge_attr=pos[edges[1]] - pos[edges[0]],
        y=torch.randn(1, d, generator=generator, dtype=torch.float64),
    )


def fields(group: Group) -> FieldAction:
    rho = standard(group)
    moving = {"pos": group, "velocity": rho, "edge_attr": rho, "y": rho}
    return FieldAction(group, moving, output=rho)


class Forces(nn.Module):
    """f_i = v_i + sum_j w(x_j, |r_ij|) r_ij: a vector at each node, from distances and displacements."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(3, 1)

    def forward(self, data: Data) -> Tensor:
        src, dst = data.edge_index
        weight = self.lin(torch.cat([data.x[src], data.edge_attr.norm(dim=1, keepdim=True)], dim=1)).tanh()
        between = data.pos[dst] - data.pos[src]
        return data.velocity.index_add(0, dst, weight * (between + data.edge_attr))


class SeesTheOrigin(Forces):
    def forward(self, data: Data) -> Tensor:
        return super().forward(data) + 0.01 * data.pos


class SeesAnAxis(Forces):
    def forward(self, data: Data) -> Tensor:
        return super().forward(data) * torch.tensor([1.01, *[1.0] * (data.pos.size(1) - 1)])


@pytest.mark.parametrize("group", [E(3), SE(3), E(2), O(3), SO(2), Dihedral(5)], ids=repr)
def test_law_of_a_module_on_points(group: Group) -> None:
    data = cloud(group.d)  # type: ignore[attr-defined]
    assert assert_equivariant(Forces(), data, group=fields(group)) < 1e-10
    assert assert_twin_fails(SeesAnAxis(), data, group=fields(group)) > 1e-4
    if isinstance(group, E):
        assert assert_twin_fails(SeesTheOrigin(), data, group=fields(group)) > 1e-4
    else:
        assert assert_equivariant(SeesTheOrigin(), data, group=fields(group)) < 1e-10


class Energy(Forces):
    def forward(self, data: Data) -> Tensor:
        return super().forward(data).norm(dim=1).sum()


def test_law_of_an_invariant_module() -> None:
    group = E(3)
    action = FieldAction(group, {"pos": group, "velocity": standard(group), "edge_attr": standard(group)})
    assert assert_equivariant(Energy(), cloud(3), group=action) < 1e-10  # its output does not move
    assert assert_equivariant(Energy(), cloud(3), group=fields(group), law="invariant") < 1e-10


def test_a_field_left_out_breaks_the_law() -> None:
    group = O(3)
    action = FieldAction(group, {"pos": group, "edge_attr": standard(group)}, output=standard(group))
    with pytest.raises(AssertionError, match=r"Forces is not equivariant under FieldAction\(O\(3\)"):
        assert_equivariant(Forces(), cloud(3), group=action)


def test_every_listed_field_moves_and_nothing_else() -> None:
    group, data = E(3), cloud(3)
    before = data.clone()
    action = fields(group)
    g, h = (action.sample(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    moved, rotation, offset = action.act(g, data), g[:3, :3], g[:3, 3]
    assert close(moved.pos, torch.stack([rotation @ p + offset for p in data.pos]))
    assert close(moved.velocity, torch.stack([rotation @ v for v in data.velocity]))
    assert close(moved.edge_attr, moved.pos[data.edge_index[1]] - moved.pos[data.edge_index[0]])
    assert torch.equal(moved.x, data.x)
    assert torch.equal(moved.edge_index, data.edge_index)
    assert all(torch.equal(data[key], before[key]) for key in before.keys())  # noqa: SIM118 - Data iterates over pairs
    twice, once = action.act(g, action.act(h, data)), action.act(action.compose(g, h), data)
    assert all(close(twice[key], once[key]) for key in ("pos", "velocity", "edge_attr", "y"))
    back = action.act(action.inverse(g), moved)
    assert all(close(back[key], data[key]) for key in ("pos", "velocity", "edge_attr", "y"))
    assert torch.equal(action.identity(), torch.eye(4, dtype=torch.float64))


class Gradient(nn.Module):
    """Central differences of a function on a periodic image of 5 x 5: a scalar in, a vector out."""

    def forward(self, x: Tensor) -> Tensor:
        image = x.view(5, 5)
        steps = [(image.roll(-1, axis) - image.roll(1, axis)) / 2 for axis in (0, 1)]
        return torch.stack(steps, dim=-1).view(25, 2)


class Curl(nn.Module):
    """Of a vector field on a periodic image: a pseudoscalar, which changes sign under reflections."""

    def forward(self, x: Tensor) -> Tensor:
        v = x.view(5, 5, 2)
        step = [(v.roll(-1, axis) - v.roll(1, axis)) / 2 for axis in (0, 1)]
        return (step[0][..., 1] - step[1][..., 0]).view(25, 1)


def image(channels: int) -> Data:
    x = torch.randn(5, 5, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return from_grid(x, periodic=True, channels="last")


def test_gradient_of_an_image_is_a_vector_and_its_curl_a_pseudoscalar() -> None:
    group = p4m(5)
    vector, scalar = Signal(standard(group)), Signal(trivial(group))
    gradient = FieldAction(group, {"x": scalar}, output=vector)
    assert assert_equivariant(Gradient(), image(1), group=gradient, draws=10) < 1e-10
    curl = FieldAction(group, {"x": vector}, output=Signal(sign(group)))
    assert assert_equivariant(Curl(), image(2), group=curl, draws=10) < 1e-10
    for wrong in (group, scalar):  # places move, values do not
        with pytest.raises(AssertionError, match="is not equivariant"):
            assert_equivariant(Curl(), image(2), group=FieldAction(group, {"x": vector}, output=wrong), draws=10)


def test_signal_is_an_action() -> None:
    group = p4m(3)
    signal = Signal(direct_sum([trivial(group), standard(group), sign(group)]))
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for g in group.elements()[::5]:
        for h in group.elements()[::7]:
            assert_action(signal, group, g, h, x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FieldAction(O(2), {}), "`fields` must name at least one attribute that moves, got none"),
        (
            lambda: FieldAction(O(2), {"pos": O(2), "v": standard(SO(2))}),
            "`v` must move under O(2), got standard of SO(2)",
        ),
        (lambda: FieldAction(O(2), {"pos": O(3)}), "`pos` must move under O(2), got O(3)"),
        (
            lambda: FieldAction(O(2), {"pos": O(2)}, output=Signal(trivial(Translations((2,), True)))),
            "`output` must move under O(2), got Signal(trivial of Translations((2,), periodic=(True,)))",
        ),
        (
            lambda: FieldAction(O(2), {"pos": O(2)}).act(O(2).identity(), Data(x=torch.zeros(1, 2))),
            "`x` must have the field `pos`, got Data(x=[1, 2])",
        ),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()

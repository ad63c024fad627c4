from __future__ import annotations

import cmath
import itertools
import math

import pytest
import torch
from group_laws import assert_action, assert_axioms, close, elements
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from graphgdl.groups import SE, SO, Cyclic, Dihedral, DirectProduct, E, Isometries, Motions, O, Permutation

CONTINUOUS = [SO(2), SO(3), O(2), O(3), E(2), E(3), SE(2), SE(3), DirectProduct([SO(3), E(2)])]
MOTIONS = [Motions(Cyclic(1)), Motions(Cyclic(5)), Motions(Dihedral(3)), Motions(SO(2)), Motions(O(2))]
FINITE = [Cyclic(1), Cyclic(2), Cyclic(5), Dihedral(1), Dihedral(2), Dihedral(3), Dihedral(4), Dihedral(6)]
POINTS = torch.randn(7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def points(d: int) -> Tensor:
    return POINTS[:, :d].contiguous()


@pytest.mark.parametrize("group", [*FINITE, DirectProduct([Cyclic(3), Cyclic(2)])], ids=repr)
def test_finite_axioms_exhaustively(group) -> None:
    members = group.elements()
    assert torch.equal(members[0], group.identity())
    assert len(members) == group.order == len({tuple(g.tolist()) for g in members})
    for g, h, k in itertools.product(members, repeat=3):
        assert_axioms(group, g, h, k)
        assert any(torch.equal(group.compose(g, h), other) for other in members)


@pytest.mark.parametrize("group", [*CONTINUOUS, *MOTIONS], ids=repr)
@settings(max_examples=25)
@given(draw=st.data())
def test_continuous_axioms(group, draw: st.DataObject) -> None:
    g, h, k = (draw.draw(elements(group)) for _ in range(3))
    assert_axioms(group, g, h, k)


@pytest.mark.parametrize("group", [*FINITE, *CONTINUOUS[:-1], *MOTIONS], ids=repr)
@settings(max_examples=25)
@given(draw=st.data())
def test_action_on_points(group: Isometries, draw: st.DataObject) -> None:
    g, h = draw.draw(elements(group)), draw.draw(elements(group))
    x = points(group.d)
    assert_action(group, group, g, h, x)
    assert close(torch.cdist(group.act(g, x), group.act(g, x)), torch.cdist(x, x), 1e-7), "distances change"


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 7, 12])
def test_dihedral_is_complex_multiplication_and_conjugation(n: int) -> None:
    group = Dihedral(n)
    for g in group.elements():
        r, s = g.tolist()
        for x in points(2):
            z = complex(*x.tolist())
            moved = cmath.exp(2j * math.pi * r / n) * (z.conjugate() if s else z)
            assert close(group.act(g, x), torch.tensor([moved.real, moved.imag], dtype=torch.float64))


@pytest.mark.parametrize("n", [3, 4, 5])
def test_dihedral_is_the_symmetry_group_of_the_polygon(n: int) -> None:
    """Corners as points, moved as points, are the permutations of corners that keep neighbours neighbours."""
    group = Dihedral(n)
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    corners = torch.stack([angle.cos(), angle.sin()], dim=1)
    found = {tuple(torch.cdist(group.act(g, corners), corners).argmin(1).tolist()) for g in group.elements()}
    edges = {frozenset((i, (i + 1) % n)) for i in range(n)}
    expected = {
        p for p in itertools.permutations(range(n)) if {frozenset(p[i] for i in edge) for edge in edges} == edges
    }
    assert found == expected


@pytest.mark.parametrize("n", [1, 2, 4])
def test_right_angles_are_exact(n: int) -> None:
    for g in Dihedral(n).elements():
        matrix = Dihedral(n).matrix(g)
        assert torch.equal(matrix, matrix.round())


@pytest.mark.parametrize("group", [SO(2), SO(3), O(2), O(3), SO(4), O(1)], ids=repr)
def test_haar_moments(group: O) -> None:
    """E g = 0, E g_ij g_kl = delta_ik delta_jl / d, both signs of the determinant as often; five standard errors."""
    draws, d = 4000, group.d
    generator = torch.Generator().manual_seed(1)
    g = torch.stack([group.sample(generator) for _ in range(draws)])
    assert g.mean(0).abs().max() < 5 / math.sqrt(d * draws)
    if (d, type(group)) != (2, SO):  # the plane's rotations keep the two coordinates of a vector tied
        second = torch.einsum("nij,nkl->ijkl", g, g) / draws
        expected = torch.einsum("ik,jl->ijkl", torch.eye(d), torch.eye(d)).double() / d
        assert (second - expected).abs().max() < 5 / math.sqrt(draws)
    else:
        angle = torch.atan2(g[:, 1, 0], g[:, 0, 0])
        assert all(abs(torch.exp(1j * k * angle).mean()) < 5 / math.sqrt(draws) for k in range(1, 9))
    determinants = torch.linalg.det(g)
    assert torch.allclose(determinants.abs(), torch.ones(draws, dtype=torch.float64))
    positive = float((determinants > 0).double().mean())
    assert positive == 1.0 if isinstance(group, SO) else abs(positive - 0.5) < 2.5 / math.sqrt(draws)


def test_rotation_angles_in_space_have_the_density_of_haar() -> None:
    """The angle of a Haar rotation in space has density (1 - cos a) / pi on 0 .. pi: E cos a = -1/2, E cos 2a = 0."""
    generator, draws = torch.Generator().manual_seed(2), 4000
    cos = torch.stack([(SO(3).sample(generator).trace() - 1) / 2 for _ in range(draws)])
    assert abs(float(cos.mean()) + 0.5) < 5 * 0.5 / math.sqrt(draws)
    assert abs(float((2 * cos**2 - 1).mean())) < 5 / math.sqrt(draws)
    below = float((cos > 0).double().mean())  # an angle under a right one: 1/2 - 1/pi
    assert abs(below - (0.5 - 1 / math.pi)) < 2.5 / math.sqrt(draws)


@pytest.mark.parametrize("group", MOTIONS, ids=repr)
def test_motions_are_isometries_of_the_plane_whose_turns_are_the_groups(group: Motions) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        g, h = group.sample(generator), group.sample(generator)
        matrix = torch.eye(3, dtype=torch.float64)
        matrix[:2, :2], matrix[:2, 2] = group.matrix(g), group.offset(g)
        assert close(group.act(g, points(2)), E(2).act(matrix, points(2)))
        assert close(group.matrix(g), group.point.matrix(group.turn(g)))
        assert torch.equal(group.turn(group.compose(g, h)), group.point.compose(group.turn(g), group.turn(h)))


@pytest.mark.parametrize("group", [Dihedral(1000), SO(3), E(2), Motions(Cyclic(1)), Permutation(40)], ids=repr)
def test_samples_are_seeded(group) -> None:
    a, b, c = (group.sample(torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_samples_of_a_finite_group_are_uniform() -> None:
    group, generator = Dihedral(3), torch.Generator().manual_seed(0)
    drawn = [tuple(group.sample(generator).tolist()) for _ in range(1200)]
    counts = [drawn.count(tuple(g.tolist())) for g in group.elements()]
    assert all(140 < count < 260 for count in counts)  # 200 each, five standard deviations


def test_euclidean_moves_points_by_rotation_then_translation() -> None:
    group, generator = E(3, scale=2.0), torch.Generator().manual_seed(0)
    g, x = group.sample(generator), points(3)
    expected = torch.stack([group.matrix(g) @ p + group.offset(g) for p in x])
    assert close(group.act(g, x), expected)
    offsets = torch.stack([group.offset(group.sample(generator)) for _ in range(4000)])
    assert (offsets.mean(0).abs() < 5 * 2 / math.sqrt(4000)).all()
    assert ((offsets.std(0) - 2).abs() < 5 * 2 / math.sqrt(8000)).all()


def test_data_moves_its_positions_alone_and_keeps_its_dtype() -> None:
    data = Data(x=torch.ones(7, 3), pos=points(3).float(), edge_index=torch.tensor([[0], [1]]))
    before = data.clone()
    g = SO(3).sample(torch.Generator().manual_seed(0))
    moved = SO(3).act(g, data)
    assert moved.pos.dtype == torch.float32
    assert torch.allclose(moved.pos, (data.pos.double() @ g.T).float())
    assert torch.equal(moved.x, data.x)
    assert torch.equal(moved.edge_index, data.edge_index)
    assert torch.equal(data.pos, before.pos)


def test_direct_product_acts_by_its_factors() -> None:
    group = DirectProduct([Permutation(7), O(3)])
    g = group.sample(torch.Generator().manual_seed(0))
    p, r = group.split(g)
    assert p.dtype == torch.int64
    x = points(3)
    expected = torch.empty_like(x)
    for v in range(7):
        expected[p[v]] = r @ x[v]
    assert close(group.act(g, x), expected)
    h = group.sample(torch.Generator().manual_seed(1))
    assert_action(group, group, g, h, x)


def test_equality_and_names() -> None:
    groups = [Cyclic(4), Dihedral(4), Cyclic(3), O(2), SO(2), O(3), E(2), SE(2), E(2, scale=2.0), Permutation(4)]
    assert len({repr(group) for group in groups}) == len(set(groups)) == len(groups)
    assert Cyclic(4) == Cyclic(4)
    assert hash(E(2)) == hash(E(2))
    assert DirectProduct([Cyclic(4), O(2)]) == DirectProduct([Cyclic(4), O(2)])
    assert DirectProduct([Cyclic(4), O(2)]) != DirectProduct([O(2), Cyclic(4)])
    assert repr(DirectProduct([Cyclic(4), E(2, 3)])) == "DirectProduct([Cyclic(4), E(2, 3.0)])"


class Swapped(Dihedral):
    """h after g: a group as well, but the action is none of it."""

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return super().compose(h, g)


class SwappedMatrices(O):
    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return super().compose(h, g)


class NotInverted(E):
    def inverse(self, g: Tensor) -> Tensor:
        out = super().inverse(g)
        out[:-1, -1] = -self.offset(g)
        return out


class Bent(Dihedral):
    """The reflection forgets to turn the rotations after it."""

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        (r, s), (q, t) = g.tolist(), h.tolist()
        return torch.tensor([(r + q) % self.n, s ^ t])


@pytest.mark.parametrize(
    ("twin", "check"),
    [(Swapped(3), "action"), (SwappedMatrices(3), "action"), (NotInverted(2), "axioms"), (Bent(3), "action")],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_broken_twins_are_caught(twin, check: str) -> None:
    generator = torch.Generator().manual_seed(3)
    caught = 0
    for _ in range(20):
        g, h, k = (twin.sample(generator) for _ in range(3))
        try:
            assert_action(twin, twin, g, h, points(twin.d)) if check == "action" else assert_axioms(twin, g, h, k)
        except AssertionError:
            caught += 1
    assert caught >= 5


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Cyclic(0), ValueError, "`n` must be a number of rotations, an integer of at least 1, got 0"),
        (lambda: Cyclic(2.5), ValueError, "`n` must be a number of rotations, an integer of at least 1, got 2.5"),
        (
            lambda: Cyclic(3).inverse(torch.tensor([0, 1])),
            ValueError,
            r"`g` must be int64 \(r, s\) with r in 0 .. 2 and s 0, got",
        ),
        (
            lambda: Dihedral(3).compose(torch.tensor([0, 1]), torch.tensor([3, 0])),
            ValueError,
            r"with r in 0 .. 2 and s 0 or 1, got",
        ),
        (lambda: Dihedral(3).matrix(torch.tensor([0.0, 1.0])), ValueError, r"`g` must be int64 \(r, s\)"),
        (lambda: O(0), ValueError, "`d` must be a dimension, at least 1, got 0"),
        (lambda: SE(0), ValueError, "`d` must be a dimension, at least 1, got 0"),
        (lambda: E(2, scale=-1.0), ValueError, "`scale` must be a standard deviation, at least 0, got -1.0"),
        (
            lambda: O(2).inverse(torch.eye(2)),
            ValueError,
            r"`g` must be a float64 matrix \(2, 2\), got torch.float32 \(2, 2\)",
        ),
        (
            lambda: O(2).inverse(2 * torch.eye(2).double()),
            ValueError,
            r"`g` must be orthogonal, got a matrix whose g\^T g is 3.0e\+00 away from 1",
        ),
        (
            lambda: SO(2).inverse(torch.eye(2).double().flip(0)),
            ValueError,
            r"`g` must have determinant 1, got -1; reflections belong to O\(2\) and E\(2\)",
        ),
        (
            lambda: E(2).matrix(torch.eye(2).double()),
            ValueError,
            r"`g` must be a float64 matrix \(3, 3\), got torch.float64 \(2, 2\)",
        ),
        (
            lambda: E(1).matrix(torch.ones(2, 2).double()),
            ValueError,
            r"`g` must be \[\[R, t\], \[0, 1\]\] with finite entries, got \[\[1.0, 1.0\], \[1.0, 1.0\]\]",
        ),
        (
            lambda: SE(1).matrix(torch.tensor([[-1.0, 0.0], [0.0, 1.0]]).double()),
            ValueError,
            r"`g\[:-1, :-1\]` must have determinant 1, got -1",
        ),
        (
            lambda: O(2).act(O(2).identity(), torch.zeros(3, 2, dtype=torch.int64)),
            TypeError,
            r"`x` must hold floating points of R\^2, got torch.int64; cast it",
        ),
        (
            lambda: O(2).act(O(2).identity(), torch.zeros(3, 3)),
            ValueError,
            r"`x` must have shape \(..., 2\) under O\(2\), got \(3, 3\)",
        ),
        (
            lambda: O(2).act(O(2).identity(), Data(x=torch.zeros(3, 2))),
            ValueError,
            r"`x` must have `pos` \(n, 2\) for O\(2\) to move, got Data\(x=\[3, 2\]\); see `FieldAction`",
        ),
        (lambda: DirectProduct([]), ValueError, "`factors` must hold at least one group, got none"),
        (
            lambda: DirectProduct([Cyclic(2)]).join([]),
            ValueError,
            "`parts` must hold an element of each of 1 factors, got 0",
        ),
        (
            lambda: Motions(SE(2)),
            ValueError,
            r"`point` must be Cyclic\(n\), Dihedral\(n\), SO\(2\) or O\(2\), got SE\(2\)",
        ),
        (lambda: Motions(O(3)), ValueError, r"`point` must be .*, got O\(3\)"),
        (
            lambda: Motions(Cyclic(4)).matrix(torch.tensor([0, 0, 1, 0])),
            ValueError,
            r"`g` must be a float64 vector \(4,\), t and a turn, got torch.int64 \(4,\)",
        ),
        (
            lambda: DirectProduct([Cyclic(2), O(2)]).split(torch.zeros(4)),
            ValueError,
            r"`g` must be a vector of the 6 entries of its factors, got shape \(4,\)",
        ),
        (
            lambda: DirectProduct([Cyclic(2), O(2)]).elements(),
            TypeError,
            r"`factors` must be finite groups to list their elements, got O\(2\)",
        ),
        (lambda: DirectProduct([O(2)]).order, TypeError, "`factors` must be finite groups"),
    ],
)
def test_errors(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

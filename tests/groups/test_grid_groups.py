from __future__ import annotations

import itertools

import pytest
import torch
from group_laws import assert_action, assert_axioms, elements
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphgdl.domains import from_grid
from graphgdl.groups import Cyclic, Dihedral, Semidirect, Translations, p4, p4m
from graphgdl.testing import assert_equivariant, assert_twin_fails

PERIODIC = [
    Translations((1,), True),
    Translations((5,), True),
    Translations((2, 3), True),
    Semidirect(Translations((2, 3), True), Cyclic(1)),
    Semidirect(Translations((2, 3), True), Dihedral(2)),
    p4(2),
    p4(3),
    p4m(2),
]


def signal(n: int, *channels: int) -> Tensor:
    return torch.randn(n, *channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("group", PERIODIC, ids=repr)
def test_axioms_and_action_exhaustively(group) -> None:
    members, x = group.elements(), signal(group.num_nodes, 2)
    assert torch.equal(members[0], group.identity())
    assert len(members) == group.order == len({tuple(g.tolist()) for g in members})
    moved = {tuple(g.tolist()): group.act(g, x) for g in members}
    assert torch.equal(moved[tuple(members[0].tolist())], x)
    for i, g in enumerate(members):
        assert_axioms(group, g, members[(i + 1) % len(members)], members[-1])
        for h in members:
            assert torch.equal(moved[tuple(group.compose(g, h).tolist())], group.act(g, moved[tuple(h.tolist())]))


@settings(max_examples=25)
@given(st.data())
def test_larger_groups(draw: st.DataObject) -> None:
    for group in (p4m(5), Translations((3, 4, 5), True), Translations((3, 4), (True, False))):
        g, h, k = (draw.draw(elements(group)) for _ in range(3))
        assert_axioms(group, g, h, k)
        if group.num_nodes != 12:
            assert_action(group, group, g, h, signal(group.num_nodes, 2))


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
@settings(max_examples=25)
@given(draw=st.data())
def test_periodic_shifts_are_rolls(shape: tuple[int, ...], draw: st.DataObject) -> None:
    group = Translations(shape, periodic=True)
    g, x = draw.draw(elements(group)), signal(group.num_nodes, 2)
    expected = x.view(*shape, 2).roll(g.tolist(), dims=tuple(range(len(shape)))).view(-1, 2)
    assert torch.equal(group.act(g, x), expected)


@pytest.mark.parametrize("g", [(0, 0), (1, 0), (-2, 1), (0, -3), (3, 0), (-5, 9)])
def test_open_shifts_fill_with_zeros(g: tuple[int, int]) -> None:
    x, expected = signal(12, 1), torch.zeros(3, 4, dtype=torch.float64)
    for i, j in itertools.product(range(3), range(4)):
        if 0 <= i + g[0] < 3 and 0 <= j + g[1] < 4:
            expected[i + g[0], j + g[1]] = x.view(3, 4)[i, j]
    assert torch.equal(Translations((3, 4)).act(torch.tensor(g), x).view(3, 4), expected)


def test_open_shifts_are_an_action_where_nothing_leaves_and_only_there() -> None:
    group, x = Translations((7,)), torch.zeros(7, 1)
    x[2:5] = torch.tensor([[1.0], [2.0], [3.0]])
    g, h = torch.tensor([-2]), torch.tensor([2])
    assert_action(group, group, g, h, x)
    with pytest.raises(AssertionError, match="is not act"):
        assert_action(group, group, g, torch.tensor([3]), x)


def test_samples_stay_within_reach_and_cover_the_ring() -> None:
    group, generator = Translations((3, 9), (True, False), reach=2), torch.Generator().manual_seed(0)
    drawn = torch.stack([group.sample(generator) for _ in range(200)])
    assert sorted(set(drawn[:, 0].tolist())) == [0, 1, 2]
    assert sorted(set(drawn[:, 1].tolist())) == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_turns_about_the_center_are_those_of_images(size: int) -> None:
    group, image = p4m(size), signal(size * size, 2)
    for r, s in itertools.product(range(4), (0, 1)):
        g = group.about_center(torch.tensor([r, s]))
        flipped = image.view(size, size, 2).flip(1) if s else image.view(size, size, 2)
        assert torch.equal(group.act(g, image).view(size, size, 2), torch.rot90(flipped, r, (0, 1)))


def test_turns_about_the_origin_keep_it() -> None:
    group, x = p4m(4), torch.zeros(16)
    x[0] = 1.0
    for point in group.point.elements():
        assert torch.equal(group.act(torch.cat([torch.zeros(2, dtype=torch.int64), point]), x), x)


def test_vectors_turn_as_places_do() -> None:
    """The arrow from one place to a neighbour, moved by `matrix`, is the arrow between the places moved."""
    group = p4m(7)
    for g in group.elements()[:: group.order // 40]:
        step = torch.tensor([1, 2])
        x = torch.zeros(7, 7, 2)
        x[2, 3, 0], x[3, 5, 1] = 1.0, 1.0
        moved = group.act(g, x.view(49, 2)).view(7, 7, 2)
        ends = [moved[..., c].nonzero()[0] for c in (0, 1)]
        assert torch.equal((ends[1] - ends[0]) % 7, (group.matrix(g).long() @ step) % 7), g


def test_data_moves_its_signal_and_keeps_its_domain() -> None:
    data = from_grid(signal(6, 2).view(2, 3, 2), periodic=True, channels="last")
    data.pos, data.mask = torch.rand(6, 2), torch.tensor([True] + [False] * 5)
    data.edge_weight, data.y = torch.rand(24), torch.tensor([3.0])
    before = data.clone()
    moved = Translations((2, 3), True).act(torch.tensor([1, 1]), data)
    assert torch.equal(moved.x.view(2, 3, 2), data.x.view(2, 3, 2).roll((1, 1), (0, 1)))
    assert moved.mask.tolist() == [False] * 4 + [True, False]
    assert torch.equal(moved.pos, data.pos)
    assert torch.equal(moved.edge_weight, data.edge_weight)
    assert torch.equal(moved.y, data.y)
    assert moved.structure == data.structure
    assert torch.equal(data.x, before.x)


@pytest.mark.parametrize("group", [Translations((2, 3)), Translations((2, 3), True), p4m(3)], ids=repr)
def test_a_batch_moves_as_its_grids_do(group) -> None:
    rows = signal(3 * group.num_nodes, 2)
    grids = [from_grid(part.view(*group.shape, 2), channels="last") for part in rows.chunk(3)]
    for grid in grids:
        grid.y = torch.tensor([1.0])
    g = group.sample(torch.Generator().manual_seed(1))
    want = Batch.from_data_list([group.act(g, grid) for grid in grids])
    moved = group.act(g, Batch.from_data_list(grids))
    assert torch.equal(moved.x, want.x)
    assert torch.equal(group.act(g, rows), want.x)
    assert moved.structure == want.structure
    assert [part.tolist() for part in (moved.batch, moved.ptr, moved.y)] == [
        t.tolist() for t in (want.batch, want.ptr, want.y)
    ]
    with pytest.raises(ValueError, match="`x` must have one row for each of the"):
        group.act(g, rows[:0])


class Stencil(nn.Module):
    """Convolution with one kernel on a periodic image, by torch: an oracle of its own."""

    def __init__(self, symmetric: bool) -> None:
        super().__init__()
        kernel = signal(36).view(2, 2, 3, 3) / 4
        if symmetric:
            kernel = sum(torch.rot90(k, r, (2, 3)) for k in (kernel, kernel.flip(3)) for r in range(4)) / 8
        self.kernel = nn.Parameter(kernel)

    def forward(self, x: Tensor) -> Tensor:
        image = nn.functional.pad(x.view(1, 5, 5, 2).permute(0, 3, 1, 2), (1, 1, 1, 1), mode="circular")
        return nn.functional.conv2d(image, self.kernel)[0].permute(1, 2, 0).reshape(25, 2).tanh()


def test_laws_of_a_convolution() -> None:
    """Any kernel commutes with shifts; with turns a symmetric one does, and one with a single tap off does not."""
    data = from_grid(signal(25, 2).view(5, 5, 2), periodic=True, channels="last")
    shifts = Translations((5, 5), periodic=True)
    assert assert_equivariant(Stencil(symmetric=False), data, group=shifts, draws=8) < 1e-10
    assert assert_equivariant(Stencil(symmetric=True), data, group=p4m(5), draws=8) < 1e-10
    twin = Stencil(symmetric=True)
    with torch.no_grad():
        twin.kernel[0, 0, 0, 1] += 0.1
    assert assert_twin_fails(twin, data, group=p4m(5), draws=8) > 1e-3


class Swapped(Semidirect):
    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return super().compose(h, g)


class ShiftNotTurned(Semidirect):
    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        (t, a), (u, b) = self.split(g), self.split(h)
        return torch.cat([self.translations.compose(t, u), self.point.compose(a, b)])


@pytest.mark.parametrize("twin", [Swapped, ShiftNotTurned])
def test_broken_twins_are_caught(twin: type[Semidirect]) -> None:
    group = twin(Translations((3, 3), True), Cyclic(4))
    g, h = torch.tensor([1, 0, 1, 0]), torch.tensor([0, 1, 2, 0])
    with pytest.raises(AssertionError, match="is not act"):
        assert_action(group, group, g, h, signal(9, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Translations(()), r"`shape` must be the sizes of at least one axis, each at least 1, got \(\)"),
        (lambda: Translations((3, 0)), r"`shape` must be .*, got \(3, 0\)"),
        (
            lambda: Translations((3, 3), [True]),
            "`periodic` must be one flag or 2, one for each axis, got 1",
        ),
        (lambda: Translations((3,), reach=-1), "`reach` must be a number of steps, at least 0, got -1"),
        (
            lambda: Translations((3,)).elements(),
            r"`periodic` must hold for every axis to list the shifts, got \(False,\)",
        ),
        (lambda: Translations((3,)).order, "`periodic` must hold for every axis"),
        (
            lambda: Translations((3, 4), (False, True)).inverse(torch.tensor([7, 4])),
            r"`g` must be an int64 shift \(2,\), axis 1 in 0 .. 3, got tensor\(\[7, 4\]\)",
        ),
        (lambda: Translations((3,)).inverse(torch.tensor([1.0])), r"`g` must be an int64 shift \(1,\), got"),
        (
            lambda: Translations((3,)).act(torch.tensor([1]), torch.zeros(2, 3)),
            r"`x` must have one row for each of the 3 nodes of a grid, or of several, got \(2, 3\)",
        ),
        (
            lambda: Translations((3,)).act(torch.tensor([1]), Data(x=torch.zeros(2, 3))),
            r"`x` must have the 3 nodes of a grid \(3,\), got 2",
        ),
        (
            lambda: Translations((2,)).act(
                torch.tensor([1]), Batch.from_data_list([Data(x=torch.zeros(1, 1), num_nodes=1)] * 2)
            ),
            r"`x` must be a batch of grids \(2,\) of 2 nodes, got sizes \[1, 1\]",
        ),
        (
            lambda: Semidirect(Translations((3, 3)), Cyclic(4)),
            r"`translations` must be those of a periodic grid of two axes, got Translations\(\(3, 3\), periodic=",
        ),
        (
            lambda: Semidirect(Translations((3, 3, 3), True), Cyclic(4)),
            "`translations` must be those of a periodic grid of two axes",
        ),
        (
            lambda: Semidirect(Translations((3, 3), True), Cyclic(3)),
            r"`point` must turn by whole quarters, n = 1, 2 or 4, got Cyclic\(3\)",
        ),
        (
            lambda: Semidirect(Translations((3, 4), True), Dihedral(4)),
            r"`translations` must be those of a square under Dihedral\(4\), got shape \(3, 4\)",
        ),
        (lambda: p4(3).inverse(torch.tensor([1, 2])), r"`g` must be int64 \(t0, t1, r, s\), got shape \(2,\)"),
        (lambda: p4(3).inverse(torch.tensor([1, 3, 0, 0])), r"`g` must be an int64 shift \(2,\), axis 0 in 0 .. 2"),
        (lambda: p4(3).inverse(torch.tensor([1, 2, 0, 1])), r"`g` must be int64 \(r, s\) with r in 0 .. 3 and s 0"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

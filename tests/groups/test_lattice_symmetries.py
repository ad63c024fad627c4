"""Turns about the centre, the symmetries that a stride leaves, and actions through a homomorphism."""

from __future__ import annotations

import itertools

import pytest
import torch
from group_laws import assert_action, assert_axioms

from graphgdl.groups import Cyclic, Dihedral, LatticeStabilizer, Pullback, Semidirect, Translations, Turns, p4m


def signal(n):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    "group", [Turns((3, 4), Dihedral(2)), Turns((4, 4), Dihedral(4)), Turns((5, 5), Cyclic(4))], ids=repr
)
def test_turns_exhaustively(group):
    image = signal(group.num_nodes)
    assert torch.equal(group.elements()[0], group.identity())
    assert len(group.elements()) == group.order
    for g, h in itertools.product(group.elements(), repeat=2):
        assert_axioms(group, g, h, group.elements()[-1])
        assert_action(group, group, g, h, image)
    for g in group.elements():
        flipped = image.view(*group.shape, 2).flip(1) if g[1] else image.view(*group.shape, 2)
        want = torch.rot90(flipped, int(g[0]) * 4 // group.point.n, (0, 1))
        assert torch.equal(group.act(g, image), want.reshape(-1, 2))


@pytest.mark.parametrize(("step", "twice_center"), [(2, 0), (2, 1), (3, 2), (3, -1)])
def test_stabilizer_is_every_element_that_keeps_the_lattice(step, twice_center):
    whole = p4m(6)
    group = LatticeStabilizer(whole, step, twice_center)
    kept = []
    for g in whole.elements():
        turn = whole.matrix(g).to(torch.int64)
        lattice = 2 * step * torch.cartesian_prod(torch.arange(6 // step), torch.arange(6 // step)) + twice_center
        moved = (lattice @ turn.T + 2 * g[:2]) % 12
        same = {tuple(p) for p in moved.tolist()} == {tuple(p) for p in (lattice % 12).tolist()}
        if same:
            kept.append(g)
            target = (2 * step * group.lattice._places(group.coarse(g)) + twice_center) % 12
            assert torch.equal(target, moved)
        else:
            with pytest.raises(ValueError, match="`g` must map the places"):
                group.coarse(g)
    assert len(kept) == whole.order // step**2
    generator = torch.Generator().manual_seed(0)
    drawn = {tuple(group.sample(generator).tolist()) for _ in range(200)}
    assert drawn <= {tuple(g.tolist()) for g in kept}
    assert len(drawn) > 0.9 * len(kept)


def test_stabilizer_axioms_action_and_homomorphism():
    group = LatticeStabilizer(p4m(6), 2, 1)
    generator = torch.Generator().manual_seed(0)
    coarse = Pullback(group, group.coarse, group.lattice)
    for _ in range(20):
        g, h, k = (group.sample(generator) for _ in range(3))
        assert_axioms(group, g, h, k)
        assert_action(group, group, g, h, signal(36))
        assert_action(coarse, group, g, h, signal(9))
        assert torch.equal(group.coarse(group.compose(g, h)), group.lattice.compose(group.coarse(g), group.coarse(h)))


def test_misuse_is_refused_by_name():
    with pytest.raises(ValueError, match=r"`step` must divide the sizes \(6, 6\) of the periodic grid, got 4"):
        LatticeStabilizer(p4m(6), 4, 0)
    with pytest.raises(ValueError, match="`translations` must be those of a square under"):
        Turns((2, 3), Cyclic(4))


def test_names():
    whole = Semidirect(Translations((2, 4), True), Cyclic(2))
    group = LatticeStabilizer(whole, 2, 0)
    assert repr(group) == f"LatticeStabilizer({whole}, 2, 0)"
    assert repr(Pullback(Cyclic(2), torch.clone, Cyclic(4))) == "Pullback(Cyclic(2), Cyclic(4))"

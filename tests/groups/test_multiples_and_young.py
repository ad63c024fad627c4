"""Shifts by multiples, and permutations within blocks: group laws, actions, errors."""

from __future__ import annotations

import itertools

import pytest
import torch
from group_laws import assert_action, assert_axioms

from graphgdl.groups import Multiples, Translations, YoungSubgroup


def drawn(group, count=6):
    generator = torch.Generator().manual_seed(0)
    return [group.sample(generator) for _ in range(count)]


def test_young_subgroup():
    group = YoungSubgroup([2, 0, 3])
    x = torch.randn(5, 2, dtype=torch.float64)
    for g, h, k in zip(drawn(group), reversed(drawn(group)), drawn(group)[2:]):
        assert_axioms(group, g, h, k)
        assert_action(group, group, g, h, x)
        assert sorted(g[:2].tolist()) == [0, 1]
    found = {tuple(g.tolist()) for g in drawn(group, 300)}
    assert len(found) == 2 * 6  # all of S_2 x S_3
    assert group == YoungSubgroup([2, 0, 3]) != YoungSubgroup([3, 2])
    assert repr(group) == "YoungSubgroup((2, 0, 3))"


def test_young_subgroup_errors():
    with pytest.raises(ValueError, match=r"`sizes` must be numbers of nodes, got \[2, -1\]"):
        YoungSubgroup([2, -1])
    with pytest.raises(
        ValueError, match=r"`g` must keep each node within its block of sizes \(2, 1\), got \[0, 2, 1\]"
    ):
        YoungSubgroup([2, 1]).act(torch.tensor([0, 2, 1]), torch.zeros(3, 1))


def test_multiples():
    """Shifts of a 2 x 3 torus move a 4 x 3 x 1 one by twice as many rows: against `roll`."""
    coarse = Translations((2, 3), periodic=True)
    action = Multiples(coarse, Translations((4, 3), periodic=True), (2, 1))
    x = torch.arange(24.0, dtype=torch.float64).view(12, 2)
    for g, h in itertools.product(coarse.elements(), repeat=2):
        assert_action(action, coarse, g, h, x)
        rolled = x.view(4, 3, 2).roll((2 * int(g[0]), int(g[1])), (0, 1)).view(12, 2)
        assert torch.equal(action.act(g, x), rolled)


def test_multiples_leave_an_open_axis_alone():
    group = Translations((1, 3), periodic=True)
    action = Multiples(group, Translations((4, 6), periodic=(False, True)), (4, 2))
    x = torch.arange(24.0).view(24, 1)
    for g in group.elements():
        assert torch.equal(action.act(g, x), x.view(4, 6, 1).roll(2 * int(g[1]), 1).view(24, 1))
    assert "Multiples(Translations((1, 3)" in repr(action)


def test_multiples_errors():
    ring, line = Translations((4,), periodic=True), Translations((4,))
    with pytest.raises(
        ValueError, match=r"`group` must be periodic, with the axes of `grid` and `steps`, got .* \(1, 1\)"
    ):
        Multiples(ring, ring, (1, 1))
    with pytest.raises(ValueError, match="`group` must be periodic"):
        Multiples(line, ring, (1,))
    with pytest.raises(
        ValueError, match=r"`steps` must take Translations.* round Translations.*, got \(1,\); let an axis"
    ):
        Multiples(Translations((3,), periodic=True), ring, (1,))
    with pytest.raises(ValueError, match="`steps` must take"):
        Multiples(ring, line, (1,))

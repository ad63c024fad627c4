"""Representations that permute the elements of a finite group, or the cosets of a subgroup."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphgdl.groups.group import FiniteGroup, Group
from graphgdl.groups.representation import Representation


def regular(group: FiniteGroup) -> Representation:
    """Return one channel for each element, in the order of `elements()`: the channel of h moves to that of gh.

    Raises:
        TypeError: a group that is not finite.
    """
    return _on_cosets(group, [_finite(group).identity()], "regular")


def quotient(group: FiniteGroup, generators: Sequence[Tensor]) -> Representation:
    """Return one channel for each coset hH of the subgroup H: the channel of hH moves to that of ghH.

    Cosets are in the order of their first element in `elements()`.

    Args:
        group: a finite group.
        generators: elements that generate H; all their products are in H.

    Raises:
        TypeError: a group that is not finite.
    """
    subgroup = [_finite(group).identity()]
    for h in subgroup:  # grows while it is walked
        for g in generators:
            product = group.compose(g, h)
            if not any(torch.equal(product, other) for other in subgroup):
                subgroup.append(product)
    key = sorted(h.flatten().tolist() for h in subgroup)
    return _on_cosets(group, subgroup, f"quotient by {key}")


def _on_cosets(group: FiniteGroup, subgroup: list[Tensor], name: str) -> Representation:
    coset: dict[tuple[int, ...], int] = {}  # of each element
    leaders: list[Tensor] = []
    for h in group.elements():
        if _key(h) not in coset:
            coset.update((_key(group.compose(h, s)), len(leaders)) for s in subgroup)
            leaders.append(h)

    def matrix(g: Tensor) -> Tensor:
        target = [coset[_key(group.compose(g, leader))] for leader in leaders]
        out = torch.zeros(len(leaders), len(leaders), dtype=torch.float64)
        out[target, range(len(leaders))] = 1
        return out

    return Representation(group, len(leaders), name, matrix, permutes=True)


def _key(g: Tensor) -> tuple[int, ...]:
    return tuple(g.flatten().tolist())


def _finite(group: Group) -> FiniteGroup:
    if not isinstance(group, FiniteGroup):
        raise TypeError(f"`group` must be finite to have a channel for each element, got {group}")
    return group

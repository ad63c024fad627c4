"""Invariant vectors: fixed, orthonormal, as many as the characters say, and the same however they are found."""

from __future__ import annotations

import pytest
import torch

from graphgdl.groups import (
    SO,
    Cyclic,
    Dihedral,
    O,
    direct_sum,
    frequency,
    invariants,
    p4,
    quotient,
    regular,
    sign,
    standard,
    tensor_product,
    trivial,
)


def frequencies(group, *ks):
    return tensor_product([frequency(group, k) for k in ks])


REPRESENTATIONS = [
    regular(Cyclic(5)),
    regular(Dihedral(4)),
    quotient(Dihedral(6), [torch.tensor([2, 0])]),
    regular(p4(2)),
    direct_sum([sign(Dihedral(3)), trivial(Dihedral(3)), standard(Dihedral(3))]),
    tensor_product([regular(Dihedral(3)), standard(Dihedral(3)), frequency(Dihedral(3), 2)]),
    frequencies(SO(2), 7, 7),
    frequencies(SO(2), 1, 2, 3),
    frequencies(O(2), 1, 2, 3),
    tensor_product([sign(O(2)), frequency(O(2), 2), frequency(O(2), 2)]),
    frequencies(O(2), 22, 22),  # 44 radians are nearly 7 turns
    frequency(SO(2), 44),
    sign(O(2)),
]


def average(representation):
    """The projector onto the invariants, as an average; over SO(2) and O(2) by as many turns as no frequency reaches."""
    group = representation.group
    if isinstance(group, O):
        turns = (Cyclic if isinstance(group, SO) else Dihedral)(128)
        matrices = [representation.matrix(turns.matrix(g)) for g in turns.elements()]
    else:
        matrices = [representation.matrix(g) for g in group.elements()]
    return torch.stack(matrices).mean(dim=0)


@pytest.mark.parametrize("representation", REPRESENTATIONS, ids=repr)
def test_span_what_the_average_over_the_group_leaves(representation):
    basis, projector = invariants(representation), average(representation)
    assert len(basis) == round(float(projector.trace()))
    torch.testing.assert_close(basis.T @ basis, projector, rtol=0, atol=1e-11)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_basis_is_that_of_the_projector_and_not_of_the_solver():
    representation = tensor_product([regular(Dihedral(4)), regular(Dihedral(4))])
    projector, rows = average(representation), []
    for column in projector.T:
        left = column - sum(((row @ column) * row for row in rows), torch.zeros(64, dtype=torch.float64))
        if left.norm() > 1e-6:
            rows.append(left / left.norm())
    torch.testing.assert_close(invariants(representation), torch.stack(rows), rtol=0, atol=1e-12)


def test_another_group_is_refused_by_name():
    with pytest.raises(TypeError, match=r"`representation` must be of a finite group, SO\(2\) or O\(2\), got SO\(3\)"):
        invariants(standard(SO(3)))

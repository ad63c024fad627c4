from __future__ import annotations

import itertools
import math
import re

import pytest
import torch
from group_laws import assert_action, assert_homomorphism, close, elements
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphgdl.groups import (
    SE,
    SO,
    Cyclic,
    Dihedral,
    DirectProduct,
    E,
    O,
    Permutation,
    Representation,
    Translations,
    direct_sum,
    frequency,
    inflation,
    irrep,
    p4,
    p4m,
    quotient,
    regular,
    sign,
    standard,
    tensor_product,
    trivial,
)

FLIP = torch.tensor([0, 1])
TURN = torch.tensor([1, 0])
C6, D4, D5 = Cyclic(6), Dihedral(4), Dihedral(5)
PRODUCT = DirectProduct([Cyclic(3), O(2)])

FINITE = [
    *(trivial(C6), sign(C6), standard(C6), frequency(C6, 2), frequency(C6, 5), regular(C6)),
    *(quotient(C6, [torch.tensor([2, 0])]), quotient(C6, [])),
    *(trivial(D4), sign(D4), standard(D4), frequency(D4, 2), frequency(D4, 3), regular(D4)),
    *(quotient(D4, [FLIP]), quotient(D4, [torch.tensor([2, 0])]), quotient(D4, [TURN, FLIP])),
    *(direct_sum([sign(D5), standard(D5), regular(D5)]), tensor_product([standard(D5), frequency(D5, 2), sign(D5)])),
    *(standard(p4(2)), sign(p4m(2)), frequency(p4m(2), 2), regular(Translations((2, 3), True))),
    quotient(p4m(2), [torch.tensor([1, 0, 0, 0]), torch.tensor([0, 1, 0, 0])]),
    regular(DirectProduct([Cyclic(2), Dihedral(3)])),
]
CONTINUOUS = [
    *(trivial(SO(3)), sign(SO(3)), standard(SO(3)), sign(O(3)), standard(O(3)), standard(O(2))),
    *(frequency(SO(2), 1), frequency(SO(2), 7), frequency(O(2), 2), frequency(O(2), 5)),
    *(standard(E(3)), sign(E(3)), standard(SE(2)), frequency(E(2), 3)),
    direct_sum([trivial(O(2)), sign(O(2)), frequency(O(2), 3)]),
    tensor_product([standard(O(3)), standard(O(3)), sign(O(3))]),
    *(tensor_product([standard(SO(2)), frequency(SO(2), 3)]), tensor_product([standard(SE(3)), irrep(SE(3), 2)])),
    *(sign(Permutation(5)), trivial(Permutation(5))),
    *(inflation(PRODUCT, 1, standard(O(2))), inflation(PRODUCT, 0, regular(Cyclic(3)))),
    tensor_product([inflation(PRODUCT, 1, standard(O(2))), inflation(PRODUCT, 0, regular(Cyclic(3)))]),
]


@pytest.mark.parametrize("rho", FINITE, ids=repr)
def test_homomorphism_exhaustively(rho: Representation) -> None:
    members = rho.group.elements()  # type: ignore[attr-defined]
    matrices = {tuple(g.tolist()): rho.matrix(g) for g in members}
    for i, g in enumerate(members):
        assert_homomorphism(rho, g, members[(i + 1) % len(members)])
        for h in members:
            product = matrices[tuple(g.tolist())] @ matrices[tuple(h.tolist())]
            assert close(matrices[tuple(rho.group.compose(g, h).tolist())], product)


@pytest.mark.parametrize("rho", CONTINUOUS, ids=repr)
@settings(max_examples=25)
@given(draw=st.data())
def test_homomorphism(rho: Representation, draw: st.DataObject) -> None:
    g, h = draw.draw(elements(rho.group)), draw.draw(elements(rho.group))
    assert_homomorphism(rho, g, h)


@pytest.mark.parametrize("rho", [*FINITE, *CONTINUOUS], ids=repr)
def test_action_is_the_matrix_on_the_last_axis(rho: Representation) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, rho.size, generator=generator, dtype=torch.float64)
    g, h = rho.group.sample(generator), rho.group.sample(generator)
    moved = rho.act(g, x)
    for i, j in itertools.product(range(3), range(2)):
        assert close(moved[i, j], rho.matrix(g) @ x[i, j])
    assert_action(rho, rho.group, g, h, x)
    assert rho.act(g, x.float()).dtype == torch.float32


@pytest.mark.parametrize("rho", FINITE, ids=repr)
def test_permutes_says_whether_channels_are_permuted(rho: Representation) -> None:
    """A representation of permutation matrices, and no other, commutes with a function of each channel."""
    matrices = torch.stack([rho.matrix(g) for g in rho.group.elements()])  # type: ignore[attr-defined]
    zero_one = bool(((matrices == 0) | (matrices == 1)).all())
    assert rho.permutes <= zero_one
    if zero_one and not rho.permutes:
        assert rho.name == "sign"  # of a group without reflections, where it is trivial
    x = torch.randn(rho.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    commutes = all(close(rho.act(g, x).relu(), rho.act(g, x.relu())) for g in rho.group.elements())  # type: ignore[attr-defined]
    assert commutes == zero_one


@pytest.mark.parametrize("k", [1, 2, 5])
def test_frequencies_are_angles_times_k(k: int) -> None:
    for angle, flip in itertools.product((0.3, 2.0, -1.1), (1.0, -1.0)):
        cos, sin = math.cos(angle), math.sin(angle)
        g = torch.tensor([[cos, -sin * flip], [sin, cos * flip]], dtype=torch.float64)
        c, s = math.cos(k * angle), math.sin(k * angle)
        expected = torch.tensor([[c, -s * flip], [s, c * flip]], dtype=torch.float64)
        assert close(frequency(O(2), k).matrix(g), expected)
        if flip > 0:
            assert close(frequency(SO(2), k).matrix(g), expected)


def test_characters_of_irreducible_representations_are_orthonormal() -> None:
    """Schur: the characters of D_5's irreducible representations, each once in the list, are orthonormal."""
    irreps = [trivial(D5), sign(D5), standard(D5), frequency(D5, 2)]
    table = torch.stack([torch.stack([rho.matrix(g).trace() for g in D5.elements()]) for rho in irreps])
    assert close(table @ table.T / D5.order, torch.eye(4, dtype=torch.float64))
    regular_trace = torch.stack([regular(D5).matrix(g).trace() for g in D5.elements()])
    multiplicities = table @ regular_trace / D5.order
    assert close(multiplicities, torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=torch.float64))  # their dimensions


def test_tensor_product_of_vectors_splits_by_clebsch_and_gordan() -> None:
    """The trace and the antisymmetric part of v w^T: a scalar, and in the plane a pseudoscalar."""
    g = O(2).sample(torch.Generator().manual_seed(3))
    v, w = torch.tensor([1.0, 2.0]).double(), torch.tensor([-3.0, 0.5]).double()
    moved = tensor_product([standard(O(2))] * 2).act(g, torch.outer(v, w).flatten()).view(2, 2)
    assert close(moved, torch.outer(g @ v, g @ w))
    assert close(moved.trace(), v @ w)
    assert close((moved[0, 1] - moved[1, 0]).view(1), sign(O(2)).act(g, (v[0] * w[1] - v[1] * w[0]).view(1)))


def test_regular_is_left_translation_of_functions() -> None:
    """(g.f)(h) = f(g^-1 h) for a function f on the group."""
    group = Dihedral(3)
    members = group.elements()
    f = {tuple(h.tolist()): float(i) for i, h in enumerate(members)}
    x = torch.arange(6, dtype=torch.float64)
    for g in members:
        expected = [f[tuple(group.compose(group.inverse(g), h).tolist())] for h in members]
        assert regular(group).act(g, x).tolist() == expected


def test_quotient_moves_cosets() -> None:
    """D_4 by a reflection: the corners of the square, four of them, moved as the group moves the points."""
    rho = quotient(D4, [FLIP])
    assert rho.size == 4
    corners = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    for g in D4.elements():
        landed = torch.cdist(D4.act(g, corners), corners).argmin(dim=1)
        for i in range(4):
            assert int(rho.matrix(g)[:, i].argmax()) == int(landed[i])
    assert quotient(D4, [TURN]).size == 2
    assert quotient(D4, [TURN, FLIP]).size == 1
    assert quotient(D4, []).size == 8


def test_sign_is_the_parity_of_permutations() -> None:
    group = Permutation(4)
    for p in itertools.permutations(range(4)):
        parity = math.prod((p[j] - p[i]) / (j - i) for i, j in itertools.combinations(range(4), 2))
        assert float(sign(group).matrix(torch.tensor(p))) == round(parity)


def test_equality_and_names() -> None:
    assert standard(SO(3)) == standard(SO(3))
    assert hash(standard(SO(3))) == hash(standard(SO(3)))
    assert frequency(O(2), 1) == standard(O(2))
    distinct = [standard(SO(3)), standard(O(3)), trivial(O(3)), sign(O(3)), frequency(O(2), 2), frequency(O(2), 3)]
    distinct += [quotient(D4, [FLIP]), quotient(D4, [TURN]), regular(D4), direct_sum([trivial(O(3))] * 2)]
    assert len(set(distinct)) == len(distinct)
    rho = tensor_product([direct_sum([trivial(D4), sign(D4)]), standard(D4)])
    assert repr(rho) == "(trivial ⊕ sign) ⊗ standard of Dihedral(4)"
    twice = DirectProduct([D4, D4])
    inflated = inflation(twice, 1, direct_sum([regular(D4), sign(D4)]))
    assert inflated.name == "(regular ⊕ sign) of factor 1"
    assert inflated != direct_sum([inflation(twice, 0, regular(D4)), inflation(twice, 1, sign(D4))])
    assert repr(quotient(D4, [FLIP])) == "quotient by [[0, 0], [0, 1]] of Dihedral(4)"
    assert rho != "a representation"


class Swapped(Dihedral):
    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return super().compose(h, g)


def test_broken_twins_are_caught() -> None:
    transposed = Representation(D4, 2, "transposed", lambda g: D4.matrix(g).T)
    halved = Representation(O(2), 2, "halved", lambda g: g / 2)
    angles = Representation(O(2), 2, "no flip", lambda g: torch.linalg.matrix_power(g, 3))
    for rho in (transposed, halved, angles, standard(Swapped(3))):
        generator, caught = torch.Generator().manual_seed(0), 0
        for _ in range(20):
            try:
                assert_homomorphism(rho, rho.group.sample(generator), rho.group.sample(generator))
            except AssertionError:
                caught += 1
        assert caught >= 3, rho


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: Representation(O(2), 0, "empty", lambda g: g),
            ValueError,
            "`size` must be a number of channels, at least 1, got 0",
        ),
        (
            lambda: standard(O(2)).act(O(2).identity(), torch.zeros(2, dtype=torch.int64)),
            TypeError,
            "`x` must be floating to transform by standard of O(2), got torch.int64; cast it",
        ),
        (
            lambda: standard(O(2)).act(O(2).identity(), torch.zeros(2, 3)),
            ValueError,
            "`x` must have shape (..., 2) to transform by standard of O(2), got (2, 3)",
        ),
        (
            lambda: sign(Translations((3,))),
            TypeError,
            "`group` must move vectors by a matrix, as O(3) does, got Translations((3,)",
        ),
        (lambda: standard(Permutation(3)), TypeError, "`group` must move vectors by a matrix"),
        (lambda: frequency(Permutation(3), 1), TypeError, "`group` must move vectors by a matrix"),
        (
            lambda: frequency(O(3), 1),
            ValueError,
            "`group` must move a plane to have frequencies, got O(3) in dimension 3",
        ),
        (
            lambda: frequency(O(2), 0),
            ValueError,
            "`k` must be a frequency, an integer of at least 1, got 0; frequency 0 is `trivial`",
        ),
        (
            lambda: regular(O(2)),
            TypeError,
            "`group` must be finite to have a channel for each element, got O(2)",
        ),
        (lambda: quotient(O(2), []), TypeError, "`group` must be finite"),
        (lambda: direct_sum([]), ValueError, "`parts` must hold at least one representation, got none"),
        (lambda: tensor_product([]), ValueError, "`parts` must hold at least one representation, got none"),
        (
            lambda: direct_sum([standard(O(2)), standard(SO(2))]),
            ValueError,
            "`parts` must be representations of one group, got standard of O(2) and standard of SO(2)",
        ),
        (
            lambda: inflation(PRODUCT, 2, trivial(O(2))),
            ValueError,
            "`factor` must lie in 0 .. 1, got 2",
        ),
        (
            lambda: inflation(PRODUCT, 0, trivial(O(2))),
            ValueError,
            "`representation` must be of Cyclic(3), factor 0, got trivial of O(2)",
        ),
    ],
)
def test_errors(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()

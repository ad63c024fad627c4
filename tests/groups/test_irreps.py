"""Irreducible representations of O(3): the laws, e3nn's own matrices, and spherical harmonics that transform by them."""

from __future__ import annotations

import math
import re

import pytest
import torch
from e3nn import o3
from group_laws import assert_action, assert_homomorphism, close, elements
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphgdl.groups import SO, E, O, Permutation, Representation, direct_sum, irrep, sign, standard, trivial

O3, SO3 = O(3), SO(3)
ALL = [irrep(O3, degree, parity) for degree in range(5) for parity in (1, -1)] + [irrep(SO3, 3), irrep(E(3), 2)]
QUARTER = torch.tensor([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)


@pytest.fixture(autouse=True)
def _float64():
    """e3nn computes in torch's default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def sample(seed: int, group=O3) -> Tensor:
    return group.sample(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rho", ALL, ids=repr)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_homomorphism(rho: Representation, data: st.DataObject) -> None:
    g, h = data.draw(elements(rho.group)), data.draw(elements(rho.group))
    assert_homomorphism(rho, g, h)
    x = torch.randn(2, rho.size, generator=torch.Generator().manual_seed(0))
    assert_action(rho, rho.group, g, h, x)


@pytest.mark.parametrize("parity", [1, -1])
@pytest.mark.parametrize("degree", range(9))
def test_equals_e3nn(degree: int, parity: int) -> None:
    for seed in range(3):
        g = sample(seed)
        assert close(irrep(O3, degree, parity).matrix(g), o3.Irrep(degree, parity).D_from_matrix(g), 1e-11)


@pytest.mark.parametrize("degree", range(7))
def test_spherical_harmonics_transform_by_it(degree: int) -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(degree))
    for g in (sample(1), sample(2), sample(3, SO3), -torch.eye(3)):
        moved = o3.spherical_harmonics(degree, O3.act(g, x), normalize=False)
        assert close(moved, irrep(O3, degree).act(g, o3.spherical_harmonics(degree, x, normalize=False)), 1e-11)


@pytest.mark.parametrize("degree", range(6))
def test_characters_are_those_of_rotations_by_an_angle(degree: int) -> None:
    turn, axis = 0.7, sample(4, SO3)
    cos, sin = math.cos(turn), math.sin(turn)
    g = axis @ torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ axis.T
    expected = math.sin((degree + 0.5) * turn) / math.sin(0.5 * turn)
    for parity in (1, -1):
        rho = irrep(O3, degree, parity)
        assert math.isclose(float(rho.matrix(g).trace()), expected, rel_tol=1e-12)
        assert math.isclose(float(rho.matrix(-g).trace()), parity * expected, rel_tol=1e-12)


def test_no_digit_is_lost_near_the_identity_where_angles_lose_half_of_them() -> None:
    cos, sin = math.cos(1e-8), math.sin(1e-8)
    g = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    rho, theirs = irrep(SO3, 4), o3.Irrep(4, 1)
    assert close(rho.matrix(g @ g), rho.matrix(g) @ rho.matrix(g), 1e-14)
    twice = theirs.D_from_matrix(g) @ theirs.D_from_matrix(g)
    assert not close(theirs.D_from_matrix(g @ g), twice, 1e-9)


def test_a_product_of_vectors_splits_into_degrees() -> None:
    """v w^T is a scalar, a pseudovector and a symmetric traceless matrix: 1o x 1o = 0e + 1e + 2e."""
    parts = [irrep(O3, 0, 1), irrep(O3, 1, 1), irrep(O3, 2, 1)]
    couple = torch.cat([o3.wigner_3j(1, 1, k).flatten(0, 1).T * (2 * k + 1) ** 0.5 for k in range(3)])
    for seed in range(3):
        g = sample(seed)
        product = torch.kron(standard(O3).matrix(g), standard(O3).matrix(g))
        assert close(couple @ product @ couple.T, direct_sum(parts).matrix(g))


def test_small_degrees_are_those_known_by_name() -> None:
    assert irrep(O3, 0) == irrep(O3, 0, 1) == trivial(O3)
    assert irrep(O3, 0, -1) == sign(O3)
    assert irrep(O3, 1) == irrep(O3, 1, -1) == standard(O3)
    assert repr(irrep(O3, 1, 1)) == "1e of O(3)"
    assert close(irrep(O3, 1, 1).matrix(-QUARTER), QUARTER)
    assert irrep(O3, 2) == irrep(O3, 2, 1) != irrep(O3, 2, -1)


def test_the_other_parity_is_a_broken_twin() -> None:
    x = torch.randn(1, 3, generator=torch.Generator().manual_seed(0))
    moved = o3.spherical_harmonics(2, O3.act(-QUARTER, x), normalize=False)
    assert not close(moved, irrep(O3, 2, -1).act(-QUARTER, o3.spherical_harmonics(2, x, normalize=False)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: irrep(Permutation(3), 1), TypeError, "`group` must move vectors by a matrix, as O(3) does"),
        (lambda: irrep(O(2), 1), ValueError, "`group` must move space to have degrees, got O(2) in dimension 2"),
        (lambda: irrep(O3, -1), ValueError, "`degree` must be an integer of at least 0, got -1"),
        (lambda: irrep(O3, 1.5), ValueError, "`degree` must be an integer of at least 0, got 1.5"),
        (lambda: irrep(O3, 1, 0), ValueError, "`parity` must be 1, -1 or None, got 0"),
    ],
)
def test_errors(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()

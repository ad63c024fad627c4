"""Polynomials known by samples turn as the polynomials themselves do."""

from __future__ import annotations

import pytest
import torch

from graphgdl.groups import Cyclic, Dihedral, O, PolynomialSignal, direct_sum, frequency, monomials, standard, trivial

AXIS = torch.arange(-2, 3, dtype=torch.float64)
PLACES = torch.cartesian_prod(AXIS, AXIS)
FIELDS = {
    "O2": direct_sum([trivial(O(2)), frequency(O(2), 2)]),
    "C8": standard(Cyclic(8)),
    "D5": standard(Dihedral(5)),
}


def cubic(places: torch.Tensor, channels: int) -> torch.Tensor:
    """Written out, a polynomial of degree 3 for each channel."""
    x, y = places.T
    return torch.stack([1 - 2 * x * y + c * y + x**3 - 0.5 * c * x * y**2 for c in range(channels)], dim=1)


@pytest.mark.parametrize("name", FIELDS)
def test_samples_move_as_the_function_does(name):
    rho = FIELDS[name]
    signal = PolynomialSignal(rho, PLACES, 3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        g = rho.group.sample(generator)
        turned = cubic(PLACES @ rho.group.matrix(g), rho.size)  # the rows of places @ R are R^-1 p
        expected = turned @ rho.matrix(g).T
        got = signal.act(g, cubic(PLACES, rho.size))
        assert (got - expected).abs().max() < 1e-11 * expected.abs().max()


def test_it_is_an_action_on_any_samples():
    """Of what is no polynomial the nearest one moves, so that the identity is a projection."""
    rho = FIELDS["O2"]
    signal, generator = PolynomialSignal(rho, PLACES, 3), torch.Generator().manual_seed(1)
    x = torch.randn(25, 3, generator=generator, dtype=torch.float64)
    g, h = rho.group.sample(generator), rho.group.sample(generator)
    torch.testing.assert_close(
        signal.act(rho.group.compose(g, h), x), signal.act(g, signal.act(h, x)), rtol=1e-11, atol=1e-11
    )
    nearest = signal.act(rho.group.identity(), x)
    assert (nearest - x).norm() > 0.1
    assert (monomials(PLACES, 3).T @ (nearest - x)).abs().max() < 1e-10


def test_the_dtype_stays():
    signal = PolynomialSignal(FIELDS["C8"], PLACES, 2)
    moved = signal.act(torch.tensor([1, 0]), PLACES.float())
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved, PLACES.float())  # the field that points outwards


def test_too_few_places_are_refused():
    with pytest.raises(ValueError, match="`places` must tell the 15 monomials of degree 4 apart, got 16 that do not"):
        PolynomialSignal(FIELDS["C8"], torch.cartesian_prod(AXIS[:4], AXIS[:4]), 4)

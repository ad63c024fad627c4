r"""Polynomials sampled at places of the plane: signals that any turn moves exactly, on any grid.

.. math:: (g.x)(p) = \rho(g)\, x(g^{-1} p), \qquad x(p) = \sum_{a + b \le D} c_{a b}\, p_0^a\, p_1^b

A turn of a polynomial is one of the same degree D, so that the samples give it at the turned places without an error of
interpolation, beyond the border of the grid too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.groups.representation import Representation


def monomials(places: Tensor, degree: int) -> Tensor:
    """Return the monomials of total degree at most `degree` at places (n, 2), one a column.

    Example:
        >>> monomials(torch.tensor([[2.0, 3.0]]), 2).tolist()
        [[1.0, 3.0, 9.0, 2.0, 6.0, 4.0]]
    """
    powers = [(a, b) for a in range(degree + 1) for b in range(degree + 1 - a)]
    return torch.stack([places[:, 0] ** a * places[:, 1] ** b for a, b in powers], dim=1)


class PolynomialSignal:
    """A signal that is a polynomial about the origin, known by its samples; places and channels move together.

    Samples of anything else move as the polynomial nearest to them (least squares).

    Args:
        representation: of a group that moves points of the plane, such as `SO(2)`.
        places: float64 (n, 2).
        degree: largest total degree.

    Raises:
        ValueError: the places do not tell the polynomials apart.

    Example:
        >>> from graphgdl.groups import SO, trivial
        >>> places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        >>> eighth = torch.tensor([[0.5, -0.5], [0.5, 0.5]], dtype=torch.float64) * 2**0.5
        >>> slope = PolynomialSignal(trivial(SO(2)), places, 1).act(eighth, places[:, :1])
        >>> torch.allclose(slope.flatten(), torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64) * 2**0.5)
        True
    """

    def __init__(self, representation: Representation, places: Tensor, degree: int) -> None:
        self.group, self.representation = representation.group, representation
        self.degree, self.places = degree, places / places.abs().max()
        known = monomials(self.places, degree)
        if torch.linalg.matrix_rank(known) < known.size(1):
            raise ValueError(
                f"`places` must tell the {known.size(1)} monomials of degree {degree} apart, got {len(places)} that do not"
            )
        self._fit = torch.linalg.pinv(known)

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """Move floating x (n, size)."""
        sources = self.group.act(self.group.inverse(g), self.places)
        moved = monomials(sources, self.degree) @ (self._fit @ x.double())
        return self.representation.act(g, moved).to(x)

    def __repr__(self) -> str:
        return f"PolynomialSignal({self.representation}, degree={self.degree})"

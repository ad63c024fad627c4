"""Translations of a periodic grid together with its rotations and reflections: p4, p4m and their kin."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from graphgdl.groups.finite import Cyclic, Dihedral
from graphgdl.groups.group import FiniteGroup
from graphgdl.groups.signals import GridSymmetries
from graphgdl.groups.translations import Translations


class Semidirect(GridSymmetries, FiniteGroup):
    """Translations of a periodic grid of two axes by C_n or D_n: p -> R p + t, modulo the shape.

    An element is an int64 tensor (t0, t1, r, s), the shift and an element of `point`, which turns the grid about place
    (0, 0) from the first axis towards the second.

    Args:
        translations: of a periodic grid of two axes.
        point: `Cyclic(n)` or `Dihedral(n)` with n = 1, 2 or 4; n = 4 needs a square.

    Attributes:
        d: dimension of the plane, 2.

    Raises:
        ValueError: an open axis, another number of axes, or a turn that does not map the grid to itself.

    Example:
        >>> group = p4(3)
        >>> group.order
        36
        >>> quarter = group.about_center(torch.tensor([1, 0]))
        >>> image = torch.arange(9.0).view(3, 3)
        >>> torch.equal(group.act(quarter, image.view(9, 1)).view(3, 3), torch.rot90(image))
        True
    """

    d = 2

    def __init__(self, translations: Translations, point: Dihedral) -> None:
        if len(translations.shape) != 2 or not all(translations.periodic):
            raise ValueError(f"`translations` must be those of a periodic grid of two axes, got {translations}")
        if point.n not in (1, 2, 4):
            raise ValueError(f"`point` must turn by whole quarters, n = 1, 2 or 4, got {point}")
        if point.n == 4 and len(set(translations.shape)) > 1:
            raise ValueError(f"`translations` must be those of a square under {point}, got shape {translations.shape}")
        self.translations, self.point, self.shape = translations, point, translations.shape

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return torch.cat([self.translations.identity(), self.point.identity()])

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a uniformly random element."""
        return torch.cat([self.translations.sample(generator), self.point.sample(generator)])

    def elements(self) -> list[Tensor]:
        """Return all elements, the identity first."""
        return [torch.cat(pair) for pair in itertools.product(self.translations.elements(), self.point.elements())]

    @property
    def order(self) -> int:
        """Number of elements."""
        return self.translations.order * self.point.order

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h: the shift of h is turned by g."""
        (t, a), (u, b) = self.split(g), self.split(h)
        turned = self._turn(a, u[None])[0]
        return torch.cat([self.translations.compose(t, turned), self.point.compose(a, b)])

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        t, a = self.split(g)
        back = self.point.inverse(a)
        return torch.cat([self.translations.inverse(self._turn(back, t[None])[0]), back])

    def matrix(self, g: Tensor) -> Tensor:
        """Return the turn of g as a 2 x 2 matrix, float64: how it moves a vector at a node."""
        return self.point.matrix(self.split(g)[1])

    def source(self, g: Tensor) -> Tensor:
        """Return for each node the node whose value arrives there."""
        return self.node(self._places(self.inverse(g)))

    def about_center(self, point: Tensor) -> Tensor:
        """Return the element that turns the grid about its center by an element of `point`, as `torch.rot90` does.

        It permutes the nodes inside the grid, so that it acts on an open grid as well.
        """
        last = torch.tensor(self.shape) - 1
        corner = (last - last.double() @ self.point.matrix(point).T) / 2
        return torch.cat([corner.round().to(torch.int64) % torch.tensor(self.shape), point])

    def split(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shift and the turn of g."""
        if g.shape != (4,):
            raise ValueError(f"`g` must be int64 (t0, t1, r, s), got shape {tuple(g.shape)}")
        self.translations.check(g[:2])
        self.point.check(g[2:])
        return g[:2], g[2:]

    def _places(self, g: Tensor) -> Tensor:
        """Where g takes each node, int64 (n, 2)."""
        t, a = self.split(g)
        return (self._turn(a, self.places) + t) % torch.tensor(self.shape)

    def _turn(self, point: Tensor, places: Tensor) -> Tensor:
        return (places @ self.point.matrix(point).to(torch.int64).T) % torch.tensor(self.shape)

    def __repr__(self) -> str:
        return f"Semidirect({self.translations}, {self.point})"


def p4(size: int) -> Semidirect:
    """Return the shifts and quarter turns of a periodic square grid, size x size."""
    return Semidirect(Translations((size, size), periodic=True), Cyclic(4))


def p4m(size: int) -> Semidirect:
    """Return the shifts, quarter turns and reflections of a periodic square grid, size x size."""
    return Semidirect(Translations((size, size), periodic=True), Dihedral(4))

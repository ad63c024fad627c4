"""Rotations and reflections of a grid about its centre: they permute its nodes, so that an open grid has them too."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from graphgdl.groups.finite import Dihedral
from graphgdl.groups.group import FiniteGroup
from graphgdl.groups.semidirect import Semidirect
from graphgdl.groups.signals import GridSymmetries
from graphgdl.groups.translations import Translations


class Turns(GridSymmetries, FiniteGroup):
    """C_n or D_n acting on a grid of two axes about its centre, as `torch.rot90` turns an image; elements are of `point`.

    Args:
        shape: sizes of the two axes; n = 4 needs a square.
        point: `Cyclic(n)` or `Dihedral(n)` with n = 1, 2 or 4.

    Attributes:
        d: dimension of the plane, 2.

    Raises:
        ValueError: a turn that does not map the grid to itself.

    Example:
        >>> import torch
        >>> from graphgdl.groups import Cyclic
        >>> image = torch.arange(4.0).view(2, 2)
        >>> turned = Turns((2, 2), Cyclic(4)).act(torch.tensor([1, 0]), image.flatten())
        >>> torch.equal(turned.view(2, 2), torch.rot90(image))
        True
    """

    d = 2

    def __init__(self, shape: Sequence[int], point: Dihedral) -> None:
        self.on_torus = Semidirect(Translations(shape, periodic=True), point)
        self.shape, self.point = self.on_torus.shape, point

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return self.point.identity()

    def elements(self) -> list[Tensor]:
        """Return all elements, the identity first."""
        return self.point.elements()

    @property
    def order(self) -> int:
        """Number of elements."""
        return self.point.order

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h."""
        return self.point.compose(g, h)

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        return self.point.inverse(g)

    def matrix(self, g: Tensor) -> Tensor:
        """Return the turn as a 2 x 2 matrix, float64."""
        return self.point.matrix(g)

    def source(self, g: Tensor) -> Tensor:
        """Return for each node the node whose value arrives there."""
        return self.on_torus.source(self.on_torus.about_center(g))

    def __repr__(self) -> str:
        return f"Turns({self.shape}, {self.point})"

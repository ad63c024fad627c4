"""Motions of the plane: all translations together with a group of turns and reflections."""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.groups.finite import Dihedral
from graphgdl.groups.isometries import Isometries
from graphgdl.groups.orthogonal import O


class Motions(Isometries):
    """The motions x -> R x + t of the plane whose R are those of a group: of C_1 the translations, of SO(2) all of SE(2).

    An element is a float64 vector: t, then the entries of the element of `point`. As of `E`, there is no uniform
    distribution: `sample` draws the entries of t from a normal distribution.

    Args:
        point: `Cyclic(n)`, `Dihedral(n)`, `SO(2)` or `O(2)`.

    Attributes:
        d: dimension of the plane, 2.

    Raises:
        ValueError: another `point`.

    Example:
        >>> from graphgdl.groups import Cyclic
        >>> quarter = torch.tensor([5.0, 0.0, 1.0, 0.0], dtype=torch.float64)
        >>> Motions(Cyclic(4)).act(quarter, torch.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist()
        [[5.0, 1.0], [3.0, 0.0]]
    """

    d = 2

    def __init__(self, point: Dihedral | O) -> None:
        if not isinstance(point, Dihedral | O) or point.d != 2:
            raise ValueError(f"`point` must be Cyclic(n), Dihedral(n), SO(2) or O(2), got {point}")
        self.point = point

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return self._join(torch.zeros(2), self.point.identity())

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a random element: t normal, R as `point` samples it."""
        t = torch.randn(2, generator=generator, dtype=torch.float64)
        return self._join(t, self.point.sample(generator))

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h: the shift of h is turned by g."""
        return self._join(self.act(g, self.offset(h)), self.point.compose(self.turn(g), self.turn(h)))

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        back = self.point.inverse(self.turn(g))
        return self._join(-self.point.act(back, self.offset(g)), back)

    def matrix(self, g: Tensor) -> Tensor:
        """Return the linear part R of g."""
        return self.point.matrix(self.turn(g))

    def offset(self, g: Tensor) -> Tensor:
        """Return the translation t of g."""
        return self._check(g)[:2]

    def turn(self, g: Tensor) -> Tensor:
        """Return the element of `point` in g; a homomorphism."""
        one = self.point.identity()
        return self._check(g)[2:].view(one.shape).to(one.dtype)

    def _join(self, t: Tensor, turn: Tensor) -> Tensor:
        return torch.cat([t.double(), turn.flatten().double()])

    def _check(self, g: Tensor) -> Tensor:
        size = 2 + self.point.identity().numel()
        if g.shape != (size,) or g.dtype != torch.float64:
            raise ValueError(f"`g` must be a float64 vector ({size},), t and a turn, got {g.dtype} {tuple(g.shape)}")
        return g

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.point})"

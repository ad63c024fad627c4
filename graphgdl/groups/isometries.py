"""Groups of isometries of R^d and how they act on points: x -> R x + t."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from graphgdl.groups.group import Group, T


class Isometries(Group):
    """A group that moves the points of R^d by x -> R x + t, with R orthogonal.

    Attributes:
        d: dimension of the space.
    """

    d: int

    @abstractmethod
    def matrix(self, g: Tensor) -> Tensor:
        """Return the linear part R of g, float64 (d, d); a homomorphism: matrix(gh) = matrix(g) matrix(h)."""

    def offset(self, g: Tensor) -> Tensor:
        """Return the translation t of g, float64 (d,)."""
        return torch.zeros(self.d, dtype=torch.float64)

    def act(self, g: Tensor, x: T) -> T:
        """Move points.

        Args:
            g: the element.
            x: floating (..., d) points, or a `Data` whose `pos` (n, d) moves and nothing else; vectors beside the
                positions are moved by a `FieldAction`.

        Raises:
            TypeError: points that are not floating.
            ValueError: another dimension, or a `Data` without `pos`.
        """
        if isinstance(x, Tensor):
            if not x.is_floating_point():
                raise TypeError(f"`x` must hold floating points of R^{self.d}, got {x.dtype}; cast it")
            if x.dim() == 0 or x.size(-1) != self.d:
                raise ValueError(f"`x` must have shape (..., {self.d}) under {self}, got {tuple(x.shape)}")
            return x @ self.matrix(g).T.to(x) + self.offset(g).to(x)
        if x.get("pos") is None:
            raise ValueError(f"`x` must have `pos` (n, {self.d}) for {self} to move, got {x}; see `FieldAction`")
        out = x.clone()
        out.pos = self.act(g, x.pos)
        return out

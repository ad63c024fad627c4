"""Rotations and reflections of R^d: SO(d) and O(d)."""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.groups.isometries import Isometries

TOLERANCE = 1e-6
"""Largest entry of R^T R - 1 in an element: far above rounding, far below what is not a rotation."""


class O(Isometries):  # noqa: E742 - the name of the group
    """O(d): rotations and reflections that fix the origin; an element is its matrix, float64 (d, d).

    `sample` draws from the Haar measure. Source: Mezzadri (2007), How to generate random matrices from the classical
    compact groups, section 5: QR of Gaussians, with the signs of the diagonal of R moved into Q.

    Args:
        d: dimension, at least 1.

    Raises:
        ValueError: `d` is not positive.

    Example:
        >>> group = O(3)
        >>> g = group.sample(torch.Generator().manual_seed(0))
        >>> x = torch.tensor([3.0, 0.0, 4.0])
        >>> round(float(group.act(g, x).norm()), 5)
        5.0
    """

    def __init__(self, d: int) -> None:
        if d < 1:
            raise ValueError(f"`d` must be a dimension, at least 1, got {d}")
        self.d = d

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return torch.eye(self.d, dtype=torch.float64)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return an element drawn from the Haar measure."""
        q, r = torch.linalg.qr(torch.randn(self.d, self.d, generator=generator, dtype=torch.float64))
        return q * r.diagonal().sign()

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h."""
        return self.matrix(g) @ self.matrix(h)

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        return self.matrix(g).T.clone()

    def matrix(self, g: Tensor) -> Tensor:
        """Return g, checked to be an element."""
        check_orthogonal("g", g, self.d, proper=isinstance(self, SO))
        return g

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.d})"


class SO(O):
    """SO(d): rotations, the elements of `O` with determinant 1.

    Args:
        d: dimension, at least 1.

    Raises:
        ValueError: `d` is not positive.

    Example:
        >>> g = SO(2).sample(torch.Generator().manual_seed(0))
        >>> round(float(torch.linalg.det(g)), 12)
        1.0
    """

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return an element drawn from the Haar measure."""
        g = super().sample(generator)
        g[:, 0] *= torch.linalg.det(g).sign()  # a fixed reflection takes one half of O(d) to the other, measure and all
        return g


def check_orthogonal(name: str, g: Tensor, d: int, proper: bool) -> None:
    """Raise ValueError unless g is a float64 orthogonal matrix (d, d), with determinant 1 if `proper`."""
    if g.shape != (d, d) or g.dtype != torch.float64:
        raise ValueError(f"`{name}` must be a float64 matrix ({d}, {d}), got {g.dtype} {tuple(g.shape)}")
    gap = float((g.T @ g - torch.eye(d, dtype=g.dtype, device=g.device)).abs().max())
    if not gap <= TOLERANCE:
        raise ValueError(f"`{name}` must be orthogonal, got a matrix whose g^T g is {gap:.1e} away from 1")
    if proper and float(torch.linalg.det(g)) < 0:
        raise ValueError(f"`{name}` must have determinant 1, got -1; reflections belong to O({d}) and E({d})")

"""Rotations, reflections and translations of R^d together: E(d) and SE(d)."""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.groups.isometries import Isometries
from graphgdl.groups.orthogonal import SO, O, check_orthogonal


class E(Isometries):
    """E(d): all isometries x -> R x + t of R^d; an element is [[R, t], [0, 1]], float64 (d + 1, d + 1).

    The group is not compact and has no uniform distribution: `sample` draws R from the Haar measure of O(d), and the
    entries of t from a normal distribution.

    Args:
        d: dimension, at least 1.
        scale: standard deviation of the entries of t in a sample.

    Raises:
        ValueError: `d` is not positive, or `scale` is negative.

    Example:
        >>> group = E(2)
        >>> g = torch.tensor([[0, -1, 5], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
        >>> group.act(g, torch.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist()
        [[5.0, 1.0], [3.0, 0.0]]
    """

    def __init__(self, d: int, scale: float = 1.0) -> None:
        if not scale >= 0:
            raise ValueError(f"`scale` must be a standard deviation, at least 0, got {scale}")
        self.linear = self._linear(d)
        self.d, self.scale = d, float(scale)

    def _linear(self, d: int) -> O:
        return O(d)

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return torch.eye(self.d + 1, dtype=torch.float64)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a random element: R from the Haar measure, t normal."""
        rotation = self.linear.sample(generator)
        return self._element(rotation, self.scale * torch.randn(self.d, generator=generator, dtype=torch.float64))

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h."""
        return self._check(g) @ self._check(h)

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g: R^T and -R^T t."""
        back = self.matrix(g).T
        return self._element(back, -(back @ self.offset(g)))

    def matrix(self, g: Tensor) -> Tensor:
        """Return the linear part R of g."""
        return self._check(g)[:-1, :-1]

    def offset(self, g: Tensor) -> Tensor:
        """Return the translation t of g."""
        return self._check(g)[:-1, -1]

    def _element(self, rotation: Tensor, offset: Tensor) -> Tensor:
        out = self.identity().to(rotation)
        out[:-1, :-1], out[:-1, -1] = rotation, offset
        return out

    def _check(self, g: Tensor) -> Tensor:
        k = self.d + 1
        if g.shape != (k, k) or g.dtype != torch.float64:
            raise ValueError(f"`g` must be a float64 matrix ({k}, {k}), got {g.dtype} {tuple(g.shape)}")
        if g[-1].tolist() != [0.0] * self.d + [1.0] or not bool(g.isfinite().all()):
            raise ValueError(f"`g` must be [[R, t], [0, 1]] with finite entries, got {g.tolist()}")
        check_orthogonal("g[:-1, :-1]", g[:-1, :-1], self.d, proper=isinstance(self.linear, SO))
        return g

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.d})" if self.scale == 1 else f"{type(self).__name__}({self.d}, {self.scale})"
        )


class SE(E):
    """SE(d): rotations and translations, the elements of `E` that keep orientation.

    Args:
        d: dimension, at least 1.
        scale: standard deviation of the entries of t in a sample.

    Raises:
        ValueError: `d` is not positive, or `scale` is negative.

    Example:
        >>> group = SE(3)
        >>> g = group.sample(torch.Generator().manual_seed(0))
        >>> bool(torch.allclose(group.compose(g, group.inverse(g)), group.identity()))
        True
    """

    def _linear(self, d: int) -> O:
        return SO(d)

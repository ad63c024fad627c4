"""Rotations and reflections of a regular polygon: the cyclic and the dihedral groups, acting on the plane."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphgdl.groups.group import FiniteGroup
from graphgdl.groups.isometries import Isometries


class Dihedral(FiniteGroup, Isometries):
    """D_n: the 2 n rotations and reflections of a regular polygon with n corners.

    An element is an int64 tensor (r, s): the reflection of the second axis s times, then the rotation by 2 pi r / n from
    the first axis towards the second.

    Args:
        n: number of rotations.

    Raises:
        ValueError: `n` is no positive integer.

    Example:
        >>> group = Dihedral(4)
        >>> turn, flip = torch.tensor([1, 0]), torch.tensor([0, 1])
        >>> group.compose(turn, flip).tolist(), group.compose(flip, turn).tolist()
        ([1, 1], [3, 1])
        >>> group.act(turn, torch.tensor([1.0, 0.0])).tolist()
        [0.0, 1.0]
    """

    d = 2

    def __init__(self, n: int) -> None:
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"`n` must be a number of rotations, an integer of at least 1, got {n}")
        self.n = n

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return torch.zeros(2, dtype=torch.int64)

    def elements(self) -> list[Tensor]:
        """Return all elements: the rotations from the identity on, then each after the reflection."""
        return [torch.tensor([r, s]) for s in (0, 1) for r in range(self.n)]

    @property
    def order(self) -> int:
        """Number of elements."""
        return 2 * self.n

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h; a reflection turns the rotations that follow it the other way."""
        (r, s), (q, t) = self.check(g), self.check(h)
        return torch.tensor([(r - q if s else r + q) % self.n, s ^ t])

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g: the rotation back, or the reflection itself."""
        r, s = self.check(g)
        return torch.tensor([r if s else -r % self.n, s])

    def matrix(self, g: Tensor) -> Tensor:
        """Return the 2 x 2 matrix of g, float64; its entries are exactly 0, 1 and -1 where the angle is a right one."""
        r, s = self.check(g)
        cos, sin = _cos(r, self.n), _cos(4 * r - self.n, 4 * self.n)
        return torch.tensor([[cos, sin if s else -sin], [sin, -cos if s else cos]], dtype=torch.float64)

    def check(self, g: Tensor) -> list[int]:
        """Return r and s; raise ValueError unless g is an element."""
        values = g.tolist() if g.shape == (2,) and g.dtype == torch.int64 else [-1, -1]
        if not (0 <= values[0] < self.n and 0 <= values[1] < self.order // self.n):
            bits = "0 or 1" if self.order > self.n else "0"
            raise ValueError(f"`g` must be int64 (r, s) with r in 0 .. {self.n - 1} and s {bits}, got {g}")
        return values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n})"


class Cyclic(Dihedral):
    """C_n: the n rotations of a regular polygon; elements (r, 0) as in `Dihedral`.

    Args:
        n: number of rotations.

    Raises:
        ValueError: `n` is no positive integer.

    Example:
        >>> group = Cyclic(3)
        >>> group.compose(torch.tensor([2, 0]), torch.tensor([2, 0])).tolist()
        [1, 0]
        >>> group.order
        3
    """

    def elements(self) -> list[Tensor]:
        """Return the rotations, the identity first."""
        return super().elements()[: self.n]

    @property
    def order(self) -> int:
        """Number of elements."""
        return self.n


def _cos(k: int, n: int) -> float:
    """cos(2 pi k / n), folded into the first quarter of the circle, so that right angles are exact."""
    k = abs((k + n // 2) % n - n // 2) if n > 1 else 0
    if 4 * k == n:
        return 0.0
    return math.cos(2 * math.pi * k / n) if 4 * k < n else -math.cos(math.pi * (n - 2 * k) / n)

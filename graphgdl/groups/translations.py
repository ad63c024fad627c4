"""Translations of a regular grid, periodic or open."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from graphgdl.groups.group import FiniteGroup
from graphgdl.groups.signals import GridSymmetries


class Translations(GridSymmetries, FiniteGroup):
    """Shifts of a grid by whole steps; an element is the shift, int64 (d,), and the value at p moves to p + g.

    Along a periodic axis shifts are numbers modulo its size. Along an open axis values that leave are lost and zeros come
    in: the shifts are the group Z, but what they do is an action only as long as nothing but zeros leaves. A law under
    open translations therefore holds for signals that keep a margin of zeros as wide as the shift.

    Args:
        shape: sizes of the axes, each at least 1.
        periodic: whether the axes close to a ring: one flag, or one for each axis.
        reach: a sample moves an open axis by a uniform number of steps in -reach .. reach.

    Raises:
        ValueError: sizes, flags or reach out of range.

    Example:
        >>> group = Translations((4,), periodic=True)
        >>> group.act(torch.tensor([1]), torch.tensor([10, 20, 30, 40])).tolist()
        [40, 10, 20, 30]
        >>> Translations((4,)).act(torch.tensor([1]), torch.tensor([10, 20, 30, 40])).tolist()
        [0, 10, 20, 30]
    """

    def __init__(self, shape: Sequence[int], periodic: bool | Sequence[bool] = False, reach: int = 1) -> None:
        if not shape or any(size < 1 for size in shape):
            raise ValueError(f"`shape` must be the sizes of at least one axis, each at least 1, got {tuple(shape)}")
        flags = (periodic,) * len(shape) if isinstance(periodic, bool) else tuple(map(bool, periodic))
        if len(flags) != len(shape):
            raise ValueError(f"`periodic` must be one flag or {len(shape)}, one for each axis, got {len(flags)}")
        if reach < 0:
            raise ValueError(f"`reach` must be a number of steps, at least 0, got {reach}")
        self.shape, self.periodic, self.reach = tuple(shape), flags, reach

    def identity(self) -> Tensor:
        """Return the shift by nothing."""
        return torch.zeros(len(self.shape), dtype=torch.int64)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a random shift, uniform along periodic axes and within `reach` along open ones."""
        bounds = [(0, s) if ring else (-self.reach, self.reach + 1) for s, ring in zip(self.shape, self.periodic)]
        return torch.cat([torch.randint(low, high, (1,), generator=generator) for low, high in bounds])

    def elements(self) -> list[Tensor]:
        """Return all shifts of a periodic grid, the identity first.

        Raises:
            ValueError: an open axis.
        """
        self._check_finite()
        return [torch.tensor(shift) for shift in itertools.product(*map(range, self.shape))]

    @property
    def order(self) -> int:
        """Number of shifts of a periodic grid."""
        self._check_finite()
        return math.prod(self.shape)

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return the sum of the shifts."""
        return self._wrap(self.check(g) + self.check(h))

    def inverse(self, g: Tensor) -> Tensor:
        """Return the shift back."""
        return self._wrap(-self.check(g))

    def source(self, g: Tensor) -> Tensor:
        """Return for each node the node whose value arrives there, -1 where none does."""
        return self.node(self._wrap(self.places - self.check(g)))

    def _wrap(self, places: Tensor) -> Tensor:
        return torch.where(torch.tensor(self.periodic), places % torch.tensor(self.shape), places)

    def check(self, g: Tensor) -> Tensor:
        """Return g; raise ValueError unless it is a shift of this grid."""
        if g.shape != (len(self.shape),) or g.dtype != torch.int64 or not torch.equal(self._wrap(g), g):
            axes = " and ".join(
                f"{i} in 0 .. {s - 1}" for i, (s, ring) in enumerate(zip(self.shape, self.periodic)) if ring
            )
            raise ValueError(f"`g` must be an int64 shift ({len(self.shape)},){', axis ' * bool(axes)}{axes}, got {g}")
        return g

    def _check_finite(self) -> None:
        if not all(self.periodic):
            raise ValueError(f"`periodic` must hold for every axis to list the shifts, got {self.periodic}")

    def __repr__(self) -> str:
        reach = "" if self.reach == 1 else f", reach={self.reach}"
        return f"Translations({self.shape}, periodic={self.periodic}{reach})"

"""Direct products of groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from graphgdl.groups.group import FiniteGroup, Group, T


class DirectProduct(FiniteGroup):
    """Pairs, triples, ... of elements, one of each group, that compose and act factor by factor.

    An element is a vector: the entries of its factors one after another, float64 if one of the factors' elements is.
    It acts by its factors in order, so these have to commute: permutations of the nodes and rotations of their positions
    do, two groups that turn the same vectors about different axes do not.

    Args:
        factors: the groups, at least one.

    Raises:
        ValueError: no factor.

    Example:
        >>> from graphgdl.groups import SO, Permutation
        >>> group = DirectProduct([Permutation(2), SO(2)])
        >>> g = group.join([torch.tensor([1, 0]), torch.tensor([[0, -1], [1, 0]], dtype=torch.float64)])
        >>> group.act(g, torch.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist()
        [[-2.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, factors: Sequence[Group]) -> None:
        if not factors:
            raise ValueError("`factors` must hold at least one group, got none")
        self.factors = tuple(factors)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the element with the given elements of the factors."""
        if len(parts) != len(self.factors):
            raise ValueError(f"`parts` must hold an element of each of {len(self.factors)} factors, got {len(parts)}")
        dtype = torch.float64 if any(part.is_floating_point() for part in parts) else torch.int64
        return torch.cat([part.flatten().to(dtype) for part in parts])

    def split(self, g: Tensor) -> list[Tensor]:
        """Return the elements of the factors."""
        ones = [factor.identity() for factor in self.factors]
        total = sum(one.numel() for one in ones)
        if g.shape != (total,):
            raise ValueError(f"`g` must be a vector of the {total} entries of its factors, got shape {tuple(g.shape)}")
        parts = g.split([one.numel() for one in ones])
        return [part.view(one.shape).to(one.dtype) for part, one in zip(parts, ones)]

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return self.join([factor.identity() for factor in self.factors])

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a random element, its factors independent."""
        return self.join([factor.sample(generator) for factor in self.factors])

    def elements(self) -> list[Tensor]:
        """Return all elements, the identity first.

        Raises:
            TypeError: a factor is not finite.
        """
        return [self.join(parts) for parts in itertools.product(*(factor.elements() for factor in self._finite()))]

    @property
    def order(self) -> int:
        """Number of elements."""
        return math.prod(factor.order for factor in self._finite())

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h."""
        parts = zip(self.factors, self.split(g), self.split(h))
        return self.join([factor.compose(a, b) for factor, a, b in parts])

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        return self.join([factor.inverse(part) for factor, part in zip(self.factors, self.split(g))])

    def act(self, g: Tensor, x: T) -> T:
        """Move x by each factor in turn; see their `act`."""
        for factor, part in zip(self.factors, self.split(g)):
            x = factor.act(part, x)
        return x

    def _finite(self) -> list[FiniteGroup]:
        for factor in self.factors:
            if not isinstance(factor, FiniteGroup):
                raise TypeError(f"`factors` must be finite groups to list their elements, got {factor}")
        return [factor for factor in self.factors if isinstance(factor, FiniteGroup)]

    def __repr__(self) -> str:
        return f"DirectProduct([{', '.join(map(repr, self.factors))}])"

"""Transformations of a chosen size: from the identity at size 0 outwards, in a random direction."""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphgdl.groups import E, FieldAction, O

T = TypeVar("T", Tensor, Data)


class Path(Protocol):
    """Transformations with a size; with a method `inverse(g)` a curve also shows how exact their action is."""

    def of_size(self, size: float, generator: torch.Generator) -> Any:
        """Return a random transformation of this size; a generator in the same state gives the same direction."""

    def act(self, g: Any, x: T) -> T:
        """Move the input, a `Data`, or an output, a tensor."""


class _Isometric:
    def __init__(self, action: O | E | FieldAction) -> None:
        self.action = action
        self.group: Any = action.group if isinstance(action, FieldAction) else action
        if not isinstance(self.group, self._groups):
            names = " or ".join(f"{group.__name__}(d)" for group in self._groups)
            raise TypeError(f"`action` must be that of {names}, got {action}")

    _groups: tuple[type, ...]

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        return self.action.inverse(g)

    def act(self, g: Tensor, x: T) -> T:
        """Move a `Data` or an output."""
        return self.action.act(g, x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.action})"


class Rotations(_Isometric):
    """Rotations of the points of R^d by an angle, in a random plane.

    Args:
        action: `SO(d)`, `O(d)`, `SE(d)` or `E(d)`, or a `FieldAction` of one of them.

    Raises:
        TypeError: another group.
        ValueError: a line, which has no rotations.

    Example:
        >>> path = Rotations(O(2))
        >>> g = path.of_size(math.pi, torch.Generator().manual_seed(0))
        >>> path.act(g, torch.tensor([[1.0, 2.0]])).round(decimals=6).tolist()
        [[-1.0, -2.0]]
    """

    _groups = (O, E)

    def __init__(self, action: O | E | FieldAction) -> None:
        super().__init__(action)
        if self.group.d < 2:
            raise ValueError(f"`action` must be of a space of 2 dimensions or more to rotate, got {action}")

    def of_size(self, size: float, generator: torch.Generator) -> Tensor:
        """Return a rotation by the angle `size`, in radians."""
        d = self.group.d
        turn = torch.eye(d, dtype=torch.float64)
        turn[0, 0] = turn[1, 1] = math.cos(size)
        turn[1, 0] = math.sin(size)
        turn[0, 1] = -turn[1, 0]
        basis = O(d).sample(generator)
        g = self.group.identity()
        g[:d, :d] = basis @ turn @ basis.T
        return g


class Shifts(_Isometric):
    """Translations of the points of R^d by a length, in a random direction.

    Args:
        action: `SE(d)` or `E(d)`, or a `FieldAction` of one of them.

    Raises:
        TypeError: another group.

    Example:
        >>> g = Shifts(E(3)).of_size(2.0, torch.Generator().manual_seed(0))
        >>> round(float(E(3).offset(g).norm()), 9)
        2.0
    """

    _groups = (E,)

    def of_size(self, size: float, generator: torch.Generator) -> Tensor:
        """Return a translation by the length `size`."""
        d = self.group.d
        direction = torch.randn(d, generator=generator, dtype=torch.float64)
        g = self.group.identity()
        g[:d, d] = size * direction / direction.norm()
        return g

"""What a group is here: elements are tensors, and they act on tensors and on whole `Data`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data

T = TypeVar("T", Tensor, Data)


class Group(ABC):
    """A group with an action. Two groups are equal if they are of one class with the same parameters.

    Elements are on the CPU; what they move may be on any device, in any floating dtype.
    """

    @abstractmethod
    def identity(self) -> Tensor:
        """Return the element that moves nothing."""

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a random element."""

    @abstractmethod
    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h: act(compose(g, h), x) = act(g, act(h, x))."""

    @abstractmethod
    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""

    @abstractmethod
    def act(self, g: Tensor, x: T) -> T:
        """Move a tensor or a `Data` by g; the argument stays as it is."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))


class FiniteGroup(Group):
    """A group whose elements can be listed."""

    @abstractmethod
    def elements(self) -> list[Tensor]:
        """Return all elements, the identity first."""

    @property
    @abstractmethod
    def order(self) -> int:
        """Number of elements."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a uniformly random element."""
        return self.elements()[int(torch.randint(self.order, (), generator=generator))]

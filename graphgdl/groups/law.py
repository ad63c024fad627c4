"""Laws as data: what a module promises under which group, so that one harness can prove it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

Kind = Literal["exact", "subgroup", "limit", "distribution"]


class Maps(Protocol):
    """What a law quantifies over: a `Group`, or maps without an inverse such as cutting off the end of a sequence."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a random element."""

    def act(self, g: Tensor, x: Any) -> Any:
        """Move a `Data` or a tensor."""


@dataclass(frozen=True)
class Law:
    r"""A promise of a module f.

    .. math:: f(g.x) = g.f(x) \quad \text{or} \quad f(g.x) = f(x)

    A module states its laws by a method `laws(data) -> tuple[Law, ...]`: what holds on inputs like this one.

    Args:
        group: draws the elements for which the law is claimed, and moves by `act` the input, a `Data`, and each tensor
            that the module returns. A `FieldAction` moves some attributes and the output each in its own way.
        statement: the law in a few words, for a table: "permutations of the nodes".
        kind: `exact`, up to rounding for every element; `subgroup`, exact, but only for the elements that `group` draws out
            of a larger group; `limit`, the error falls with the resolution at the stated order; `distribution`, equal in
            expectation.
        invariant: whether the output stays as it is.
        order: for a `limit`, the power of the spacing with which the error falls.

    Raises:
        ValueError: an unknown kind, or an order without a limit, or a limit without an order.
    """

    group: Maps
    statement: str
    kind: Kind = "exact"
    invariant: bool = False
    order: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("exact", "subgroup", "limit", "distribution"):
            raise ValueError(f"`kind` must be 'exact', 'subgroup', 'limit' or 'distribution', got {self.kind!r}")
        if (self.kind == "limit") != (self.order is not None):
            raise ValueError(f"`order` belongs to kind 'limit' and to no other, got {self.order} with {self.kind!r}")

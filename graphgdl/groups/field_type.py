"""Field types: how the channels at each place of a domain transform."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphgdl.groups.finite import Cyclic
from graphgdl.groups.group import Group
from graphgdl.groups.representation import Representation, trivial


@dataclass(frozen=True)
class FieldType:
    """So many copies of a representation, one after another in the channels of each node.

    Layers carry theirs as `in_type` and `out_type`; channels that do not transform have the type `scalars(c)`.

    Args:
        representation: of the group that mixes the channels.
        multiplicity: how many copies.

    Raises:
        ValueError: fewer than one copy.

    Example:
        >>> from graphgdl.groups import Cyclic, regular
        >>> fields = FieldType(regular(Cyclic(4)), 8)
        >>> fields, fields.size
        (8 x regular of Cyclic(4), 32)
        >>> scalars(8)
        8 scalar channels
    """

    representation: Representation
    multiplicity: int = 1

    def __post_init__(self) -> None:
        if self.multiplicity < 1:
            raise ValueError(f"`multiplicity` must be a number of copies, at least 1, got {self.multiplicity}")

    @property
    def group(self) -> Group:
        """The group that mixes the channels."""
        return self.representation.group

    @property
    def size(self) -> int:
        """Number of channels."""
        return self.multiplicity * self.representation.size

    def copies(self, x: Tensor) -> Tensor:
        """Return x (..., size) with one row for each copy, (..., multiplicity, representation.size).

        Raises:
            ValueError: x has another number of channels.
        """
        if x.dim() == 0 or x.size(-1) != self.size:
            raise ValueError(f"`x` must have shape (..., {self.size}) to be of type {self}, got {tuple(x.shape)}")
        return x.unflatten(-1, (self.multiplicity, -1))

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """Transform x (..., size), copy by copy."""
        return self.representation.act(g, self.copies(x)).flatten(-2)

    def __repr__(self) -> str:
        if self.representation == trivial(Cyclic(1)):
            return f"{self.size} scalar channel{'s' * (self.size > 1)}"
        return f"{self.multiplicity} x {self.representation}"


def scalars(channels: int) -> FieldType:
    """Return the type of channels that do not transform."""
    return FieldType(trivial(Cyclic(1)), channels)

"""Layers that act at each node alone, on channels of a stated type."""

from __future__ import annotations

from torch import nn
from torch_geometric.data import Data

from graphgdl.groups import FieldAction, FieldType, Law, Permutation, trivial


class OnFields(nn.Module):
    """A layer that takes each node's channels from one type to another, whatever the domain.

    Args:
        in_type: type of the channels that come in.
        out_type: type of those that go out; default: the same.

    Raises:
        TypeError: no `FieldType`.
    """

    def __init__(self, in_type: FieldType, out_type: FieldType | None = None) -> None:
        if not isinstance(in_type, FieldType):
            raise TypeError(
                f"`field_type` must be a FieldType, got {type(in_type).__name__}; for channels that do not transform take "
                f"`scalars(c)`"
            )
        super().__init__()
        self.in_type, self.out_type = in_type, out_type or in_type

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return the permutations of the nodes, and the group of the channels where these transform."""
        group = self.in_type.group
        nodes = Law(Permutation(int(data.num_nodes or 0)), "permutations of the nodes")
        if self.in_type.representation == trivial(group):
            return (nodes,)
        channels = FieldAction(group, {"x": self.in_type}, output=self.out_type)
        invariant = self.out_type.representation == trivial(group)
        return nodes, Law(channels, f"{group} on the channels", invariant=invariant)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_type})"

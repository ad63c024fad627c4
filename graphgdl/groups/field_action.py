"""Fields: the attributes of a `Data`, each with the way it transforms, moved by one group element together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from graphgdl.groups.group import Group, T
from graphgdl.groups.representation import Representation


class Action(Protocol):
    """Anything that moves a tensor by a group element: a `Group`, a `Representation`, a `Signal`."""

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """Return x moved by g."""


class Signal:
    r"""A signal on a domain with values in a representation: places and channels move together.

    .. math:: (g.x)(p) = \rho(g)\, x(g^{-1} p)

    Args:
        representation: of a group that moves places, such as `p4(8)`.

    Example:
        >>> from graphgdl.groups import p4, standard
        >>> group = p4(2)
        >>> arrows = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
        >>> Signal(standard(group)).act(group.about_center(torch.tensor([1, 0])), arrows).tolist()
        [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, representation: Representation) -> None:
        self.group, self.representation = representation.group, representation

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """Move x (n, ..., size)."""
        return self.representation.act(g, self.group.act(g, x))

    def __repr__(self) -> str:
        return f"Signal({self.representation})"


class FieldAction(Group):
    """A group that moves the listed attributes of a `Data`, each in its own way, and leaves the others as they are.

    Args:
        group: the group.
        fields: attribute -> how it moves: the group itself (points, places), a `Representation` of it (vectors and other
            channels, node by node), or a `Signal`.
        output: how a tensor moves, that is the output of a module; default: not at all.

    Raises:
        ValueError: no field, or one of another group.

    Example:
        >>> from graphgdl.groups import E, standard
        >>> from torch_geometric.data import Data
        >>> group = E(3)
        >>> action = FieldAction(group, {"pos": group, "velocity": standard(group)}, output=standard(group))
        >>> data = Data(pos=torch.zeros(1, 3), velocity=torch.zeros(1, 3), x=torch.ones(1, 1))
        >>> g = torch.eye(4, dtype=torch.float64)
        >>> g[0, 3] = 7.0
        >>> moved = action.act(g, data)
        >>> moved.pos.tolist(), moved.velocity.tolist(), moved.x.tolist()
        ([[7.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], [[1.0]])
    """

    def __init__(self, group: Group, fields: Mapping[str, Action], output: Action | None = None) -> None:
        if not fields:
            raise ValueError("`fields` must name at least one attribute that moves, got none")
        for name, action in [*fields.items(), *([] if output is None else [("output", output)])]:
            if action != group and getattr(action, "group", None) != group:
                raise ValueError(f"`{name}` must move under {group}, got {action}")
        self.group, self.fields, self.output = group, dict(fields), output

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return self.group.identity()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a random element of the group."""
        return self.group.sample(generator)

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h."""
        return self.group.compose(g, h)

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        return self.group.inverse(g)

    def act(self, g: Tensor, x: T) -> T:
        """Move the fields of a `Data`, or an output.

        Raises:
            ValueError: the `Data` lacks a field.
        """
        if isinstance(x, Tensor):
            return x if self.output is None else self.output.act(g, x)
        out = x.clone()
        for key, action in self.fields.items():
            if x.get(key) is None:
                raise ValueError(f"`x` must have the field `{key}`, got {x}")
            out[key] = action.act(g, x[key])
        return out

    def __repr__(self) -> str:
        return f"FieldAction({self.group}, {self.fields}, output={self.output})"

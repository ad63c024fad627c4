"""Pullback: a group acts through a homomorphism into another group, for instance that of a coarser grid."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from graphgdl.groups.field_action import Action
from graphgdl.groups.group import Group


class Pullback:
    r"""The action of `group` in which g does what h(g) does in `action`.

    .. math:: g.x = h(g).x, \qquad h(g g') = h(g) h(g')

    Args:
        group: the group that acts.
        homomorphism: from `group` to the group of `action`.
        action: has `act(h, x)`.

    Example:
        >>> import torch
        >>> from graphgdl.groups import Cyclic
        >>> twice = Pullback(Cyclic(8), lambda g: torch.tensor([int(g[0]) % 4, 0]), Cyclic(4))
        >>> twice.act(torch.tensor([5, 0]), torch.tensor([1.0, 0.0])).tolist()
        [0.0, 1.0]
    """

    def __init__(self, group: Group, homomorphism: Callable[[Tensor], Tensor], action: Action) -> None:
        self.group, self.homomorphism, self.action = group, homomorphism, action

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """Return x moved by g."""
        return self.action.act(self.homomorphism(g), x)

    def __repr__(self) -> str:
        return f"Pullback({self.group}, {self.action})"

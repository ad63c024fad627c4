"""Shifts of a coarse grid as they move a finer one: by multiples of a stride."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphgdl.groups.pullback import Pullback
from graphgdl.groups.translations import Translations


class Multiples(Pullback):
    r"""How the shifts of one periodic grid move another, such as a finer one by multiples of a stride s.

    .. math:: (g.x)(p) = x(p - s g)

    What a layer with stride s promises: a shift of its input by s g moves its output by g. It is an action of the first
    grid's group, as `FieldAction` takes it.

    Args:
        group: shifts of the first grid, periodic along every axis; an axis of size 1 moves nothing.
        grid: shifts of the grid that is moved, with as many axes.
        steps: s, one for each axis.

    Raises:
        ValueError: axes that do not match, or a step by which going round the first grid is not going round the other.

    Example:
        >>> coarse, fine = Translations((2,), periodic=True), Translations((4,), periodic=True)
        >>> Multiples(coarse, fine, (2,)).act(torch.tensor([1]), torch.tensor([10, 20, 30, 40])).tolist()
        [30, 40, 10, 20]
    """

    def __init__(self, group: Translations, grid: Translations, steps: Sequence[int]) -> None:
        if not len(group.shape) == len(grid.shape) == len(steps) or not all(group.periodic):
            raise ValueError(
                f"`group` must be periodic, with the axes of `grid` and `steps`, got {group}, {grid} and {tuple(steps)}"
            )
        for n, m, s, ring in zip(group.shape, grid.shape, steps, grid.periodic):
            if n > 1 and (not ring or n * s % m):
                raise ValueError(
                    f"`steps` must take {group} round {grid}, got {tuple(steps)}; let an axis that cannot have size 1 in "
                    f"`group`"
                )
        super().__init__(group, self._shift, grid)
        self.grid, self.steps = grid, tuple(steps)

    def _shift(self, g: Tensor) -> Tensor:
        shift, ring = g * torch.tensor(self.steps), torch.tensor(self.grid.periodic)
        return torch.where(ring, shift % torch.tensor(self.grid.shape), shift)

    def __repr__(self) -> str:
        return f"Multiples({self.group}, {self.grid}, {self.steps})"

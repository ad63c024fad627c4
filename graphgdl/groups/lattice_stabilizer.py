"""Those symmetries of a periodic grid that map a coarser lattice inside it to itself: what a stride leaves."""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.groups.group import Group, T
from graphgdl.groups.semidirect import Semidirect
from graphgdl.groups.translations import Translations


class LatticeStabilizer(Group):
    r"""The elements of p4m and its kin that map the places s i + c of a periodic grid, i integers, to one another.

    .. math:: (t, R): \quad t \equiv c - R c \pmod s

    They move what was computed at those places as `coarse(g)` moves the grid of the i.

    Args:
        whole: the symmetries of the grid.
        step: spacing s of the lattice; it divides both sizes.
        twice_center: 2 c, an integer, the same along both axes (c may lie between two nodes).

    Attributes:
        lattice: the symmetries of the grid of the i.

    Raises:
        ValueError: `step` does not divide a size.

    Example:
        >>> from graphgdl.groups import p4
        >>> group = LatticeStabilizer(p4(4), step=2, twice_center=1)
        >>> g = torch.tensor([3, 0, 1, 0])  # a quarter turn about the centre of the grid
        >>> torch.equal(g, group.whole.about_center(torch.tensor([1, 0]))), group.coarse(g).tolist()
        (True, [1, 0, 1, 0])
    """

    def __init__(self, whole: Semidirect, step: int, twice_center: int) -> None:
        if any(size % step for size in whole.shape):
            raise ValueError(f"`step` must divide the sizes {whole.shape} of the periodic grid, got {step}")
        self.whole, self.step, self.twice_center = whole, step, twice_center
        sizes = [size // step for size in whole.shape]
        self.lattice = Semidirect(Translations(sizes, periodic=True), whole.point)

    def identity(self) -> Tensor:
        """Return the element that moves nothing."""
        return self.whole.identity()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a uniformly random element."""
        shift, point = self.lattice.split(self.lattice.sample(generator))
        return torch.cat([(self.step * shift + self._swing(point)) % torch.tensor(self.whole.shape), point])

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """Return g after h."""
        return self.whole.compose(g, h)

    def inverse(self, g: Tensor) -> Tensor:
        """Return the element that undoes g."""
        return self.whole.inverse(g)

    def act(self, g: Tensor, x: T) -> T:
        """Move a signal on the fine grid."""
        return self.whole.act(g, x)

    def coarse(self, g: Tensor) -> Tensor:
        """Return how g moves the lattice, an element of `lattice`.

        Raises:
            ValueError: g does not map the lattice to itself.
        """
        shift, point = self.whole.split(g)
        rest = (shift - self._swing(point)) % torch.tensor(self.whole.shape)
        if bool((rest % self.step).any()):
            raise ValueError(f"`g` must map the places {self.step} i + {self.twice_center} / 2 to themselves, got {g}")
        return torch.cat([rest // self.step, point])

    def _swing(self, point: Tensor) -> Tensor:
        """How far a turn about place 0 moves c, the other way: c - R c."""
        turn = self.whole.point.matrix(point).to(torch.int64)
        return self.twice_center * (1 - turn.sum(dim=1)) // 2

    def __repr__(self) -> str:
        return f"LatticeStabilizer({self.whole}, {self.step}, {self.twice_center})"

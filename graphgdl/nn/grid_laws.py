"""The law of a layer on a periodic grid: translations, by multiples of the stride where it has one."""

from __future__ import annotations

from typing import Protocol

from torch_geometric.data import Data

from graphgdl.domains.structure import Grid
from graphgdl.groups import FieldAction, Law, Multiples, Translations


class Regrids(Protocol):
    """A layer that says on which grid its output lives."""

    def grid(self, structure: Grid) -> Grid:
        """Return the grid of the output's nodes."""


def translation_laws(layer: Regrids, data: Data) -> tuple[Law, ...]:
    """Return the law of translations along the axes that are periodic before and after a layer; with none there is no law.

    Strides are read off the two grids: a shift of the coarser one by one place is one of the finer by several. Nothing is
    stated of a batch: the law is that of each grid.

    Raises:
        ValueError: `data` holds no grid.
    """
    before = data.get("structure")
    if not isinstance(before, Grid):
        raise ValueError(f"`data` must hold a Grid as its `structure`, got {before}")
    if before.num_graphs != 1:
        return ()
    after = layer.grid(before)
    axes = list(zip(before.shape, after.shape, after.periodic))
    places = [min(n, m) if ring else 1 for n, m, ring in axes]
    if all(size == 1 for size in places):
        return ()
    group = Translations(places, periodic=True)
    moves = [
        Multiples(group, Translations(g.shape, g.periodic), [n // c for n, c in zip(g.shape, places)])
        for g in (before, after)
    ]
    law = FieldAction(group, {"x": moves[0]}, output=moves[1])
    steps = [s if c > 1 else 0 for s, c in zip(moves[0].steps, places)]
    if max(steps) == 1:
        return (Law(law, "translations of the periodic grid"),)
    return (Law(law, f"translations by multiples of {'x'.join(map(str, steps))}", "subgroup"),)

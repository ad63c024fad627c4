"""The law of a layer on a periodic grid: translations, by multiples of the stride where it has one."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Protocol

from torch_geometric.data import Data

from graphgdl.domains.structure import Grid
from graphgdl.groups import FieldAction, Law, Multiples, Translations


class Regrids(Protocol):
    """A layer that says on which grid its output lives."""

    def grid(self, structure: Grid) -> Grid:
        """Return the grid of the output's nodes."""


def translation_laws(layer: Regrids, data: Data) -> tuple[Law, ...]:
    """Return the law of translations for a layer on the grid of `data`; see `translations_of`."""
    before = grid_of(data)
    return translations_of([before, layer.grid(before)])


def grid_of(data: Data) -> Grid:
    """Return the grid of an input.

    Raises:
        ValueError: there is none.
    """
    structure = data.get("structure")
    if not isinstance(structure, Grid):
        raise ValueError(f"`data` must hold a Grid as its `structure`, got {structure}")
    return structure


def translations_of(grids: Sequence[Grid], invariant: bool = False) -> tuple[Law, ...]:
    """Return the law of translations along the axes that are periodic on all grids of a network, in order; else no law.

    Strides are read off the grids: a shift of the coarsest by one place is one of the others by several. Nothing is stated
    of a batch: the law is that of each grid.

    Args:
        grids: where the features live, from the input to the output, or to what is pooled.
        invariant: whether all places are pooled at last.
    """
    if grids[0].num_graphs != 1:
        return ()
    rings = [all(flags) for flags in zip(*(g.periodic for g in grids))]
    places = [gcd(*sizes) if ring else 1 for ring, sizes in zip(rings, zip(*(g.shape for g in grids)))]
    if all(size == 1 for size in places):
        return ()
    group = Translations(places, periodic=True)
    first, last = (
        Multiples(group, Translations(g.shape, g.periodic), [n // c for n, c in zip(g.shape, places)])
        for g in (grids[0], grids[-1])
    )
    law = FieldAction(group, {"x": first}, output=last)
    steps = [s if c > 1 else 0 for s, c in zip(first.steps, places)]
    if max(steps) == 1:
        return (Law(law, "translations of the periodic grid", invariant=invariant),)
    return (Law(law, f"translations by multiples of {'x'.join(map(str, steps))}", "subgroup", invariant),)

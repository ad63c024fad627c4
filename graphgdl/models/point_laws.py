"""The law of a whole under the group of its channels: turns, reflections, and what they do to places."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from graphgdl.groups import (
    FieldAction,
    FieldType,
    LatticeStabilizer,
    Law,
    Motions,
    Permutation,
    Pullback,
    Translations,
    Turns,
)
from graphgdl.groups.signals import GridSymmetries
from graphgdl.models.laws import AT_EACH_NODE, SYMMETRIC, Trace, stated
from graphgdl.models.state import State, arguments, is_local
from graphgdl.models.types import is_trivial
from graphgdl.nn.coarsening import Coarsening

Embedding = Callable[[Tensor], Tensor]


def point_laws(in_type: FieldType | None, out_type: FieldType | None, run: Trace) -> tuple[Law, ...]:
    """Return the law of the group that every layer obeys which sees positions or places; none where they share none.

    Layers that see neither have it, since they take channels that do not transform, or commute with those that do.

    Args:
        in_type, out_type: of the whole.
        run: what each layer sees.
    """
    seeing = [(layer, state) for layer, state in run.steps if not _is_blind(layer)]
    laws = [_point_law(layer, state) for layer, state in seeing]
    if not laws or None in laws or out_type is None:
        return ()
    first, last = laws[0].group, laws[-1].group
    if "x" in first.fields and in_type != getattr(seeing[0][0], "in_type", None):
        return ()
    common = _in_turn([law.group.group for law in laws])
    if common is None:
        return ()
    group, embed = common
    on_grid = isinstance(group, GridSymmetries | LatticeStabilizer)
    output: Any = None
    if on_grid and not run.pooled:
        if last.output is None or out_type != getattr(seeing[-1][0], "out_type", None):
            return ()
        output = Pullback(group, embed, last.output)
    elif not is_trivial(out_type):
        if not isinstance(group, Motions) or out_type.group != group.point:
            return ()
        output = Pullback(group, group.turn, out_type)
    kind = "subgroup" if any(law.kind == "subgroup" for law in laws) else "exact"
    inputs = {name: how if how == group else Pullback(group, torch.clone, how) for name, how in first.fields.items()}
    return (Law(FieldAction(group, inputs, output), laws[0].statement, kind, invariant=output is None),)  # type: ignore


def _is_blind(layer: nn.Module) -> bool:
    """Whether a layer sees neither positions nor places, and takes channels as their type demands."""
    if type(layer) is nn.Sequential:
        return all(map(_is_blind, layer))
    if isinstance(layer, (*AT_EACH_NODE, *SYMMETRIC, Coarsening)):
        return True
    states = hasattr(layer, "in_type") or hasattr(layer, "grid") or "pos" in arguments(layer)
    return is_local(layer) and not states


def _point_law(layer: nn.Module, state: State) -> Any:
    for law in stated(layer, state):
        group = law.group
        if isinstance(group, FieldAction) and not isinstance(group.group, Permutation | Translations):
            return law if law.kind in ("exact", "subgroup") else None
    return None


def _in_turn(groups: list[Any]) -> tuple[Any, Embedding] | None:
    """Return those elements of the first group that all groups follow, and what each is in the last one."""
    first = groups[0]
    if all(isinstance(group, Turns) and group.point == first.point for group in groups):
        return first, torch.clone
    if not all(isinstance(group, LatticeStabilizer) for group in groups):
        return (first, torch.clone) if all(group == first for group in groups) else None
    if any(coarse.whole != fine.lattice for fine, coarse in pairwise(groups)):
        return None
    step, twice_center = 1, 0
    for group in groups:
        step, twice_center = step * group.step, twice_center + step * group.twice_center
    shared = LatticeStabilizer(first.whole, step, twice_center)
    return shared, lambda g: reduce(lambda h, group: group.coarse(h), groups[:-1], g)

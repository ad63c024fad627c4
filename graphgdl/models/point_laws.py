"""The law of a whole under the group of its channels: turns, reflections, and what they do to places."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from graphgdl.groups import FieldAction, FieldType, Isometries, LatticeStabilizer, Law, Permutation, Pullback, Turns
from graphgdl.groups.signals import GridSymmetries
from graphgdl.groups.translations import Translations
from graphgdl.models.laws import AT_EACH_NODE, SYMMETRIC, Trace, local_steps, stated
from graphgdl.models.types import is_trivial

Embedding = Callable[[Tensor], Tensor]


def point_laws(in_type: FieldType | None, out_type: FieldType | None, run: Trace) -> tuple[Law, ...]:
    """Return the law of the group that every local layer obeys, none where they have none in common.

    Args:
        in_type, out_type: of the whole.
        run: what each layer sees.
    """
    local = local_steps(run)
    others = [layer for layer, _ in run.steps if all(layer is not other for other, _ in local)]
    if not local or out_type is None or not all(_keeps_to_types(layer) for layer in others):
        return ()
    laws = [_point_law(layer, state) for layer, state in local]
    found = [law for law in laws if law is not None]
    if len(found) < len(laws):
        return ()
    inputs = found[0].group.fields
    if "x" in inputs and in_type != getattr(local[0][0], "in_type", None):
        return ()
    common = _in_turn([law.group.group for law in found])
    if common is None:
        return ()
    group, embed = common
    invariant = is_trivial(out_type) and (run.invariant or not isinstance(group, GridSymmetries | LatticeStabilizer))
    output: Any = None
    if not invariant and isinstance(group, Isometries) and not isinstance(group, GridSymmetries):
        if out_type.group != group:
            return ()
        output = out_type
    elif not invariant:
        if run.invariant or out_type != getattr(local[-1][0], "out_type", None) or found[-1].group.output is None:
            return ()
        output = Pullback(group, embed, found[-1].group.output)
    kind = "subgroup" if any(law.kind == "subgroup" for law in found) else "exact"
    fields = {
        name: action if action == group else Pullback(group, torch.clone, action) for name, action in inputs.items()
    }
    return (Law(FieldAction(group, fields, output), found[0].statement, kind, invariant),)  # type: ignore[arg-type]


def _point_law(layer: nn.Module, state: Any) -> Any:
    for law in stated(layer, state):
        group = law.group
        if isinstance(group, FieldAction) and not isinstance(group.group, Permutation | Translations):
            return law if law.kind in ("exact", "subgroup") else None
    return None


def _keeps_to_types(layer: nn.Module) -> bool:
    if type(layer) is nn.Sequential:
        return all(_keeps_to_types(child) for child in layer)
    return isinstance(layer, (*AT_EACH_NODE, *SYMMETRIC)) or hasattr(layer, "in_type")


def _in_turn(groups: list[Any]) -> tuple[Any, Embedding] | None:
    """Return the elements of the first group that all groups follow, and what they are in the last one."""
    first, last = groups[0], groups[-1]
    if all(isinstance(group, Turns) and group.point == first.point for group in groups):
        return first, torch.clone
    if all(isinstance(group, LatticeStabilizer) for group in groups):
        if any(coarse.whole != fine.lattice for fine, coarse in pairwise(groups)):
            return None
        step, twice_center = 1, 0
        for group in groups:
            step, twice_center = step * group.step, twice_center + step * group.twice_center
        whole = LatticeStabilizer(first.whole, step, twice_center)
        return whole, lambda g: reduce(lambda h, group: group.coarse(h), groups[:-1], g)
    return (first, torch.clone) if all(group == first for group in groups) and last == first else None

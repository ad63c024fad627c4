"""Laws under a group that a user names: how positions move, and what the output must do."""

from __future__ import annotations

import re

import torch
from torch import nn
from torch_geometric.data import Data

from graphgdl.groups import SE, SO, Cyclic, Dihedral, E, FieldAction, Law, O, standard
from graphgdl.groups.field_action import Action
from graphgdl.groups.isometries import Isometries
from graphgdl.testing.equivariance import call_module, prepared, tensors
from graphgdl.testing.verify import Laws

GROUPS: dict[str, type[Isometries]] = {"C": Cyclic, "D": Dihedral, "SO": SO, "O": O, "SE": SE, "E": E}
OUTPUTS = ("auto", "invariant", "vectors", "points")


def group_of(name: str) -> Isometries:
    """Return the group of a name such as C4, D4, SO(2), O(3), SE(3), E(3).

    Raises:
        ValueError: no such name.
    """
    match = re.fullmatch(r"(SO|SE|C|D|O|E)(\d+|\(\d+\))", name)
    if match is None or not int(match[2].strip("()")):
        raise ValueError(f"`group` must be permutation, or one such as C4, D4, SO(2), O(3), SE(3), E(3), got {name!r}")
    return GROUPS[match[1]](int(match[2].strip("()")))  # type: ignore[call-arg]


def laws_under(group: Isometries, output: str = "auto") -> Laws:
    """Return what states that a module obeys a group which moves `data.pos`, and nothing else of its input.

    Args:
        group: moves the positions.
        output: what the output does. 'invariant': it stays; 'vectors': its last axis turns with space; 'points': it moves as
            positions do. 'auto': an output of shape (..., d), d the dimension of space, moves as points under SE(d) and
            E(d) and as vectors under the other groups; any other output stays.

    Raises:
        ValueError: an unknown `output`.
    """
    if output not in OUTPUTS:
        raise ValueError(f"`output` must be one of {OUTPUTS}, got {output!r}")

    def laws(module: nn.Module, data: Data) -> tuple[Law, ...]:
        how = output
        if how == "auto":
            with torch.no_grad():
                out = tensors(call_module(*prepared(module, data, torch.float64)))
            fits = all(part.dim() > 0 and part.size(-1) == group.d for part in out)
            how = ("points" if isinstance(group, E) else "vectors") if fits else "invariant"
        moves: dict[str, Action | None] = {"points": group, "vectors": standard(group), "invariant": None}
        moved = moves[how]
        action = FieldAction(group, {"pos": group}, output=moved)
        does = "invariance" if moved is None else f"output as {how}"
        return (Law(action, f"{group} on the positions: {does}", invariant=moved is None),)

    return laws

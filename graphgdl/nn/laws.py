"""The laws that most layers have, stated for one input: permutations of its nodes, within each set or with their edges."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains.structure import Complete, Structure
from graphgdl.domains.structured_data import StructuredData
from graphgdl.groups import FieldAction, Law, Permutation, YoungSubgroup
from graphgdl.groups.group import T


class WithEdges(Permutation):
    """Permutations that turn a structure into its edges first: an order of the nodes is part of what a structure is."""

    def act(self, g: Tensor, x: T) -> T:
        """Renumber the nodes of a tensor (n, ...) or of a `StructuredData`."""
        return super().act(g, cast(T, x.with_edges()) if isinstance(x, StructuredData) else x)


def permutation_laws(module: nn.Module, data: Data, invariant: bool = False) -> tuple[Law, ...]:
    """Return the law of permutations of the nodes: exact, and in distribution too for a module that drops in training.

    On sets, a `Data` whose structure is `Complete`, nodes move within each set; another structure gives way to its edges.

    Args:
        module: what makes the promise.
        data: an input.
        invariant: whether the output stays, as that of a readout, or moves with the nodes.
    """
    structure, n = data.get("structure"), data.num_nodes
    group: Permutation | FieldAction
    if isinstance(structure, Complete):
        group, statement = values_within(structure, data), "permutations within each set"
    elif structure is not None:
        group, statement = WithEdges(n), "permutations of the nodes with their edges"
    else:
        group, statement = Permutation(n), "permutations of the nodes"
    exact = Law(group, statement, invariant=invariant)
    return (exact, Law(group, f"{statement}, in training", "distribution", invariant)) if drops(module) else (exact,)


def values_within(structure: Structure, data: Data) -> FieldAction:
    """Return the permutations of the nodes of each graph that move their values and leave the structure."""
    within = YoungSubgroup(structure.sizes)
    moved = {k: within for k, v in data.to_dict().items() if isinstance(v, Tensor) and data.is_node_attr(k)}
    return FieldAction(within, moved, output=within)


def drops(module: nn.Module) -> bool:
    """Return whether a part of the module drops activations in training."""
    shares = [m.p if isinstance(m, nn.Dropout) else getattr(m, "dropout", 0.0) for m in module.modules()]
    return any(isinstance(share, float) and share > 0 for share in shares)

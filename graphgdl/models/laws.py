r"""The law of a whole, from the laws of its parts: what is equivariant step by step is equivariant.

.. math:: f_i(g.x) = g.f_i(x) \;\; \text{for all } i \quad \Rightarrow \quad f_k(\dots f_1(g.x)) = g.f_k(\dots f_1(x))

A step that acts at each node alone, on channels that do not transform or by a map that commutes with their representation,
has every law of its surroundings.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import aggr
from torch_geometric.nn.conv import MessagePassing

from graphgdl.domains.structure import Chain, Grid, Structure
from graphgdl.domains.structured_data import StructuredData
from graphgdl.groups import Law, Permutation
from graphgdl.models.state import State, arguments, is_readout
from graphgdl.models.types import PER_CHANNEL, POINTWISE
from graphgdl.nn import GridNetwork, GridSequential, GroupPool, Readout, Unpool
from graphgdl.nn.chain_laws import Prefixes
from graphgdl.nn.coarsening import Coarsening
from graphgdl.nn.grid_laws import translations_of
from graphgdl.nn.laws import permutation_laws
from graphgdl.nn.on_fields import OnFields

AT_EACH_NODE = (nn.Identity, nn.Linear, OnFields, GroupPool, *POINTWISE, *PER_CHANNEL)
"""Layers that act at each node alone, or with statistics of all nodes."""

SYMMETRIC = (
    *(Readout, Unpool, aggr.SumAggregation, aggr.MeanAggregation, aggr.MaxAggregation, aggr.MinAggregation),
    *(aggr.VarAggregation, aggr.StdAggregation, aggr.SoftmaxAggregation, aggr.AttentionalAggregation, aggr.Set2Set),
    *(aggr.DeepSetsAggregation, aggr.SetTransformerAggregation),
)
"""Layers that treat all nodes alike."""


@dataclass(frozen=True)
class Trace:
    """One run: each layer with the state before it, and the state after the last."""

    steps: list[tuple[nn.Module, State]]
    last: State

    @property
    def pooled(self) -> bool:
        """Whether a readout has left one row for each graph."""
        return any(is_readout(layer) for layer, _ in self.steps)


def trace(model: nn.Module, state: State) -> Trace:
    """Run a copy of an assembly in evaluation mode and note what every layer sees."""
    steps: list[tuple[nn.Module, State]] = []
    with torch.no_grad():
        last = copy.deepcopy(model).eval().run(replace(state, seen=steps))  # type: ignore[operator]
    return Trace(steps, last)


def stated(layer: nn.Module, state: State) -> tuple[Law, ...]:
    """Return the laws that a layer states of an input like the state."""
    if not hasattr(layer, "laws"):
        return ()
    known = {**state.features, **({} if state.batch is None else {"batch": state.batch})}
    if isinstance(state.domain, Structure):
        return layer.laws(StructuredData(state.x, state.domain, **known))  # type: ignore[operator]
    return layer.laws(Data(x=state.x, edge_index=state.domain, **known))  # type: ignore[operator]


def permutations(model: nn.Module, data: Data, run: Trace) -> tuple[Law, ...]:
    """Return the law of permutations of the nodes, if every layer has it and the output is theirs or the graph's."""
    if run.last.finer and not run.pooled:  # rows of clusters, whose order is no node's
        return ()
    if not all(moves_with_nodes(layer, state) for layer, state in run.steps):
        return ()
    return permutation_laws(model, data, invariant=run.pooled)


def translations(data: Data, run: Trace) -> tuple[Law, ...]:
    """Return the law of those translations of a periodic grid that are translations on every grid of the way."""
    first, end = data.get("structure"), run.last.domain
    if not isinstance(first, Grid) or first.num_graphs != 1 or not isinstance(end, Grid | None):
        return ()
    if any(data.get(name) is not None for name in ("edge_weight", "edge_attr", "pos")) or not all(
        _shifts(layer, state) if hasattr(layer, "grid") else moves_with_nodes(layer, state)
        for layer, state in run.steps
    ):
        return ()
    grids = [s.domain for s in (*(state for _, state in run.steps), run.last) if isinstance(s.domain, Grid)]
    return translations_of(grids, run.pooled)


def _shifts(layer: nn.Module, state: State) -> bool:
    """Whether a layer follows all shifts that the grids before and after it share; a sequence has others inside."""
    laws = stated(layer, state)
    return any(law.kind == "exact" for law in laws) if isinstance(layer, GridSequential | GridNetwork) else bool(laws)


def causality(data: Data, run: Trace) -> tuple[Law, ...]:
    """Return the law that no node of a chain hears from a later one, if every layer has it."""
    chain = data.get("structure")
    if not isinstance(chain, Chain) or run.last.domain is not chain:
        return ()
    for layer, state in run.steps:
        alone = isinstance(layer, AT_EACH_NODE) and "batch" not in arguments(layer)
        if not alone and not any(isinstance(law.group, Prefixes) for law in stated(layer, state)):
            return ()
    return (Law(Prefixes(chain), "causality: cutting off the future"),)


def moves_with_nodes(layer: nn.Module, state: State) -> bool:
    """Whether permuting the nodes with their edges permutes what a layer gives, or leaves it as it is."""
    if isinstance(layer, Coarsening):
        return layer.moves_with_nodes(state.x, state.domain, state.features.get("edge_weight"))
    if type(layer) is nn.Sequential:
        return all(moves_with_nodes(child, state) for child in layer)
    if isinstance(layer, (*AT_EACH_NODE, *SYMMETRIC)):
        return True
    if not hasattr(layer, "laws"):
        return isinstance(layer, MessagePassing)
    return any(law.kind == "exact" and isinstance(_acting(law), Permutation) for law in stated(layer, state))


def _acting(law: Law) -> object:
    return getattr(law.group, "group", law.group)

"""What a signal is on its way through a blueprint, and how each kind of layer takes it one step further."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.pool.select import SelectOutput

from graphgdl.domains.structure import Structure
from graphgdl.nn import (
    DeepSets,
    GridFlatten,
    GridGlobalPool,
    JanossyPooling,
    PoolingByMultiheadAttention,
    Readout,
    Unpool,
    global_add_pool,
)
from graphgdl.nn.coarsening import Coarsening

_DOMAIN = ("edge_index", "structure", "adj_t")

READOUTS = (Readout, Aggregation, DeepSets, PoolingByMultiheadAttention, GridGlobalPool, GridFlatten)
"""Layers that give one row for each graph, whatever their options."""


@dataclass(frozen=True)
class State:
    """A signal on a domain.

    Attributes:
        x: (n, c) features of the nodes, or (g, c) of the graphs, after a readout.
        domain: a structure, edges, or None where no layer needs any.
        batch: graph of each node (n,), or None for one graph; a structure knows its own.
        size: number of graphs, or None to take it from `batch`.
        features: further tensors of the domain by name (`edge_attr`, `edge_weight`, `pos`), for layers that ask for them.
        finer: for each pooling that is not undone yet, the state before it and its assignment.
        loss: sum of the losses of the poolings, or None.
        seen: where to write down each layer and the state before it, or None.
    """

    x: Tensor
    domain: Any = None
    batch: Tensor | None = None
    size: int | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    finer: tuple[tuple[State, SelectOutput], ...] = ()
    loss: Tensor | None = None
    seen: list[tuple[nn.Module, State]] | None = None

    @property
    def graphs(self) -> tuple[Tensor | None, int | None]:
        """Graph of each node, and the number of graphs."""
        if isinstance(self.domain, Structure):
            return self.domain.batch, self.domain.num_graphs
        return self.batch, 1 if self.batch is None else self.size


def arguments(layer: nn.Module) -> tuple[str, ...]:
    """Return the names of the arguments of a layer's `forward`, without the first."""
    return (_arguments if torch.compiler.is_compiling() else _remembered)(type(layer).forward)


def _arguments(forward: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(forward).parameters)[2:]


_remembered = cache(_arguments)  # which torch.compile would trace through, with a warning


def is_local(layer: nn.Module) -> bool:
    """Whether a layer takes the domain, to look at more than one node."""
    return any(name in _DOMAIN for name in arguments(layer))


def is_readout(layer: nn.Module) -> bool:
    """Whether a layer gives one row for each graph."""
    if isinstance(layer, JanossyPooling):
        return not layer.marked
    return isinstance(layer, READOUTS)


def step(layer: nn.Module, state: State) -> State:
    """Return the state after a layer."""
    if state.seen is not None:
        state.seen.append((layer, state))
    if isinstance(layer, Coarsening):
        return _coarser(layer, state)
    if isinstance(layer, Unpool):
        before, select = state.finer[-1]
        return replace(before, x=layer(state.x, select), loss=state.loss)
    x = _apply(layer, state)
    if is_readout(layer):
        return replace(state, x=x, domain=None, batch=None, features={})
    regrid: Any = getattr(layer, "grid", None)
    return replace(state, x=x) if regrid is None else replace(state, x=x, domain=regrid(state.domain), features={})


def _apply(layer: nn.Module, state: State) -> Tensor:
    batch, size = state.graphs
    if isinstance(layer, Readout):
        return layer(state.x, batch, size)
    if isinstance(layer, Aggregation):
        first = torch.zeros(state.x.size(0), dtype=torch.int64, device=state.x.device)
        return layer(state.x, index=first if batch is None else batch, dim_size=size)
    names = arguments(layer)
    known: dict[str, Any] = {name: value for name, value in state.features.items() if name in names}
    if "batch" in names:
        known["batch"] = batch
    if not is_local(layer):
        return layer(state.x, **known)
    if state.domain is None:
        raise ValueError(f"`structure` must be given, since `{layer}` looks at more than one node, got None")
    known[next(name for name in _DOMAIN if name in names)] = state.domain
    return layer(state.x, **known)


def _coarser(layer: Coarsening, state: State) -> State:
    batch, size = state.graphs
    coarse = layer(state.x, state.domain, batch, state.features.get("edge_weight"))
    loss = coarse.loss if state.loss is None or coarse.loss is None else state.loss + coarse.loss
    features = {"edge_weight": coarse.edge_weight}
    if "pos" in state.features:
        features["pos"] = _centres(state.features["pos"], coarse.select)
    return State(
        coarse.x,
        coarse.edge_index,
        coarse.batch,
        size,
        features,
        (*state.finer, (state, coarse.select)),
        state.loss if loss is None else loss,
        state.seen,
    )


def _centres(pos: Tensor, select: SelectOutput) -> Tensor:
    """Return the centre of each cluster, its nodes weighted as they were assigned."""
    weight = pos.new_ones(select.node_index.size(0)) if select.weight is None else select.weight
    moments = torch.cat([pos[select.node_index], torch.ones_like(weight[:, None])], dim=1) * weight[:, None]
    total = global_add_pool(moments, select.cluster_index, select.num_clusters)
    return total[:, :-1] / total[:, -1:]

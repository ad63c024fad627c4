"""Do layers fit one another? Each misfit is refused with both sides named, before any data is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import nn

from graphgdl.groups import FieldType
from graphgdl.models.state import State, arguments, is_local, is_readout
from graphgdl.models.types import gives, keeps_type, misfit, needs
from graphgdl.nn.coarsening import Coarsening, Unpool

ROWS = "one row for each graph"
"""The domain after a readout."""


@dataclass(frozen=True)
class Flow:
    """What is known between two layers: the type of the channels, the domain, and which layers gave them."""

    fields: FieldType | None = None
    fields_from: str = "the input"
    domain: str | None = None
    domain_from: str = "the input"
    finer: tuple[Flow, ...] = ()


@runtime_checkable
class Assembly(Protocol):
    """A module made of layers that checks and runs them itself."""

    def fit(self, flow: Flow, name: str) -> Flow:
        """Return what is known after the module, or raise ValueError."""

    def run(self, state: State) -> State:
        """Return the state after the module."""


def fit(layer: nn.Module, flow: Flow, name: str) -> Flow:
    """Return what is known after a layer.

    Raises:
        ValueError: the layer does not fit what comes before it.
    """
    if isinstance(layer, Assembly):
        return layer.fit(flow, name)
    if type(layer) is nn.Sequential:
        for i, inner in enumerate(layer):
            flow = fit(inner, flow, f"{name}.{i}")
        return flow
    title = f"{name}, `{shown(layer)}`,"
    flow = _domain_after(layer, flow, title)
    found = None if flow.fields is None else misfit(layer, flow.fields)
    if found is not None:
        raise ValueError(f"{title} {found.reason}, but {flow.fields_from} gives {flow.fields}; {found.cure}")
    return flow if keeps_type(layer) else replace(flow, fields=gives(layer, flow.fields), fields_from=title)


def shown(layer: nn.Module) -> str:
    """Return a layer in one line."""
    text = repr(layer)
    return text if "\n" not in text else f"{type(layer).__name__}(...)"


def _domain_after(layer: nn.Module, flow: Flow, title: str) -> Flow:
    needed = needs(layer)
    local = is_local(layer) or "batch" in arguments(layer) or is_readout(layer)
    if flow.domain == ROWS and (local or isinstance(layer, Coarsening | Unpool)):
        raise ValueError(
            f"{title} works on nodes, but {flow.domain_from} has left {ROWS}; put every local layer before the readout"
        )
    if needed is not None and flow.domain is not None and not flow.domain.startswith(needed):
        raise ValueError(
            f"{title} needs {needed}, but {flow.domain_from} has {flow.domain}; keep to one kind of domain, or undo a "
            f"pooling by `Unpool` first"
        )
    if isinstance(layer, Coarsening):
        return replace(flow, domain="a graph", domain_from=title, finer=(*flow.finer, flow))
    if isinstance(layer, Unpool):
        if not flow.finer:
            raise ValueError(f"{title} has no pooling to undo; put it after as many poolings as there are `Unpool`s")
        before = flow.finer[-1]
        return replace(flow, domain=before.domain, domain_from=before.domain_from, finer=flow.finer[:-1])
    if is_readout(layer):
        return replace(flow, domain=ROWS, domain_from=title, finer=())
    return flow if needed is None else replace(flow, domain=needed, domain_from=title)

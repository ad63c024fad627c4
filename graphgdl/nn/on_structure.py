"""Layers that hand a structure to their lowerings as it is: its edges are built only where a form needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphgdl.domains.bipartite import CompleteBipartite, ends_of
from graphgdl.domains.structure import Complete, Structure
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Call, Compiled, Lowered
from graphgdl.nn.memo import remembered


class CompiledOnEdges(Compiled):
    """The compiled form, which builds the edges of a structure."""

    def prepare(self, layer: Lowered, call: Call) -> Callable[[], Any] | str:
        """Return what runs the step, or the reason why the compiler does not take it."""
        if isinstance(call.edges, Structure | CompleteBipartite):
            built = Lowered._call(layer, call.step, call.edges.edge_index, None, call.inputs)
            return super().prepare(layer, built) if isinstance(built, Call) else built
        return super().prepare(layer, call)


class OnStructure(Lowered):
    """Mixin as `Lowered`; a lowering finds the structure in the place of `call.edges`."""

    def _call(self, step: str, edge_index: Any, size: Any, given: dict[str, Any]) -> Call | Callable[[], Any] | str:
        if isinstance(edge_index, Structure | CompleteBipartite):
            return Call(step, edge_index, *ends_of(edge_index), given)  # type: ignore[arg-type]
        return super()._call(step, edge_index, size, given)


def graph_of(edge_index: Any, x: Tensor | tuple[Tensor, Tensor]) -> Any:
    """Return a structure as it is, other edges as `edges_of` reads them, checked against the rows of `x`.

    Args:
        edge_index: see `edges_of`, or `CompleteBipartite`.
        x: node features (n, c), or a pair of source (n_src, c) and destination (n_dst, c) features.

    Raises:
        ValueError: the structure has another number of nodes.
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.
    """
    if not isinstance(edge_index, Structure | CompleteBipartite):
        return edges_of(edge_index, x)
    names = ("sources", "destinations") if isinstance(edge_index, CompleteBipartite) else ("nodes", "nodes")
    for rows, count, name in zip(x if isinstance(x, tuple) else (x, x), ends_of(edge_index), names):
        if count != rows.size(0):
            raise ValueError(
                f"`x` must have one row for each of the {count} {name} of the {type(edge_index).__name__}, "
                f"got {rows.size(0)} rows"
            )
    return edge_index


def why_not_sets(layer: Lowered, graph: Any) -> str | None:
    """Return why the graph is not whole sets, every element the neighbour of every element, or None."""
    if not isinstance(graph, Complete):
        return "the graph is not given as Complete(ptr)"
    if not graph.self_loops:
        return "an element is not its own neighbour in Complete(ptr, self_loops=False)"
    return None if layer.flow == "source_to_target" else f"flow is {layer.flow!r}"


def check_sets(structure: Any, x: Tensor) -> None:
    """Refuse what is not `Complete(ptr)` with the rows of `x`.

    Raises:
        TypeError: `structure` is no `Complete`.
        ValueError: it has another number of nodes.
    """
    if not isinstance(structure, Complete):
        raise TypeError(
            f"`structure` must be Complete(ptr), one set for each graph, got {type(structure).__name__}; for a batch of "
            f"PyG use `Complete(data.ptr)`"
        )
    graph_of(structure, x)


class Points(NamedTuple):
    """So many points beside each set: the edges from the elements of the sets to the points, and back."""

    from_sets: CompleteBipartite
    to_sets: CompleteBipartite


def points_of(structure: Complete, count: int) -> Points:
    """Return the edges between the elements of each set and `count` points of its own; found once for each structure."""

    def build() -> Points:
        sets = structure.ptr
        points = count * torch.arange(structure.num_graphs + 1, device=sets.device)
        return Points(CompleteBipartite(sets, points), CompleteBipartite(points, sets))

    return remembered(structure.ptr, ("points", count), build)

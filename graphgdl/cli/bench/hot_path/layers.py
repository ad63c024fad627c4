"""The layers: ours beside PyG's with the same state dict, in each of PyG's own forms of a graph."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphgdl.cli.bench.hot_path.problem import FORCES, FORWARD, OURS, TRAINING, Problem, Side, brief

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphgdl.cli.bench.hot_path.graphs import BenchGraph

TENSOR, EDGE_INDEX, SPARSE_TENSOR, COMPILED = "PyG tensor", "PyG EdgeIndex", "PyG SparseTensor", "PyG compiled"
HEADS = 4
EDGE_FEATURES = 16


@dataclass(frozen=True)
class LayerCase:
    """A layer to compare.

    Args:
        build: (namespace of layers, c) -> layer; the namespace is `torch_geometric.nn`, then `graphgdl.nn`.
        row: c -> floats that one message reads of its source node.
        nodes: node inputs in the order of `forward`: 'x' (n, c), 'v' (n, 3, c) or 'pos' (n, 3).
        edge: c -> width of the edge features, None where there are none.
        learned: the inputs that receive a gradient in forward + backward; they come from the layers below.
        user: written on `MessagePassing` by a user: our side is `graphgdl.accelerate(layer)`.
        kinks, forces: see `Problem`.
        narrow: the layer gets c / narrow channels.
    """

    build: Callable[[Any, int], nn.Module]
    row: Callable[[int], int]
    nodes: tuple[str, ...] = ("x",)
    edge: Callable[[int], int] | None = None
    learned: tuple[str, ...] = ("x",)
    user: bool = False
    kinks: bool = False
    forces: bool = False
    narrow: int = 1


def _mlp(*sizes: int) -> nn.Module:
    from torch.nn import Linear, ReLU, Sequential

    steps: list[nn.Module] = []
    for c_in, c_out in itertools.pairwise(sizes):
        steps += [Linear(c_in, c_out), ReLU()]
    return Sequential(*steps[:-1])


def _user(name: str) -> Callable[[Any, int], nn.Module]:
    def build(_: Any, c: int) -> nn.Module:
        from graphgdl.cli.bench.hot_path import messages

        return getattr(messages, name)(c)

    return build


LAYERS: dict[str, LayerCase] = {
    "TransformerConv": LayerCase(lambda nn, c: nn.TransformerConv(c, c // HEADS, HEADS), lambda c: 2 * c),
    "GATConv": LayerCase(lambda nn, c: nn.GATConv(c, c // HEADS, HEADS), lambda c: c + HEADS, kinks=True),
    "GATv2Conv": LayerCase(lambda nn, c: nn.GATv2Conv(c, c // HEADS, HEADS), lambda c: c, kinks=True),
    "GCNConv": LayerCase(lambda nn, c: nn.GCNConv(c, c), lambda c: c),
    "SAGEConv": LayerCase(lambda nn, c: nn.SAGEConv(c, c), lambda c: c),
    "GINConv": LayerCase(lambda nn, c: nn.GINConv(_mlp(c, c, c)), lambda c: c, kinks=True),
    "GraphConv": LayerCase(lambda nn, c: nn.GraphConv(c, c), lambda c: c),
    "EdgeConv": LayerCase(lambda nn, c: nn.EdgeConv(_mlp(2 * c, c, c)), lambda c: c, kinks=True),
    "NNConv": LayerCase(
        # a weight matrix for each edge: PyG holds e c^2 floats, 1 GB at a million edges and c = 16
        lambda nn, c: nn.NNConv(c, c, _mlp(EDGE_FEATURES, 2 * EDGE_FEATURES, c * c)),
        lambda c: c,
        edge=lambda c: EDGE_FEATURES,
        kinks=True,
        narrow=4,
    ),
    "GINEConv": LayerCase(
        lambda nn, c: nn.GINEConv(_mlp(c, c, c)), lambda c: c, edge=lambda c: c, learned=("x", "edge"), kinks=True
    ),
    "PNA": LayerCase(_user("PNALike"), lambda c: c, user=True, kinks=True),
    "PaiNN": LayerCase(
        _user("PaiNNMessage"),
        lambda c: 6 * c + 3,
        nodes=("x", "v", "pos"),
        learned=("x", "v"),
        user=True,
        forces=True,
    ),
    "EGNN": LayerCase(
        _user("EGNNMessage"), lambda c: c + 3, nodes=("x", "pos"), learned=("x", "pos"), user=True, forces=True
    ),
    "CFConv": LayerCase(_user("CFConvMessage"), lambda c: c + 3, nodes=("x", "pos"), user=True, forces=True),
}


def layer_problem(name: str, graph: BenchGraph, channels: int, *, peers_only: bool = False) -> Problem:
    """Build the layer `name` of `LAYERS` and its peers on `graph`, all parameters equal and none of them zero."""
    import torch
    import torch_geometric.nn as pyg

    case = LAYERS[name]
    c = max(channels // case.narrow, HEADS)
    device = graph.edge_index.device
    generator = torch.Generator().manual_seed(1)
    given = _inputs(case, graph, c, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        layer = case.build(pyg, c)
    with torch.no_grad():
        for parameter in layer.parameters():  # biases start at zero, where a mistake would not show
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    layer = layer.to(device)
    nodes, edge = [given[key] for key in case.nodes], given.get("edge")
    sides: dict[str, Side | str] = {}
    if not peers_only:
        sides[OURS] = _ours(case, layer, c, nodes, graph.edge_index, edge)
    sides |= _peers(layer, nodes, graph, edge, plain_only=peers_only)
    return Problem(
        name=name,
        kind="layer",
        graph=graph,
        channels=c,
        sides=sides,
        plain=TENSOR,
        inputs=tuple(given.values()),
        learned=tuple(given[key] for key in case.learned),
        row_floats=case.row(c),
        works=(TRAINING, FORWARD, FORCES) if case.forces else (TRAINING, FORWARD),
        pos=given.get("pos"),
        kinks=case.kinks,
    )


def _inputs(case: LayerCase, graph: BenchGraph, c: int, generator: Any) -> dict[str, Tensor]:
    import torch

    device, n = graph.edge_index.device, graph.num_nodes
    shapes = {"x": (n, c), "v": (n, 3, c)}
    given = {
        key: graph.pos.clone() if key == "pos" else torch.randn(shapes[key], generator=generator).to(device)
        for key in case.nodes
    }
    if case.edge is not None:
        given["edge"] = torch.randn(graph.num_edges, case.edge(c), generator=generator).to(device)
    return given


def _ours(
    case: LayerCase, layer: nn.Module, c: int, nodes: list[Tensor], edge_index: Tensor, edge: Tensor | None
) -> Side | str:
    import graphgdl
    import graphgdl.nn as gdl

    if case.user:
        accelerate = getattr(graphgdl, "accelerate", None)
        if accelerate is None:
            return "this version has no graphgdl.accelerate"
        ours = copy.deepcopy(layer)
        faster = accelerate(ours)
        ours = faster if hasattr(faster, "parameters") else ours
    else:
        ours = case.build(gdl, c).to(edge_index.device)
        ours.load_state_dict(layer.state_dict())
    return _side(ours, nodes, edge_index, edge, lowering=True)


def _peers(
    layer: nn.Module, nodes: list[Tensor], graph: BenchGraph, edge: Tensor | None, *, plain_only: bool
) -> dict[str, Side | str]:
    import torch
    from torch_geometric import EdgeIndex
    from torch_geometric.typing import SparseTensor

    n, edge_index = graph.num_nodes, graph.edge_index
    sides: dict[str, Side | str] = {TENSOR: _side(copy.deepcopy(layer), nodes, edge_index, edge)}
    if plain_only:
        return sides
    indexed = EdgeIndex(edge_index.clone(), sparse_size=(n, n), sort_order="col").fill_cache_()
    sides[EDGE_INDEX] = _side(copy.deepcopy(layer), nodes, indexed, edge)
    try:
        adj_t = SparseTensor(
            row=edge_index[1], col=edge_index[0], value=edge, sparse_sizes=(n, n), is_sorted=True, trust_data=True
        ).fill_cache_()
        sides[SPARSE_TENSOR] = _side(copy.deepcopy(layer), nodes, adj_t, None)
    except (ImportError, RuntimeError) as error:  # not installed, or built without CUDA
        sides[SPARSE_TENSOR] = f"torch_sparse: {brief(error)}; pip install --no-build-isolation graphgdl[pyg-ext]"
    if edge_index.is_cuda:
        torch.compiler.reset()  # after a few graphs torch would stop compiling, and run what it is given
        module = copy.deepcopy(layer)
        sides[COMPILED] = _side(torch.compile(module), nodes, edge_index, edge, parameters=tuple(module.parameters()))
    return sides


def _side(
    module: Any,
    nodes: list[Tensor],
    edges: Any,
    edge: Tensor | None,
    lowering: bool = False,
    parameters: tuple[Tensor, ...] | None = None,
) -> Side:
    def arguments(other: Tensor | None) -> list[Any]:
        return [*nodes, edges if other is None else other, *([] if edge is None else [edge])]

    def run(edge_index: Tensor | None = None) -> tuple[Tensor, ...]:
        out = module(*arguments(edge_index))
        return out if isinstance(out, tuple) else (out,)

    def explain() -> str:
        from graphgdl.nn import explain_lowering

        return "; ".join(
            row.ran + "".join(f" (not {name}: {why})" for name, why in row.refused.items())
            for row in explain_lowering(module, *arguments(None))
        )

    return Side(run, tuple(module.parameters()) if parameters is None else parameters, explain if lowering else None)

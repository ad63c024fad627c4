"""The layers with their options, the graphs they are tried on, and the tolerance for each dtype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dense_layers as dense
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

import graphgdl.nn as gdl

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}
C_SRC, C_DST, C_EDGE = 4, 3, 2


def mlp(c_in: int, c_out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(c_in, 5), nn.Tanh(), nn.Linear(5, c_out))


@dataclass(frozen=True)
class Case:
    """One layer with one set of options; `build(cls)` makes it, for our class and for PyG's."""

    name: str
    build: Callable[[Any], nn.Module]
    dense: Callable[..., Tensor]
    edge: str | None = None  # 'weight': (e,), 'attr': (e, C_EDGE), 'wide': (e, C_SRC)
    bipartite: bool = False

    @property
    def title(self) -> str:
        return self.name.split("-")[0]

    def ours(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        layer = self.build(getattr(gdl, self.title)).to(dtype)
        for parameter in layer.parameters():  # biases start at zero: fill everything, so that everything is seen
            nn.init.normal_(parameter, std=0.7)
        return layer

    def theirs(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        return self.build(getattr(pyg, self.title)).to(dtype)


CASES = [
    Case("GCNConv", lambda cls: cls(C_SRC, 5), dense.gcn),
    Case("GCNConv-weight", lambda cls: cls(C_SRC, 5), dense.gcn, "weight"),
    Case("GCNConv-improved", lambda cls: cls(C_SRC, 5, improved=True, bias=False), dense.gcn),
    Case("GCNConv-improved-weight", lambda cls: cls(C_SRC, 5, improved=True), dense.gcn, "weight"),
    Case("GCNConv-no_loops", lambda cls: cls(C_SRC, 5, add_self_loops=False), dense.gcn),
    Case("GCNConv-no_loops-weight", lambda cls: cls(C_SRC, 5, add_self_loops=False), dense.gcn, "weight"),
    Case("GCNConv-raw", lambda cls: cls(C_SRC, 5, normalize=False), dense.gcn, "weight"),
    Case("GraphConv", lambda cls: cls(C_SRC, 5), dense.graph_conv),
    Case("GraphConv-weight", lambda cls: cls(C_SRC, 5), dense.graph_conv, "weight"),
    Case("GraphConv-mean-weight", lambda cls: cls(C_SRC, 5, aggr="mean", bias=False), dense.graph_conv, "weight"),
    Case("GraphConv-max-weight", lambda cls: cls(C_SRC, 5, aggr="max"), dense.graph_conv, "weight"),
    Case("GraphConv-min", lambda cls: cls(C_SRC, 5, aggr="min"), dense.graph_conv),
    Case("GraphConv-pair", lambda cls: cls((C_SRC, C_DST), 5), dense.graph_conv, "weight", bipartite=True),
    Case("SAGEConv", lambda cls: cls(C_SRC, 5), dense.sage),
    Case("SAGEConv-sum", lambda cls: cls(C_SRC, 5, aggr="sum", root_weight=False), dense.sage),
    Case("SAGEConv-max", lambda cls: cls(C_SRC, 5, aggr="max", project=True), dense.sage),
    Case("SAGEConv-min", lambda cls: cls(C_SRC, 5, aggr="min", normalize=True, bias=False), dense.sage),
    Case("SAGEConv-pair", lambda cls: cls((C_SRC, C_DST), 5), dense.sage, bipartite=True),
    Case("GINConv", lambda cls: cls(mlp(C_SRC, 5), eps=0.3), dense.gin),
    Case("GINConv-train_eps", lambda cls: cls(mlp(C_SRC, 5), train_eps=True), dense.gin),
    Case("GINEConv", lambda cls: cls(mlp(C_SRC, 5), eps=0.3), dense.gine, "wide"),
    Case("GINEConv-edge_dim", lambda cls: cls(mlp(C_SRC, 5), train_eps=True, edge_dim=C_EDGE), dense.gine, "attr"),
    Case("NNConv", lambda cls: cls(C_SRC, 5, mlp(C_EDGE, C_SRC * 5)), dense.nn_conv, "attr"),
    Case(
        "NNConv-mean",
        lambda cls: cls(C_SRC, 5, mlp(C_EDGE, C_SRC * 5), aggr="mean", root_weight=False, bias=False),
        dense.nn_conv,
        "attr",
    ),
    Case(
        "NNConv-pair",
        lambda cls: cls((C_SRC, C_DST), 5, mlp(C_EDGE, C_SRC * 5), aggr="max"),
        dense.nn_conv,
        "attr",
        bipartite=True,
    ),
    Case("EdgeConv", lambda cls: cls(mlp(2 * C_SRC, 5)), dense.edge_conv),
    Case("EdgeConv-add", lambda cls: cls(mlp(2 * C_SRC, 5), aggr="add"), dense.edge_conv),
    Case("GATConv", lambda cls: cls(C_SRC, 5), dense.gat),
    Case("GATConv-heads", lambda cls: cls(C_SRC, 5, heads=3, residual=True), dense.gat),
    Case("GATConv-average", lambda cls: cls(C_SRC, 5, heads=2, concat=False, add_self_loops=False), dense.gat),
    Case("GATConv-edge", lambda cls: cls(C_SRC, 5, heads=2, edge_dim=C_EDGE, bias=False), dense.gat, "attr"),
    Case(
        "GATConv-pair",
        lambda cls: cls((C_SRC, C_DST), 5, heads=2, edge_dim=C_EDGE, add_self_loops=False),
        dense.gat,
        "attr",
        bipartite=True,
    ),
    Case("GATv2Conv", lambda cls: cls(C_SRC, 5), dense.gatv2),
    Case("GATv2Conv-shared", lambda cls: cls(C_SRC, 5, heads=3, share_weights=True, residual=True), dense.gatv2),
    Case("GATv2Conv-average", lambda cls: cls(C_SRC, 5, heads=2, concat=False, bias=False), dense.gatv2),
    Case("GATv2Conv-edge", lambda cls: cls(C_SRC, 5, heads=2, edge_dim=C_EDGE), dense.gatv2, "attr"),
    Case(
        "GATv2Conv-pair", lambda cls: cls((C_SRC, C_DST), 5, heads=2, add_self_loops=False), dense.gatv2, bipartite=True
    ),
    Case("TransformerConv", lambda cls: cls(C_SRC, 5), dense.transformer),
    Case("TransformerConv-heads", lambda cls: cls(C_SRC, 5, heads=3, beta=True), dense.transformer),
    Case(
        "TransformerConv-average",
        lambda cls: cls(C_SRC, 5, heads=2, concat=False, root_weight=False, bias=False),
        dense.transformer,
    ),
    Case(
        "TransformerConv-edge",
        lambda cls: cls(C_SRC, 5, heads=2, edge_dim=C_EDGE),
        dense.transformer,
        "attr",
    ),
    Case("TransformerConv-pair", lambda cls: cls((C_SRC, C_DST), 5, heads=2), dense.transformer, bipartite=True),
]
BY_NAME = {case.name: case for case in CASES}


@dataclass
class Inputs:
    """One call of a layer: features, edges, edge input; leaves that require a gradient."""

    x_src: Tensor
    x_dst: Tensor | None
    edge_index: Tensor
    edge: Tensor | None

    @property
    def x(self) -> Any:
        return self.x_src if self.x_dst is None else (self.x_src, self.x_dst)

    @property
    def leaves(self) -> list[Tensor]:
        return [t for t in (self.x_src, self.x_dst, self.edge) if t is not None]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return [tuple(pair) for pair in self.edge_index.t().tolist()]

    def call(self, layer: nn.Module, edge_index: Any = None, edge: Any = None) -> Tensor:
        edge_index = self.edge_index if edge_index is None else edge_index
        edge = self.edge if edge is None else edge
        return layer(self.x, edge_index) if edge is None else layer(self.x, edge_index, edge)


# unsorted; a repeated edge 1 -> 4; node 6 receives nothing; one self-loop 2 -> 2; node 3 sends nothing
SRC = [5, 1, 0, 2, 1, 6, 4, 0, 2, 6, 5, 1, 4, 0]
DST = [4, 4, 1, 2, 4, 0, 5, 2, 3, 3, 1, 0, 1, 5]


def inputs(case: Case, dtype: torch.dtype = torch.float64, graph: str = "mixed", seed: int = 1) -> Inputs:
    """Inputs for `case` on the graph 'mixed' (as above), 'simple' (no loop, no repeat), 'empty', or 'single'."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()

    edges = torch.tensor([SRC, DST])
    n_src, n_dst = (7, 6) if case.bipartite else (7, 7)
    if graph == "simple":
        keep = edges[0] != edges[1]
        keep[4] = False
        edges = edges[:, keep]
    elif graph == "empty":
        edges = edges[:, :0]
    elif graph == "single":
        edges, n_src, n_dst = edges[:, :0], 1, 1
    width = {"weight": (), "attr": (C_EDGE,), "wide": (C_SRC,), None: ()}[case.edge]
    edge = None
    if case.edge is not None:
        edge = torch.rand(edges.size(1), *width, generator=generator, dtype=dtype) + 0.3
        edge.requires_grad_()
    return Inputs(normal(n_src, C_SRC), normal(n_dst, C_DST) if case.bipartite else None, edges, edge)


def close(actual: Tensor, expected: Tensor) -> None:
    tolerance = TOLERANCE[expected.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def gradients(out: Tensor, leaves: list[Tensor], create_graph: bool = False) -> list[Tensor]:
    """Gradients of a fixed random contraction of `out`."""
    if not out.requires_grad:  # no edge, no root weight, no bias: nothing to learn
        return [torch.zeros_like(leaf) for leaf in leaves]
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=out.dtype)
    found = torch.autograd.grad((out * weights).sum(), leaves, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves)]

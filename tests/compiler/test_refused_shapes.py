"""Shapes that mean another thing by coincidence, both flows, node_dim, wrong ends, bad edges: never a wrong number."""

from __future__ import annotations

import pytest
import torch
from random_graphs import graph
from torch_geometric.utils import scatter
from user_layers import UserLayer, reason
from user_messages import G, assert_same, forgotten, node_features, results  # noqa: F401

# --- shapes that mean another thing by coincidence


class Weighted(UserLayer):
    """Has an input with as many rows as there are edges, nodes or features."""

    def forward(self, x, edge_index, w):
        return self.propagate(edge_index, x=x, w=w)

    def message(self, x_j, w):
        return x_j * w


class Updating(UserLayer):
    """Adds an input after the aggregation."""

    def forward(self, x, edge_index, w):
        return self.propagate(edge_index, x=x, w=w)

    def message(self, x_j):
        return x_j

    def update(self, out, w):
        return out + w


@pytest.mark.parametrize("shape", [(4,), (1, 4), (), (1,), (1, 1)])
@pytest.mark.parametrize(("nodes", "edges"), [(9, 30), (4, 30), (9, 4), (4, 4), (1, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize("cls", [Weighted, Updating])
def test_constants_as_long_as_nodes_or_edges(cls, nodes, edges, shape):
    g = graph("unsorted", nodes, nodes, edges, 3)
    assert_same(cls(), node_features(nodes, 4), g.edge_index, "auto", w=node_features(1, *shape)[0])


@pytest.mark.parametrize(("nodes", "edges"), [(9, 9), (4, 4), (1, 1), (9, 30), (1, 5), (5, 1)])
def test_edge_weights_where_sizes_coincide(nodes, edges):
    g = graph("unsorted", nodes, nodes, edges, 3)
    layer, x = Weighted(), node_features(nodes, 4)
    assert_same(layer, x, g.edge_index, "auto", w=node_features(edges, 1))
    other = graph("unsorted", 7, 7, 12, 4)
    assert_same(layer, node_features(7, 4), other.edge_index, "auto", w=node_features(12, 1))


def test_the_variant_of_one_size_is_not_used_for_another():
    """The same layer with n == e and then n != e: each time as the message path."""
    layer = Updating()
    for nodes, edges in ((9, 9), (9, 30), (30, 30), (5, 9), (9, 9)):
        g = graph("unsorted", nodes, nodes, edges, 5)
        assert_same(layer, node_features(nodes, 4), g.edge_index, "auto", w=node_features(nodes, 4))


# --- flow, node_dim, bipartite graphs


class Both(UserLayer):
    """Treats its two ends differently."""

    def message(self, x_i, x_j):
        return torch.tanh(self.lin(x_j)) * x_i[:, :1]


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("sizes", [(9, 9), (9, 6), (5, 8)])
def test_flow(flow, sizes):
    g = graph("unsorted", *sizes, 25, 2)
    x = node_features(9, 4) if g.square else (node_features(sizes[0], 4), node_features(sizes[1], 4, seed=1))
    layer = Both(flow=flow)
    if g.square:
        assert reason(layer, x, g.edge_index) is None
    assert_same(layer, x, g.edge_index, "auto")


@pytest.mark.parametrize("dims", [(9, 2, 4), (9, 9, 4), (2, 9, 4)])
@pytest.mark.parametrize("node_dim", [0, -2, 1, -3])
def test_node_dim_with_three_dimensions(dims, node_dim):
    layer, x = UserLayer(node_dim=node_dim), node_features(*dims)
    try:
        results(layer, "message", x, G.edge_index)
    except (RuntimeError, ValueError, IndexError):
        return  # nodes are not in that dimension
    assert_same(layer, x, G.edge_index, "auto")


class WrongEnd(UserLayer):
    """Reads destination features at the index of the source: allowed while there are no more sources than destinations."""

    def message(self, x_j, edge_index, x):
        return x_j + x[1][edge_index[0]]


class WrongEndReduced(UserLayer):
    """Sums into destinations by the index of the source."""

    def __init__(self, reduction):
        super().__init__()
        self.reduction = reduction

    def aggregate(self, inputs, edge_index, dim_size):
        return scatter(inputs, edge_index[0], 0, dim_size=dim_size, reduce=self.reduction)


@pytest.mark.parametrize("layer", [WrongEnd(), WrongEndReduced("sum"), WrongEndReduced("max")], ids=str)
def test_no_row_is_found_by_the_index_of_the_other_end(layer):
    x = (node_features(3, 4), node_features(8, 4, seed=1))
    g = graph("unsorted", 3, 8, 25, 2)
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match="rows of one end by the index of the other"):
        layer(x, g.edge_index)
    assert_same(layer, x, g.edge_index, "auto")


@pytest.mark.parametrize("bad", [9, -1])
@pytest.mark.parametrize("row", [0, 1])
def test_an_index_out_of_range_is_never_read(bad, row):
    edge_index = G.edge_index.clone()
    edge_index[row, 3] = bad
    layer = UserLayer()
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match=r"`edge_index`.* must hold values in \[0, 9\), got"):
        layer(node_features(9, 4), edge_index)


def test_integer_features_are_left_to_the_message_path():
    class Integers(UserLayer):
        def message(self, x_j):
            return x_j * 2

    layer = Integers()
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match=r"int64"):
        layer(torch.arange(36).view(9, 4), G.edge_index)
    layer.lowering = "auto"
    x = torch.arange(36).view(9, 4)
    expected = torch.zeros_like(x).index_add_(0, G.dst, x[G.src] * 2)
    assert torch.equal(layer(x, G.edge_index), expected)

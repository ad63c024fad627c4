"""The report of explain_lowering: one row a layer, with what ran and why nothing faster did."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

from graphgdl import nn as gdl
from graphgdl.nn import accelerate, explain_lowering
from graphgdl.nn.explain_lowering import LayerLowering

X, EDGES = torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = gdl.SAGEConv(4, 4)
        self.theirs = pyg.SAGEConv(4, 4)
        self.spare = gdl.GCNConv(4, 4)
        self.last = nn.ModuleList([gdl.GATConv(4, 4), gdl.GraphConv(4, 4, aggr="mul")])

    def forward(self, x, edge_index):
        x = self.theirs(self.first(self.first(x, edge_index), edge_index), edge_index)
        for layer in self.last:
            x = layer(x, edge_index)
        return x


def test_one_row_for_each_layer():
    assert list(explain_lowering(Mixed(), X, EDGES)) == [
        LayerLowering("first", "SAGEConv", "compiled", {}),
        LayerLowering("theirs", "SAGEConv", "message", {"compiled": "the layer is PyG's own"}),
        LayerLowering("spare", "GCNConv", "not reached", {}),
        LayerLowering("last.0", "GATConv", "compiled", {}),
        LayerLowering("last.1", "GraphConv", "message", {"compiled": "scatter_reduce with 'prod'"}),
    ]


def test_the_table():
    lines = str(explain_lowering(Mixed(), X, edge_index=EDGES)).splitlines()
    assert lines[0].split() == ["name", "layer", "ran", "why", "not", "faster"]
    assert lines[2] == "theirs  SAGEConv   message      compiled: the layer is PyG's own"
    assert len(lines) == 6


def test_a_layer_called_in_two_ways_lists_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = gdl.SAGEConv(4, 4)

        def forward(self, x, edge_index):
            return self.conv(self.conv(x, edge_index).expand(2, -1, -1), edge_index)

    (row,) = explain_lowering(Twice(), X, EDGES)
    assert row.ran == "compiled + message"
    assert "3 dimensions" in row.refused["compiled"]


def test_nothing_is_left_behind_when_the_model_fails():
    model = Mixed()
    with pytest.raises(ValueError, match=r"`edge_index\[1\]` refers to node 9"):
        explain_lowering(model, X, EDGES + torch.tensor([[0], [7]]))
    assert all(module._record is None for module in model.modules() if isinstance(module, gdl.Lowered))
    assert explain_lowering(nn.Linear(4, 4), X) == ()


def test_a_layer_that_accelerate_leaves_alone_says_why():
    class OwnStep(pyg.SimpleConv):
        def propagate(self, edge_index, size=None, **inputs):
            return super().propagate(edge_index, size=size, **inputs)

    class Plain(pyg.SimpleConv):
        pass

    for model in (OwnStep(), accelerate(OwnStep())):
        (row,) = explain_lowering(model, X, EDGES)
        assert row.refused == {"compiled": "`OwnStep` has its own `propagate`"}
    assert model.accelerated.skipped == {"model": row.refused["compiled"]}
    assert explain_lowering(Plain(), X, EDGES)[0].refused == {"compiled": "the layer is not accelerated"}

"""Whatever does not fit is refused at construction, with both sides named."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.data import Data

from graphgdl.domains import Grid
from graphgdl.groups import SO, Cyclic, Dihedral, FieldType, O, regular, scalars, standard
from graphgdl.models import Blueprint, Skip, UNet
from graphgdl.nn import (
    ChainGRU,
    DeepSets,
    FieldNorm,
    GatedNonlinearity,
    GCNConv,
    GridConv,
    GridFlatten,
    GridGlobalPool,
    GridPool,
    GridUpsample,
    HeavyEdgePool,
    NormNonlinearity,
    NormPool,
    PointwiseNonlinearity,
    Readout,
    TopKPool,
    TransformerEncoderLayer,
    Unpool,
)

VECTORS, TURNS = FieldType(standard(SO(2)), 2), FieldType(regular(Cyclic(4)), 2)


def conv(c, d):
    return GridConv(c, d, 3, dim=2, padding=1)


MISFITS = {
    "channels": (
        lambda: [GridConv(3, 16, 3, dim=2), nn.ReLU(), GridConv(8, 16, 3, dim=2)],
        r"layer 2, `GridConv\(8, 16, .*\)`, takes 8 scalar channels, but layer 0, `GridConv\(3, 16, .*\)`, "
        r"gives 16 scalar channels; make both the same",
    ),
    "channels of PyG's layers": (
        lambda: [pyg.GATConv(3, 4, heads=2), pyg.SAGEConv(4, 5)],
        r"layer 1, `SAGEConv\(4, 5, .*\)`, takes 4 scalar channels, but layer 0, `GATConv\(3, 4, heads=2\)`, gives 8 scalar",
    ),
    "channels inside a sequence": (
        lambda: [GCNConv(3, 4), nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(5, 1))],
        r"layer 1\.2, `Linear\(in_features=5, .*takes 5 scalar channels, but layer 1\.0, `Linear\(.* gives 6 scalar",
    ),
    "channels inside a blueprint": (
        lambda: [GCNConv(3, 4), Blueprint([GCNConv(5, 4), nn.ReLU()])],
        r"layer 1\.0, `GCNConv\(5, 4\)`, takes 5 scalar channels, but layer 0, `GCNConv\(3, 4\)`, gives 4 scalar channels",
    ),
    "channels of an encoder": (
        lambda: [GCNConv(3, 6), TransformerEncoderLayer(4, 2)],
        r"takes 4 scalar channels, but layer 0, .* gives 6 scalar channels",
    ),
    "channels of a norm": (
        lambda: [GCNConv(3, 6), nn.BatchNorm1d(4)],
        r"`BatchNorm1d\(.*takes 4 scalar channels, .* gives 6 scalar channels",
    ),
    "multiplicity": (
        lambda: [FieldNorm(VECTORS), FieldNorm(FieldType(standard(SO(2)), 3))],
        r"layer 1, `FieldNorm\(3 x standard of SO\(2\)\)`, takes 3 x .* layer 0, .* gives 2 x standard of SO\(2\)",
    ),
    "group": (
        lambda: [FieldNorm(FieldType(regular(Cyclic(4)), 2)), FieldNorm(FieldType(regular(Dihedral(2)), 2))],
        r"takes 2 x regular of Dihedral\(2\), but layer 0, .* gives 2 x regular of Cyclic\(4\); make both the same",
    ),
    "representation": (
        lambda: [NormNonlinearity(FieldType(standard(O(2)), 2)), NormPool(FieldType(standard(SO(2)), 2))],
        r"takes 2 x standard of SO\(2\), but layer 0, .* gives 2 x standard of O\(2\)",
    ),
    "fields into a layer of scalars of as many channels": (
        lambda: [FieldNorm(TURNS), GridConv(8, 8, 3, dim=2)],
        r"`GridConv\(8, 8, .* takes 8 scalar channels, but layer 0, .* gives 2 x regular of Cyclic\(4\)",
    ),
    "scalars into a layer of fields": (
        lambda: [GCNConv(3, 8), FieldNorm(TURNS)],
        r"takes 2 x regular of Cyclic\(4\), but layer 0, `GCNConv\(3, 8\)`, gives 8 scalar channels",
    ),
    "a pointwise function of vectors": (
        lambda: [FieldNorm(VECTORS), nn.ReLU()],
        r"layer 1, `ReLU\(\)`, acts channel by channel, which does not commute with a representation that mixes them, but "
        r"layer 0, .* gives 2 x standard of SO\(2\); take `NormNonlinearity` or `GatedNonlinearity`, or make invariants",
    ),
    "dropout of vectors": (
        lambda: [GatedNonlinearity(VECTORS), nn.Dropout()],
        r"`Dropout\(.*\)`, acts channel by channel",
    ),
    "the largest of vectors": (
        lambda: [FieldNorm(VECTORS), Readout("max")],
        r"`Readout\('max'\)`, acts channel by channel",
    ),
    "the largest of vectors in a window": (
        lambda: [FieldNorm(VECTORS), GridPool(2, dim=2)],
        r"`GridPool\(\(2, 2\), 'max', .*\)`, acts channel by channel",
    ),
    "a local layer after flattening": (
        lambda: [conv(3, 4), GridFlatten(), conv(4, 4)],
        r"`GridConv\(.*\)`, works on nodes, but layer 1, `GridFlatten\(\)`, has left one row for each graph",
    ),
    "the larger of two vectors": (
        lambda: [FieldNorm(VECTORS), HeavyEdgePool("max")],
        r"'max'\)`, acts channel by",
    ),
    "a norm per channel": (
        lambda: [PointwiseNonlinearity(TURNS), nn.BatchNorm1d(8)],
        r"layer 1, `BatchNorm1d\(8, .*\)`, treats the channels of a copy unlike each other, .* but layer 0, .* gives 2 x "
        r"regular of Cyclic\(4\); take `FieldNorm`, or make invariants first, by `NormPool`",
    ),
    "a norm of PyG's": (
        lambda: [FieldNorm(TURNS), pyg.LayerNorm(8)],
        "`LayerNorm.*`, treats the channels of a copy unlike",
    ),
    "a readout that says nothing": (
        lambda: [FieldNorm(VECTORS), pyg.aggr.MaxAggregation()],
        r"`MaxAggregation\(\)`, states no `in_type`, so that it takes .*; make invariants first, by `NormPool`",
    ),
    "a local layer after the readout": (
        lambda: [GCNConv(3, 4), Readout("mean"), nn.ReLU(), GCNConv(4, 4)],
        r"layer 3, `GCNConv\(4, 4\)`, works on nodes, but layer 1, `Readout\('mean'\)`, has left one row for each graph; "
        r"put every local layer before the readout",
    ),
    "a norm over graphs after the readout": (
        lambda: [Readout(), pyg.GraphNorm(4)],
        r"`GraphNorm\(4\)`, works on nodes",
    ),
    "a pooling after the readout": (lambda: [Readout(), HeavyEdgePool()], r"`HeavyEdgePool\('mean'\)`, works on nodes"),
    "two readouts": (
        lambda: [DeepSets(nn.Linear(3, 4)), Readout()],
        r"works on nodes, but layer 0, `DeepSets",
    ),
    "a grid after a pooling": (
        lambda: [conv(3, 4), HeavyEdgePool(), conv(4, 4)],
        r"layer 2, `GridConv\(.*\)`, needs a Grid of 2 axes, but layer 1, `HeavyEdgePool\('mean'\)`, has a graph; keep",
    ),
    "grids of other dimension": (
        lambda: [GridConv(3, 4, 3, dim=1), conv(4, 4)],
        r"needs a Grid of 2 axes, but layer 0, `GridConv\(.*\)`, has a Grid of 1 axis",
    ),
    "a readout of grids after a pooling": (
        lambda: [conv(3, 4), HeavyEdgePool(), GridGlobalPool()],
        r"`GridGlobalPool\(\)`, needs a Grid, but layer 1, `HeavyEdgePool\('mean'\)`, has a graph; keep",
    ),
    "a chain and a set": (
        lambda: [ChainGRU(3, 4), DeepSets(nn.Identity())],
        r"`DeepSets\(...\)`, needs a Complete, but layer 0, `ChainGRU\(.*\)`, has a Chain",
    ),
    "nothing to undo": (
        lambda: [GCNConv(3, 4), Unpool()],
        r"layer 1, `Unpool\(\)`, has no pooling to undo; put it after",
    ),
    "undone twice": (lambda: [HeavyEdgePool(), Unpool(), Unpool()], r"layer 2, `Unpool\(\)`, has no pooling to undo"),
    "a way round a readout": (
        lambda: [Skip([GCNConv(3, 4), Readout()])],
        r"`Skip` must lead back to the nodes it starts from, but layer 1, `Readout\('sum'\)`, leaves one row for",
    ),
    "a way round a pooling": (
        lambda: [Skip([HeavyEdgePool()])],
        r"`Skip` must lead back .* a graph; undo each",
    ),
    "an outer pooling undone inside": (
        lambda: [HeavyEdgePool(), Skip([Unpool()])],
        r"`Unpool\(\)`, has no pooling",
    ),
    "sums of unlike channels": (
        lambda: [Skip([GCNConv(3, 4)], combine="add")],
        r"`Skip` adds 3 scalar channels and 4 scalar channels; make both of one type",
    ),
    "vectors beside scalars": (
        lambda: [Skip([NormPool(VECTORS)])],
        r"`Skip` joins 2 x standard .* and 2 x trivial",
    ),
    "no layer": (lambda: [], "`layers` must hold at least one layer, got none"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_misfits_are_refused_with_both_sides_named(name):
    layers, message = MISFITS[name]
    with pytest.raises(ValueError, match=message):
        Blueprint(layers())


CALLS = {
    "`structure` must be given, since `GCNConv.* looks at more than one node, got None": (
        ValueError,
        lambda: Blueprint([GCNConv(3, 4)])(torch.ones(2, 3)),
    ),
    "`data` must be a Data, or a tensor .* got list": (TypeError, lambda: Blueprint([nn.ReLU()])([1.0])),
    r"`data.x` must hold node features, got None": (ValueError, lambda: Blueprint([nn.ReLU()])(Data())),
    "`data` holds its own structure, batch and features; pass a `Data` alone": (
        ValueError,
        lambda: Blueprint([nn.ReLU()])(Data(x=torch.ones(2, 1)), Grid((2,))),
    ),
    r"`layers` must be modules, got \w+ at 1; wrap": (TypeError, lambda: Blueprint([nn.ReLU(), torch.relu])),
    "`combine` must be 'cat' or 'add', got 'mul'": (ValueError, lambda: Skip([nn.ReLU()], combine="mul")),
    "`channels` must hold .* at least one level, got none": (ValueError, lambda: UNet.on_graph(1, 1, [])),
    "`x` has 9 nodes on the short way and 4 on the long one; along each axis of a grid the strides must divide": (
        ValueError,
        lambda: UNet.on_grid(1, 1, [2, 2, 2], dim=2)(torch.ones(36, 1), Grid((6, 6))),
    ),
    r"`x` lies on Grid\(.*shape=\(4, 4\).* on the short way and on Grid\(.*shape=\(2, 8\).* on the long one; undo each": (
        ValueError,
        lambda: Skip([GridPool((2, 1)), GridUpsample((1, 2))])(torch.ones(16, 1), Grid((4, 4))),
    ),
}


@pytest.mark.parametrize("message", CALLS)
def test_misuse_is_refused_by_name(message):
    kind, call = CALLS[message]
    with pytest.raises(kind, match=message):
        call()


def test_a_layer_that_states_nothing_may_stand_among_scalars():
    class Unknown(nn.Module):
        def forward(self, x):
            return x[:, :2]

    model = Blueprint([TopKPool(3), Unknown(), nn.Linear(2, 1)])
    assert model.out_type == scalars(1)
    assert Blueprint([nn.Linear(2, 3), Unknown()]).out_type is None
    with pytest.raises(
        ValueError, match=r"`Unknown\(\)`, states no `in_type`, .* gives 2 x standard of SO\(2\); make inv"
    ):
        Blueprint([FieldNorm(VECTORS), Unknown()])


def test_a_misfit_inside_a_skip_is_named_by_its_place():
    with pytest.raises(
        ValueError, match=r"layer 1\.0, `ReLU\(\)`, acts channel by channel, .* but layer 0, `FieldNorm"
    ):
        Blueprint([FieldNorm(VECTORS), Skip([nn.ReLU()])])

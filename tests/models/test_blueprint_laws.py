"""A blueprint states what its layers have in common, no more and no less, and it is proved."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.data import Data

from graphgdl.domains import Chain, Complete, Grid, StructuredData
from graphgdl.groups import SO, Cyclic, FieldType, regular, scalars, standard
from graphgdl.models import Blueprint, Skip, UNet
from graphgdl.nn import (
    ChainGRU,
    DeepSetsConv,
    DiffPool,
    FieldNorm,
    GCNConv,
    GraphConv,
    GridConv,
    GroupConv,
    GroupLiftingConv,
    GroupPool,
    HeavyEdgePool,
    NormNonlinearity,
    NormPool,
    PointwiseNonlinearity,
    Readout,
    SteerablePointConv,
    TopKPool,
    TransformerEncoderLayer,
    Unpool,
)
from graphgdl.testing import assert_equivariant, verify

C = 3
PERMUTATIONS, SETS = "permutations of the nodes", "permutations within each set"
EDGES = "permutations of the nodes with their edges"


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def equal_weights():
    data = graph(weighted=False)
    data.edge_weight = torch.ones(data.num_edges)
    return data


def graph(weighted=True):
    ring = torch.stack([torch.arange(9), (torch.arange(9) + 1) % 9])
    one_way = torch.cat([ring, torch.tensor([[0, 2], [3, 6]])], dim=1)
    data = Data(x=random(9, C), edge_index=torch.cat([one_way, one_way.flip(0)], dim=1))
    if weighted:
        data.edge_weight = (random(11, seed=2).sigmoid() + 0.5).repeat(2)
    return data


def points():
    data = graph(weighted=False)
    data.pos = random(9, 2, seed=3)
    return data


def on(structure, c=C):
    return StructuredData(random(structure.num_nodes, c), structure)


def conv(c, d, stride=1):
    return GridConv(c, d, 3, dim=2, padding=1, stride=stride)


TORUS, SQUARE = Grid((8, 12), periodic=True), Grid((4, 4), periodic=True)
C4, VECTORS = FieldType(regular(Cyclic(4)), 2), FieldType(standard(SO(2)), 2)


def p4_net(stride, *head):
    first = GroupLiftingConv(C, 2, 3, Cyclic(4), padding=1)
    second = GroupConv(2, 2, 3, Cyclic(4), padding=1, stride=stride)
    return Blueprint([first, FieldNorm(C4), PointwiseNonlinearity(C4, torch.tanh), second, *head])


CASES = {
    "graph": (lambda: [GraphConv(C, 4), nn.Tanh(), GCNConv(4, 2)], graph, [PERMUTATIONS]),
    "graph, invariant": (lambda: [GraphConv(C, 4), nn.Tanh(), Readout(), nn.Linear(4, 2)], graph, [PERMUTATIONS]),
    "graph, dropout": (
        lambda: [GraphConv(C, 4), nn.Dropout(0.2), pyg.LayerNorm(4), nn.Tanh(), pyg.aggr.MeanAggregation()],
        graph,
        [PERMUTATIONS, f"{PERMUTATIONS}, in training"],
    ),
    "graph, pooled and back": (
        lambda: [GraphConv(C, 4), HeavyEdgePool(), GraphConv(4, 4), nn.Tanh(), Unpool(), GraphConv(4, 2)],
        graph,
        [PERMUTATIONS],
    ),
    "graph, pooled twice": (
        lambda: [TopKPool(C, 0.7), GraphConv(C, 4), nn.Tanh(), DiffPool(4, 3), GraphConv(4, 4), Readout("mean")],
        graph,
        [PERMUTATIONS],
    ),
    "graph, left pooled": (lambda: [GraphConv(C, 4), nn.Tanh(), HeavyEdgePool(), GraphConv(4, 2)], graph, []),
    "graph, pooled at ties": (lambda: [HeavyEdgePool(), GraphConv(C, 2), Readout()], lambda: graph(False), []),
    "graph, pooled to ties": (lambda: [TopKPool(C, 0.9), HeavyEdgePool(), Readout("max")], lambda: graph(False), []),
    "graph, equal weights": (lambda: [HeavyEdgePool(), GraphConv(C, 2), Readout()], equal_weights, []),
    "U-Net on a graph": (lambda: [UNet.on_graph(C, 2, [3, 4, 4])], graph, [PERMUTATIONS]),
    "an order of the nodes": (lambda: [GraphConv(C, 4), pyg.aggr.LSTMAggregation(4, 4)], graph, []),
    "sets": (
        lambda: [TransformerEncoderLayer(C, 3, 8, dropout=0.0), DeepSetsConv(C, 4), Readout("max")],
        lambda: on(Complete(5)),
        [SETS],
    ),
    "torus": (lambda: [conv(C, 4), nn.Tanh(), conv(4, 2)], lambda: on(TORUS), ["translations of the periodic grid"]),
    "torus, strides": (
        lambda: [conv(C, 4, 2), nn.Tanh(), conv(4, 4, 2), nn.BatchNorm1d(4)],
        lambda: on(TORUS),
        ["translations by multiples of 4x4"],
    ),
    "torus, stride, invariant": (
        lambda: [conv(C, 4, 2), nn.Tanh(), Readout("mean")],
        lambda: on(TORUS),
        ["translations by multiples of 2x2"],
    ),
    "torus, a stride that does not divide": (
        lambda: [conv(C, 4, 2), nn.Tanh(), conv(4, 4, 2), nn.Tanh(), conv(4, 2, 2)],
        lambda: on(Grid((16, 12), periodic=True)),
        ["translations by multiples of 8x0"],
    ),
    "torus, as a graph among others": (
        lambda: [GCNConv(C, 4), conv(4, 4), nn.Tanh(), conv(4, 2)],
        lambda: on(TORUS),
        ["translations of the periodic grid"],
    ),
    "U-Net on a torus": (
        lambda: [UNet.on_grid(C, 2, [3, 4, 4], dim=2)],
        lambda: on(TORUS),
        ["translations by multiples of 4x4"],
    ),
    "cylinder": (
        lambda: [conv(C, 4), nn.Tanh(), conv(4, 2)],
        lambda: on(Grid((4, 6), periodic=(False, True))),
        ["translations of the periodic grid"],
    ),
    "open grid": (lambda: [conv(C, 4)], lambda: on(Grid((4, 6))), []),
    "grid as a graph": (
        lambda: [GCNConv(C, 4), nn.Tanh(), GCNConv(4, 2)],
        lambda: on(TORUS),
        [EDGES, "translations of the periodic grid"],
    ),
    "chain": (
        lambda: [ChainGRU(C, 4), nn.Tanh(), nn.Linear(4, 2)],
        lambda: on(Chain(7)),
        [EDGES, "causality: cutting off the future"],
    ),
    "chain, both ways": (lambda: [ChainGRU(C, 4), ChainGRU(4, 2, bidirectional=True)], lambda: on(Chain(4)), [EDGES]),
    "chain, norm over its nodes": (lambda: [ChainGRU(C, 4), pyg.GraphNorm(4)], lambda: on(Chain(4)), [EDGES]),
    "plane, invariant": (
        lambda: [
            SteerablePointConv(scalars(C), VECTORS, radius=3.0),
            NormNonlinearity(VECTORS, torch.tanh),
            NormPool(VECTORS),
            Readout(),
            nn.Linear(2, 2),
        ],
        points,
        [PERMUTATIONS, "SO(2) and translations of the plane"],
    ),
    "plane, vectors": (
        lambda: [
            SteerablePointConv(scalars(C), VECTORS, radius=3.0),
            Skip([NormNonlinearity(VECTORS, torch.tanh)], combine="add"),
            SteerablePointConv(VECTORS, VECTORS, radius=3.0),
            Readout("mean"),
        ],
        points,
        [PERMUTATIONS, "SO(2) and translations of the plane"],
    ),
    "plane, no turns": (
        lambda: [SteerablePointConv(scalars(C), scalars(2), radius=3.0), nn.Tanh()],
        points,
        [PERMUTATIONS, "translations of the plane"],
    ),
    "plane, then a graph": (
        lambda: [
            SteerablePointConv(scalars(C), VECTORS, radius=3.0),
            HeavyEdgePool(),
            NormPool(VECTORS),
            GraphConv(2, 4),
            nn.Tanh(),
            Unpool(),
        ],
        points,
        ["SO(2) and translations of the plane"],
    ),
    "plane, pooled": (
        lambda: [
            SteerablePointConv(scalars(C), VECTORS, radius=3.0),
            HeavyEdgePool(),
            SteerablePointConv(VECTORS, VECTORS, radius=3.0),
            NormPool(VECTORS),
            DiffPool(2, 3),
            SteerablePointConv(scalars(2), VECTORS, radius=3.0),
            Readout("mean"),
        ],
        points,
        ["SO(2) and translations of the plane"],
    ),
    "plane, positions seen by another": (
        lambda: [SteerablePointConv(scalars(C), scalars(2), radius=3.0), pyg.PointNetConv(nn.Linear(4, 2))],
        points,
        [PERMUTATIONS],
    ),
    "each node alone": (lambda: [nn.Linear(C, 4), nn.Tanh()], lambda: Data(x=random(5, C)), [PERMUTATIONS]),
    "p4 on a torus": (
        lambda: [p4_net(1)],
        lambda: on(SQUARE),
        ["translations of the periodic grid", "Cyclic(4) with shifts of the torus"],
    ),
    "p4 on a torus, stride, invariant": (
        lambda: [p4_net(2, GroupPool(C4), Readout("mean"), nn.Linear(2, 2))],
        lambda: on(Grid((8, 8), periodic=True)),
        ["translations by multiples of 2x2", "Cyclic(4) with shifts of the torus"],
    ),
    "p4 on a torus, stride": (
        lambda: [p4_net(2)],
        lambda: on(Grid((8, 8), periodic=True)),
        ["translations by multiples of 2x2", "Cyclic(4) with shifts of the torus"],
    ),
    "p4 on an odd square": (
        lambda: [p4_net(2, PointwiseNonlinearity(C4, torch.tanh))],
        lambda: on(Grid((5, 5))),
        ["Cyclic(4) about the centre of the grid"],
    ),
    "p4 on an odd square, invariant": (
        lambda: [p4_net(2, GroupPool(C4), Readout("mean"))],
        lambda: on(Grid((5, 5))),
        ["Cyclic(4) about the centre of the grid"],
    ),
    "p4 on an even square": (lambda: [p4_net(2, GroupPool(C4), Readout("mean"))], lambda: on(Grid((6, 6))), []),
    "p4, then a plain convolution": (
        lambda: [p4_net(1, GroupPool(C4)), conv(2, 2)],
        lambda: on(SQUARE),
        ["translations of the periodic grid"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_laws_are_those_that_hold(name):
    layers, draw, statements = CASES[name]
    torch.manual_seed(0)
    model, data = Blueprint(layers()), draw()
    laws = model.laws(data)
    assert [law.statement for law in laws] == statements
    for law in laws:
        if law.kind != "distribution":
            how = "invariant" if law.invariant else "equivariant"
            assert assert_equivariant(model, data, group=law.group, law=how, draws=6) < 1e-10


@pytest.mark.parametrize(
    "name",
    [
        *("graph, dropout", "graph, pooled and back", "sets", "torus, strides", "torus, stride, invariant", "chain"),
        *("plane, vectors", "plane, no turns", "p4 on a torus, stride", "p4 on an odd square, invariant"),
    ],
)
def test_verify_proves_them_with_its_controls(name):
    layers, draw, _ = CASES[name]
    torch.manual_seed(0)
    for verdict in verify(Blueprint(layers()), draw()):
        assert verdict.holds, verdict.failures
        assert 1e-6 < verdict.twin < 1


def test_stating_laws_changes_nothing():
    norm = nn.BatchNorm1d(4)
    model = Blueprint([GraphConv(C, 4), norm]).train()
    model.laws(graph())
    assert int(norm.num_batches_tracked) == 0
    assert model.training
    assert norm.training


def test_a_layer_that_says_nothing_leaves_nothing_to_state():
    class First(nn.Module):
        def forward(self, x):
            return x - x[:1]

    assert Blueprint([GraphConv(C, 4), First()]).laws(graph()) == ()
    assert Blueprint([conv(C, 4), First()]).laws(on(TORUS)) == ()


def test_edge_features_on_a_torus_leave_no_translations():
    data = on(TORUS)
    data.edge_weight = random(TORUS.num_edges).sigmoid()
    (law,) = Blueprint([GCNConv(C, 4), nn.Tanh()]).laws(data)
    assert law.statement == EDGES

"""A blueprint computes what its layers compute one after another, on every domain."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data

from graphgdl.domains import Chain, Complete, Grid, StructuredData
from graphgdl.groups import SO, Cyclic, FieldType, regular, scalars, standard
from graphgdl.models import Blueprint, Skip
from graphgdl.models.blueprint import state_of
from graphgdl.models.state import State
from graphgdl.nn import (
    ChainGRU,
    DeepSets,
    DeepSetsConv,
    DiffPool,
    FieldNorm,
    GATConv,
    GCNConv,
    GINConv,
    GraphConv,
    GridConv,
    GridConvTranspose,
    GridPool,
    GridUpsample,
    HeavyEdgePool,
    JanossyPooling,
    NormNonlinearity,
    NormPool,
    PointwiseNonlinearity,
    PoolingByMultiheadAttention,
    Readout,
    TopKPool,
    TransformerEncoderLayer,
    Unpool,
    accelerate,
    explain_lowering,
    global_mean_pool,
)

EDGES = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0], [1, 0, 2, 1, 3, 2, 0, 3]])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def x(n, c):
    return torch.randn(n, c, generator=torch.Generator().manual_seed(1))


def test_grids_hand_on_their_grid():
    down, up = GridConv(2, 4, 3, dim=2, stride=2, padding=1), GridConvTranspose(4, 3, 2, dim=2, stride=2)
    head = nn.Linear(3, 5)
    grid = Grid((4, 6), periodic=True, ptr=[0, 24, 48])
    out = Blueprint([down, nn.ReLU(), up, Readout("mean"), head])(x(48, 2), grid)
    coarse = down.grid(grid)
    want = head(global_mean_pool(up(down(x(48, 2), grid).relu(), coarse), grid.batch, 2))
    torch.testing.assert_close(out, want)
    assert coarse.shapes == ((2, 3), (2, 3))


def test_sets_and_chains():
    sets = Complete([0, 2, 5])
    encoder, conv = TransformerEncoderLayer(4, 2, 8).eval(), DeepSetsConv(4, 6)
    for readout in (Readout(), DeepSets(nn.Identity()), pyg.aggr.SumAggregation()):
        out = Blueprint([encoder, conv, readout, nn.Linear(6, 1)])
        torch.testing.assert_close(
            out(x(5, 4), sets), out.layers[-1](pyg.global_add_pool(conv(encoder(x(5, 4), sets), sets), sets.batch))
        )
    attention = PoolingByMultiheadAttention(4, heads=2)
    assert Blueprint([encoder, attention, nn.Linear(4, 3)])(x(5, 4), sets).shape == (2, 1, 3)
    chain, gru = Chain([0, 2, 5]), ChainGRU(3, 4, bidirectional=True)
    pointwise = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    torch.testing.assert_close(Blueprint([gru, pointwise])(x(5, 3), chain), pointwise(gru(x(5, 3), chain)))


def test_graphs_get_what_each_layer_names():
    gcn, gat, norm = GCNConv(3, 4), GATConv(4, 5, heads=2, edge_dim=2), pyg.GraphNorm(10)
    data = Data(x=x(4, 3), edge_index=EDGES, edge_weight=torch.rand(8), edge_attr=torch.rand(8, 2))
    batch = Batch.from_data_list([data, data])
    out = Blueprint([gcn, nn.ELU(), gat, norm, Readout("max")])(batch)
    h = nn.functional.elu(gcn(batch.x, batch.edge_index, batch.edge_weight))
    h = norm(gat(h, batch.edge_index, batch.edge_attr), batch.batch)
    torch.testing.assert_close(out, pyg.global_max_pool(h, batch.batch))


@pytest.mark.parametrize("structure", [Grid((2, 2)), Complete(4), Chain(4), EDGES], ids=lambda s: type(s).__name__)
def test_one_model_on_any_domain(structure):
    model = Blueprint([GraphConv(3, 4), nn.ReLU(), Readout(), nn.Linear(4, 2)])
    edges = structure if isinstance(structure, torch.Tensor) else structure.edge_index
    want = model(x(4, 3), edges)
    torch.testing.assert_close(model(x(4, 3), structure), want)
    data = Data(x=x(4, 3), edge_index=edges)
    torch.testing.assert_close(model(data), want)
    if structure is not edges:
        torch.testing.assert_close(model(StructuredData(x(4, 3), structure)), want)


def test_positions_reach_a_layer_that_names_them():
    conv, data = pyg.PointNetConv(nn.Linear(5, 4)), Data(x=x(4, 3), pos=x(4, 2), edge_index=EDGES)
    torch.testing.assert_close(Blueprint([conv])(data.x, EDGES, pos=data.pos), conv(data.x, data.pos, EDGES))


def test_empty_graphs_at_the_end_of_a_batch_keep_their_row():
    data = [Data(x=x(2, 3), edge_index=torch.tensor([[0], [1]])), Data(x=x(0, 3), edge_index=EDGES[:, :0])]
    assert Blueprint([GraphConv(3, 4), Readout()])(Batch.from_data_list(data)).shape == (2, 4)


@pytest.mark.parametrize("structured", [True, False])
def test_a_batch_of_batches_is_its_graphs(structured):
    def single(n):
        return (
            StructuredData(x(n, 3), Complete(n)) if structured else Data(x=x(n, 3), edge_index=Complete(n).edge_index)
        )

    batches = [Batch.from_data_list(list(map(single, sizes))) for sizes in ((3, 2), (1, 4, 2))]
    nested = Batch.from_data_list(batches)
    assert nested.batch.tolist() == [0] * 3 + [1] * 2 + [2] + [3] * 4 + [4] * 2
    model = Blueprint([GraphConv(3, 4), Readout("mean"), nn.Linear(4, 2)])
    torch.testing.assert_close(model(nested), torch.cat(list(map(model, batches))))


def test_a_blueprint_is_a_layer():
    inner = Blueprint([GraphConv(3, 4), nn.ReLU()])
    outer = Blueprint([inner, GraphConv(4, 3), Skip([GraphConv(3, 3)], combine="add"), Readout()])
    h = outer.layers[1](inner(x(4, 3), EDGES), EDGES)
    want = (h + outer.layers[2].layers[0](h, EDGES)).sum(0, keepdim=True)
    torch.testing.assert_close(outer(x(4, 3), EDGES), want)
    assert outer.in_type == scalars(3)
    assert outer.out_type == scalars(3)


def test_pygs_layers_in_a_blueprint_are_accelerated():
    model = Blueprint([pyg.GCNConv(3, 4), nn.ReLU(), Skip([pyg.GATConv(4, 2)]), Readout()])
    before = model(x(4, 3), EDGES)
    report = explain_lowering(accelerate(model), x(4, 3), EDGES)
    assert [layer.ran for layer in report] == ["compiled", "compiled"]
    torch.testing.assert_close(model(x(4, 3), EDGES), before)


def test_copies_are_independent_and_states_load():
    model = Blueprint([GraphConv(3, 4), nn.ReLU(), Readout()])
    other = copy.deepcopy(model)
    before = model(x(4, 3), EDGES)
    for parameter in other.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(model(x(4, 3), EDGES), before)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(x(4, 3), EDGES), before)


def test_pooling_reports_its_loss_and_is_undone():
    model = Blueprint([GraphConv(3, 4), DiffPool(4, 3), GraphConv(4, 4), DiffPool(4, 2), Unpool(), Unpool()])
    data = Batch.from_data_list([Data(x=x(4, 3), edge_index=EDGES)] * 2)
    after = model.run(state_of(data))
    assert after.x.shape == (8, 4)
    assert after.domain is data.edge_index
    first = model.layers[1](model.layers[0](data.x, data.edge_index), data.edge_index, data.batch)
    second = model.layers[3](
        model.layers[2](first.x, first.edge_index, first.edge_weight), first.edge_index, first.batch, first.edge_weight
    )
    torch.testing.assert_close(after.loss, first.loss + second.loss)
    after.loss.backward()
    assert model.layers[0].lin_rel.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("pool", [HeavyEdgePool(), TopKPool(4), DiffPool(4, 3)], ids=str)
def test_layers_after_a_pooling_see_the_coarse_graph(pool):
    first, second = GraphConv(3, 4), GraphConv(4, 2)
    out = Blueprint([first, pool, second])(x(4, 3), EDGES)
    coarse = pool(first(x(4, 3), EDGES), EDGES)
    torch.testing.assert_close(out, second(coarse.x, coarse.edge_index, coarse.edge_weight))


def test_a_pooling_leaves_the_centres_of_its_clusters():
    pos, weights = x(4, 2), torch.tensor([1.0, 1, 3, 3, 1, 1, 2, 2])
    model = Blueprint([HeavyEdgePool()])
    pairs = model.run(State(x(4, 3), EDGES, features={"pos": pos, "edge_weight": weights})).features["pos"]
    torch.testing.assert_close(pairs, torch.stack([(pos[0] + pos[3]) / 2, (pos[1] + pos[2]) / 2]))
    pool = DiffPool(3, 2)
    soft = Blueprint([pool]).run(State(x(4, 3), EDGES, features={"pos": pos})).features["pos"]
    s = pool.lin(x(4, 3)).softmax(dim=1)
    torch.testing.assert_close(soft, (s.T @ pos) / s.sum(0)[:, None])


VECTORS, TURNS = FieldType(standard(SO(2)), 2), FieldType(regular(Cyclic(4)), 2)
FITS = {
    "pointwise on a regular representation": [PointwiseNonlinearity(TURNS), nn.ReLU(), FieldNorm(TURNS), nn.Dropout()],
    "norms of vectors": [NormNonlinearity(VECTORS), FieldNorm(VECTORS), NormPool(VECTORS), nn.Linear(2, 3)],
    "sum and mean of vectors": [NormNonlinearity(VECTORS), Readout("mean"), NormPool(VECTORS)],
    "maximum over permuted channels": [FieldNorm(TURNS), Readout("max"), nn.Identity(), NormPool(TURNS)],
    "vectors come back from a pooling": [FieldNorm(VECTORS), HeavyEdgePool(), Unpool(), NormNonlinearity(VECTORS)],
    "invariants are scalars under any group": [NormPool(VECTORS), nn.ReLU(), nn.BatchNorm1d(2), GCNConv(2, 3)],
    "joined vectors": [FieldNorm(VECTORS), Skip([FieldNorm(VECTORS)]), NormPool(FieldType(standard(SO(2)), 4))],
    "PyG finds out by itself": [pyg.GCNConv(-1, 4), nn.ReLU(), pyg.GATConv(4, 2, heads=3), nn.Linear(6, 1)],
    "GIN": [GINConv(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 5))), nn.LayerNorm(5), nn.Linear(5, 1)],
    "a set": [DeepSetsConv(3, 4), JanossyPooling(1, nn.Linear(4, 5)), nn.ReLU()],
    "vectors in windows": [FieldNorm(VECTORS), GridPool(2, "mean", dim=2), GridUpsample(2, dim=2), NormPool(VECTORS)],
    "a grid of edges": [GraphConv(2, 3), GridConv(3, 4, 3, dim=2), nn.ReLU(), GridConvTranspose(4, 2, 2, dim=2)],
}


@pytest.mark.parametrize("name", FITS)
def test_what_fits_is_built(name):
    Blueprint(FITS[name])

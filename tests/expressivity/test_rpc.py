import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.lift import marked_copies
from graphgdl.expressivity.models import GIN, NodeMarkingGIN, load_model
from graphgdl.expressivity.relabel import Copies, collate, interleave, relabelled_arcs
from graphgdl.expressivity.rpc import compare_pair
from graphgdl.expressivity.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
import models_for_tests as controls

HEXAGON = Graph.from_edges(6, [(i, (i + 1) % 6) for i in range(6)])
TRIANGLES = Graph.from_edges(6, [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)])
PAIR = HEXAGON, TRIANGLES
QUICK = Settings(epochs=2)


def test_relabelled_arcs_are_relabellings():
    rng = np.random.default_rng(0)
    star = Graph.from_edges(5, [(0, i) for i in range(1, 5)])
    copies = relabelled_arcs(star, 50, rng)
    hubs = set()
    for arcs in copies:
        degree = np.bincount(arcs[1], minlength=5)
        assert sorted(degree) == [1, 1, 1, 1, 4]
        assert {tuple(a) for a in arcs.T} == {tuple(a[::-1]) for a in arcs.T}
        assert (np.diff(arcs[1]) >= 0).all()
        hubs.add(int(degree.argmax()))
    assert hubs == set(range(5))


def test_collate_equals_pyg():
    graphs = [HEXAGON, TRIANGLES, Graph.from_edges(3, [(0, 1)]), Graph.from_edges(1, [])]
    rng = np.random.default_rng(1)
    arcs = [relabelled_arcs(g, 1, rng)[0] for g in graphs]
    ours = collate(arcs, [g.n for g in graphs])
    data = [Data(x=torch.ones(g.n, 1), edge_index=torch.from_numpy(a)) for g, a in zip(graphs, arcs)]
    theirs = Batch.from_data_list(data)
    for key in ("x", "edge_index", "batch", "ptr"):
        assert torch.equal(ours[key], theirs[key]), key
    assert ours.num_graphs == 4
    assert all(torch.equal(a.edge_index, b.edge_index) for a, b in zip(ours.to_data_list(), data))


def test_marked_copies_batch():
    graphs = [HEXAGON.to_data(), Graph.from_edges(3, [(0, 1), (1, 2)]).to_data()]
    batch = Batch.from_data_list([marked_copies(g) for g in graphs])
    assert batch.num_nodes == 36 + 9
    assert batch.copy_index.tolist() == [v // 6 for v in range(36)] + [6 + v // 3 for v in range(9)]
    assert (batch.x[batch.root_index, 1] == 1).all()
    assert batch.x[:, 1].sum() == 9
    assert torch.equal(batch.copy_index[batch.edge_index[0]], batch.copy_index[batch.edge_index[1]])
    assert batch.batch[batch.root_index].tolist() == [0] * 6 + [1] * 3
    with pytest.raises(ValueError, match=r"`data\.x` must hold node features"):
        marked_copies(Data(edge_index=torch.zeros(2, 0, dtype=torch.int64), num_nodes=2))


def test_chunks_hold_whole_groups():
    rng = np.random.default_rng(0)
    arcs = interleave(relabelled_arcs(HEXAGON, 8, rng), relabelled_arcs(TRIANGLES, 8, rng))
    chunks = Copies(torch.nn.Module(), arcs, [6] * 16).chunks(0, 16, 2, max_nodes=30)
    assert [c.num_graphs for c in chunks] == [4, 4, 4, 4]
    assert [c.num_graphs for c in Copies(torch.nn.Module(), arcs, [6] * 16).chunks(0, 16, 2, 1)] == [2] * 8


def test_chunked_training_is_the_same_step():
    whole = compare_pair(NodeMarkingGIN, PAIR, QUICK)
    chunked = compare_pair(NodeMarkingGIN, PAIR, Settings(epochs=2, max_nodes=1))
    assert chunked.loss == pytest.approx(whole.loss, rel=1e-4)
    assert chunked.visits == whole.visits


def test_gin_is_reliable_and_blind():
    result = compare_pair(GIN, PAIR, Settings())
    assert result.trained
    assert result.epochs == 20
    assert not result.verdicts["rpc"].separated
    assert result.verdicts["rpc"].reliable


def test_node_marking_parts_the_pair():
    result = compare_pair(NodeMarkingGIN, PAIR, QUICK)
    assert result.verdicts["rpc"].separated
    assert result.verdicts["rpc"].reliable


def test_same_seed_same_result_other_seed_other_result():
    a, b, c = (compare_pair(NodeMarkingGIN, PAIR, QUICK, seed) for seed in (100, 100, 200))
    assert a.verdicts == b.verdicts
    assert a.verdicts["rpc"].t2 != c.verdicts["rpc"].t2


def test_global_random_state_is_untouched():
    before = torch.get_rng_state()
    compare_pair(GIN, PAIR, QUICK, train=False)
    assert torch.equal(before, torch.get_rng_state())


def test_reliability_half_alone_separates_nothing():
    result = compare_pair(NodeMarkingGIN, PAIR, QUICK, train=False)
    assert not result.trained
    assert result.epochs == 0
    assert not result.verdicts["rpc"].separated
    assert result.verdicts["rpc"].reliable


@pytest.mark.parametrize("pair", range(8))
def test_random_features_separate_nothing(pair):
    verdict = compare_pair(controls.RandomFeatures, PAIR, QUICK, 100, pair).verdicts["rpc"]
    assert not verdict.separated
    assert verdict.reliable
    assert 0.1 < verdict.t2 < 10
    assert 0.1 < verdict.t2_rel < 10


@pytest.mark.parametrize("pair", range(4))
def test_batch_position_fails_reliability(pair):
    verdicts = compare_pair(controls.BatchPosition, PAIR, QUICK, 100, pair).verdicts
    assert not verdicts["rpc"].reliable
    assert not verdicts["rpc_paper"].reliable


def test_nan_model_is_a_failure():
    result = compare_pair(controls.NaN, PAIR, Settings())
    assert result.epochs == 1
    assert not any(v.separated or v.reliable for v in result.verdicts.values())


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (controls.WrongShape, ValueError, r"one row of 16 numbers for each graph, shape \(2, 16\), got \(9, 16\)"),
        (
            controls.Integers,
            TypeError,
            r"`model` must return a float tensor of shape \(num_graphs, 16\), got torch.int64",
        ),
        (controls.BadTransform, TypeError, "`transform` of the model must return a torch_geometric Data, got Tensor"),
        (lambda **kwargs: 3, TypeError, "must be a torch.nn.Module, got int"),
        (lambda: None, TypeError, r"must be callable as .*in_channels=1, out_channels=16"),
        ("no-such", ValueError, "`model` must be one of transformer, gat, gin.* got 'no-such'"),
        ("no_such_module:Model", ValueError, "there is no module 'no_such_module'"),
        ("models_for_tests:Missing", ValueError, "has no attribute 'Missing'"),
        ("models_for_tests:torch", TypeError, "must be a class, got module"),
    ],
)
def test_a_wrong_model_is_refused_before_training(model, error, text):
    with pytest.raises(error, match=text):
        load_model(model)


def test_unknown_power():
    class Odd(controls.Model):
        power = "9-wl"

    with pytest.raises(ValueError, match=r"`power` of Odd must name an oracle, got '9-wl'; there are 1-wl"):
        load_model(Odd)

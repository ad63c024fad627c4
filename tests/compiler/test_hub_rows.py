"""Rows of a hub are cut into pieces; the results are those of whole rows."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from graphgdl import accelerate
from graphgdl.compiler import blocks, topology
from graphgdl.compiler.topology import Topology
from graphgdl.ops.rows import plan

NODES, EDGES = 61, 1500


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(topology, "PIECE", 32)
    monkeypatch.setattr(blocks, "TILE_BYTES", 1)
    monkeypatch.setattr(blocks, "TILE_EDGES", 50)


def hub_graph(seed):
    """A node that half of the edges point to, one that a third come from, rows without edges, in random order."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(NODES - 4, (2, EDGES), generator=generator)
    edge_index[1, : EDGES // 2] = 7
    edge_index[0, EDGES // 3 : 2 * EDGES // 3] = 5
    return edge_index[:, torch.randperm(EDGES, generator=generator)]


def network(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 9), nn.SiLU(), nn.Linear(9, outputs))


LAYERS = {
    "sum": lambda: pyg.GraphConv(5, 6),
    "softmax": lambda: pyg.GATv2Conv(5, 3, heads=2),
    "dot softmax": lambda: pyg.TransformerConv(5, 3, heads=2),
    "max": lambda: pyg.SAGEConv(5, 6, aggr="max"),
    "several": lambda: pyg.SAGEConv(5, 6, aggr=["max", "min", "std", "mean"]),
    "products in tiles": lambda: pyg.EdgeConv(network(10, 40), aggr="mean"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_equal_pyg_on_a_graph_with_a_hub(name, small_pieces):
    torch.manual_seed(0)
    theirs = LAYERS[name]().double()
    ours = accelerate(copy.deepcopy(theirs))
    ours.lowering = "compiled"
    edge_index = hub_graph(1)
    assert Topology(edge_index, NODES, NODES).has_hub()
    results = []
    for layer in (theirs, ours):
        x = torch.randn(NODES, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
        out = layer(x, edge_index)
        leaves = [x, *layer.parameters()]
        gradients = torch.autograd.grad(out.tanh().sum(), leaves, create_graph=True)
        second = torch.autograd.grad((gradients[0] ** 2).sum(), leaves, allow_unused=True)
        results.append([out, *gradients, *(torch.zeros_like(p) if s is None else s for s, p in zip(second, leaves))])
    for mine, other in zip(*reversed(results)):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-9 * float(other.detach().abs().max()) + 1e-12)


def test_pieces_cover_each_row(small_pieces):
    graph = Topology(hub_graph(3), NODES, NODES)
    whole, pieces = graph.loops("dst"), graph.loops("dst", pieces=True)
    lengths = np.diff(pieces.ptr)
    assert lengths.max() <= 32
    assert np.array_equal(np.unique(pieces.rid), np.arange(NODES))
    assert np.array_equal(np.bincount(pieces.rid, lengths, minlength=NODES), np.diff(whole.ptr))
    assert set(whole.ptr) <= set(pieces.ptr)
    assert [set(pieces.rid[a:b]) for a, b in pieces.cut] == [{r} for r in np.flatnonzero(np.diff(whole.ptr) > 32)]


def test_a_graph_without_a_hub_keeps_whole_rows():
    generator = torch.Generator().manual_seed(0)
    assert not Topology(torch.randint(NODES, (2, EDGES), generator=generator), NODES, NODES).has_hub()


def test_only_the_ends_that_are_walked_are_looked_at(small_pieces):
    """A hub among the sources is none of a sum over destinations, and nothing is sorted for it."""
    edge_index = hub_graph(5)
    edge_index[1] = torch.arange(EDGES) % NODES
    graph = Topology(edge_index, NODES, NODES)
    assert not graph.has_hub(["dst"])
    assert [axis for axis, _ in plan(edge_index)._rows] == [1]
    assert graph.has_hub(["src"])
    with torch.no_grad():
        fresh = edge_index.clone()
        accelerate(pyg.GraphConv(5, 6))(torch.randn(NODES, 5), fresh)
    assert [axis for axis, _ in plan(fresh)._rows] == [1]


def test_the_result_does_not_depend_on_threads(small_pieces):
    torch.manual_seed(0)
    layer = accelerate(pyg.GATv2Conv(5, 3, heads=2))
    x, edge_index = torch.randn(NODES, 5), hub_graph(4)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with torch.no_grad():
                found.append(layer(x, edge_index))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0], f) for f in found)

"""Heavy-edge matching is the greedy matching: a pair at a time by brute force, and its properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphgdl.groups import Permutation
from graphgdl.ops.matching import heavy_edge_matching
from graphgdl.testing.strategies import graphs


def greedy(edges, weight, n):
    """Of all pairs of free nodes the heaviest, one at a time; for distinct weights."""
    mate = list(range(n))
    for e in weight.argsort(descending=True).tolist():
        i, j = edges[:, e].tolist()
        if i != j and mate[i] == i and mate[j] == j:
            mate[i], mate[j] = j, i
    return mate


def distinct(e, seed=0):
    return torch.randperm(e, generator=torch.Generator().manual_seed(seed)).double() - e / 2


@given(graphs(max_nodes=12, max_edges=40))
def test_distinct_weights_give_the_greedy_matching(data):
    weight = distinct(data.num_edges)
    mate = heavy_edge_matching(data.edge_index, weight, data.num_nodes)
    assert mate.tolist() == greedy(data.edge_index, weight, data.num_nodes)


@given(graphs(max_nodes=12, max_edges=40), st.integers(1, 3))
def test_any_weights_give_a_maximal_matching_along_edges(data, levels):
    weight = distinct(data.num_edges).remainder(levels)  # many ties
    mate = heavy_edge_matching(data.edge_index, weight, data.num_nodes)
    assert torch.equal(mate[mate], torch.arange(data.num_nodes))
    pairs = {tuple(sorted(edge)) for edge in data.edge_index.t().tolist()}
    assert all(tuple(sorted(p)) in pairs for p in enumerate(mate.tolist()) if p[0] != p[1])
    assert all(i == j or mate[i] != i or mate[j] != j for i, j in pairs)
    heaviest = {}
    for edge, w in zip(data.edge_index.t().tolist(), weight.tolist()):
        pair = tuple(sorted(edge))
        heaviest[pair] = max(w, heaviest.get(pair, w))
    for (i, j), w in heaviest.items():  # no pair was passed over for lighter ones at both ends
        if i != j:
            ends = [heaviest[tuple(sorted((v, int(mate[v]))))] for v in (i, j) if mate[v] != v]
            assert max(ends) >= w


@given(graphs(max_nodes=12, max_edges=40), st.integers(0, 9))
def test_the_matching_moves_with_the_nodes(data, seed):
    data.edge_weight = distinct(data.num_edges)
    group = Permutation(data.num_nodes)
    g = group.sample(torch.Generator().manual_seed(seed))
    mate = heavy_edge_matching(data.edge_index, data.edge_weight, data.num_nodes)
    moved = heavy_edge_matching(g[data.edge_index], data.edge_weight, data.num_nodes)
    assert torch.equal(moved[g], g[mate])


def test_direction_and_order_of_the_edges_do_not_count():
    edges = torch.randint(0, 30, (2, 90), generator=torch.Generator().manual_seed(0))
    weight, order = torch.ones(90), torch.randperm(90, generator=torch.Generator().manual_seed(1))
    mate = heavy_edge_matching(edges, weight, 30)
    assert torch.equal(heavy_edge_matching(edges.flip(0), weight, 30), mate)
    assert torch.equal(heavy_edge_matching(edges[:, order].int(), weight, 30), mate)
    assert torch.equal(heavy_edge_matching(torch.cat([edges, edges], 1), weight.repeat(2), 30), mate)


def test_of_parallel_edges_the_heaviest_counts():
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    assert heavy_edge_matching(edges, torch.tensor([1.0, 3.0, 2.0, 2.0]), 3).tolist() == [1, 0, 2]


def test_an_unweighted_path_needs_few_rounds(monkeypatch):
    """Were ties broken by the numbers of the nodes, the path would need a round for each pair."""
    rounds = []
    amin = torch.Tensor.scatter_reduce_
    monkeypatch.setattr(torch.Tensor, "scatter_reduce_", lambda self, *args: rounds.append(1) or amin(self, *args))
    n = 10_000
    path = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    mate = heavy_edge_matching(path, torch.ones(n - 1), n)
    assert len(rounds) / 2 < 30
    assert 0.8 < float((mate != torch.arange(n)).double().mean()) < 0.95  # a random greedy matching leaves exp(-2)


def test_a_path_of_falling_weights_needs_few_rounds(monkeypatch):
    """In each round only its heaviest pair would be taken."""
    rounds = []
    amin = torch.Tensor.scatter_reduce_
    monkeypatch.setattr(torch.Tensor, "scatter_reduce_", lambda self, *args: rounds.append(1) or amin(self, *args))
    n = 10_001
    path = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    mate = heavy_edge_matching(path, -torch.arange(n - 1), n)
    assert len(rounds) / 2 < 30
    assert torch.equal(mate, torch.cat([torch.arange(n - 1) ^ 1, torch.tensor([n - 1])]))


@given(graphs(max_nodes=8, max_edges=20), st.integers(1, 5))
def test_numbers_within_each_graph_match_each_alone(data, shift):
    edges, n = data.edge_index, data.num_nodes
    alone = heavy_edge_matching(edges, torch.ones(data.num_edges), n)
    number = torch.arange(n + shift) - shift
    moved = heavy_edge_matching(edges + shift, torch.ones(data.num_edges), n + shift, number)
    assert torch.equal(moved[shift:] - shift, alone)


def test_without_nodes_or_edges():
    empty = torch.zeros(2, 0, dtype=torch.int64)
    assert heavy_edge_matching(empty, torch.ones(0), 0).tolist() == []
    assert heavy_edge_matching(empty, torch.ones(0), 2).tolist() == [0, 1]
    assert heavy_edge_matching(torch.tensor([[1], [1]]), torch.ones(1), 2).tolist() == [0, 1]


EDGES = torch.tensor([[0, 1], [1, 2]])


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((EDGES, torch.ones(3), 3), ValueError, r"`edge_weight` must have one entry .* got shapes \(3,\) and \(2, 2\)"),
        ((EDGES, torch.ones(2), 2), ValueError, r"`edge_index` must hold indices in 0 \.\. 1, got 0 \.\. 2"),
        ((-EDGES, torch.ones(2), 3), ValueError, r"`edge_index` must hold indices in 0 \.\. 2, got -2 \.\. 0"),
        ((EDGES.double(), torch.ones(2), 3), TypeError, "`edge_index` must be int64 or int32"),
        ((EDGES[0], torch.ones(2), 3), ValueError, r"`edge_index` must have shape \(2, e\)"),
        ((EDGES, torch.ones(2), -1), ValueError, "`num_nodes` must be at least 0, got -1"),
        (
            (EDGES, torch.ones(2), 3, EDGES[0]),
            ValueError,
            r"`number` must have one entry for each of 3 nodes, got \(2,\)",
        ),
    ],
)
def test_errors(arguments, kind, message):
    with pytest.raises(kind, match=message):
        heavy_edge_matching(*arguments)

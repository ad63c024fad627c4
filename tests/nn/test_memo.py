"""What is remembered of a tensor lives as long as the tensor, and no longer than its version."""

from __future__ import annotations

import gc

import pytest
import torch
from layer_cases import close
from torch_geometric.typing import SparseTensor

from graphgdl import nn as gdl
from graphgdl.nn import memo
from graphgdl.nn.inputs import plain


@pytest.fixture
def calls():
    return []


def counted(calls, value="value"):
    def build():
        calls.append(1)
        return value

    return build


def test_built_once_for_each_key_and_version(calls):
    tensor = torch.arange(3)
    for key in ("a", "a", "b", "b", "a"):
        assert memo.remembered(tensor, key, counted(calls)) == "value"
    assert len(calls) == 2
    tensor[0] = 7
    assert memo.remembered(tensor, "a", counted(calls, "new")) == "new"
    assert memo.remembered(tensor.clone(), "a", counted(calls, "other")) == "other"
    assert len(calls) == 4


def test_inference_tensors_are_never_remembered(calls):
    with torch.inference_mode():
        tensor = torch.arange(3)
    for _ in range(2):
        memo.remembered(tensor, "a", counted(calls))
    assert len(calls) == 2


def test_nothing_outlives_its_tensor():
    gc.collect()
    before = len(memo._MEMO)
    layer, x = gdl.GCNConv(2, 2), torch.rand(3, 2)
    for add_self_loops in (True, False):  # without loops the edges that are used are the key itself
        layer.add_self_loops = add_self_loops
        edges = torch.tensor([[0, 1], [1, 2]])
        layer(x, edges).sum().backward()
        assert len(memo._MEMO) > before
        del edges
        gc.collect()
        assert len(memo._MEMO) == before


def test_a_sparse_tensor_gives_the_same_edges_each_time():
    adjacency = SparseTensor(row=torch.tensor([0, 1, 1]), col=torch.tensor([1, 0, 1]), sparse_sizes=(2, 2))
    edges, value = plain(adjacency)
    assert edges.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert value is None
    assert plain(adjacency)[0] is edges
    weighted = adjacency.set_value(torch.rand(3), layout="coo")
    assert plain(weighted)[0] is edges
    assert plain(weighted)[1] is weighted.storage.value()
    other = SparseTensor(row=torch.tensor([0, 0, 1]), col=adjacency.storage.col(), sparse_sizes=(2, 2), is_sorted=True)
    assert plain(other)[0].tolist() == [[1, 0, 1], [0, 0, 1]]


def test_normalised_edges_depend_on_every_option():
    x, edges = torch.rand(3, 2, dtype=torch.float64), torch.tensor([[0, 1, 2, 2], [1, 2, 0, 2]])
    reference = {}
    for fresh in (True, False):  # the second round reads what the first one remembered
        for improved in (False, True):
            for loops in (True, False):
                for extra in (0, 2):
                    torch.manual_seed(0)
                    layer = gdl.GCNConv(2, 2, improved=improved, add_self_loops=loops).double()
                    wide = torch.cat([x, x[:extra]])
                    out = layer(wide, edges.clone() if fresh else edges)
                    key = (improved, loops, extra)
                    close(out, reference.setdefault(key, out))
    assert len({tuple(out.flatten().tolist()) for out in reference.values()}) == 6  # without loops `improved` is void

"""Deep Sets by their equations, under their laws, and without edges."""

from __future__ import annotations

import pytest
import torch
from layer_cases import close, gradients
from torch import nn
from torch_geometric.data import Data

from graphgdl.domains.structure import Chain, Complete
from graphgdl.nn import DeepSets, DeepSetsConv, GraphConv, explain_lowering
from graphgdl.testing import assert_contract

SIZES = [3, 1, 0, 4]
SETS = Complete(torch.tensor([0, *SIZES]).cumsum(0))
REDUCE = {"sum": lambda rows: rows.sum(0), "mean": lambda rows: rows.mean(0), "max": lambda rows: rows.max(0).values}


def features(channels=3, seed=0, n=8):
    return torch.randn(n, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mlp(c_in, c_out, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(c_in, 5), nn.Tanh(), nn.Linear(5, c_out)).double()


def conv(aggr="sum", seed=0):
    torch.manual_seed(seed)
    return DeepSetsConv(3, 2, aggr).double()


@pytest.mark.parametrize("reduce", REDUCE)
def test_invariant_form_by_its_equation(reduce):
    phi, rho, x = mlp(3, 4), mlp(4, 2, seed=1), features()
    pooled = [REDUCE[reduce](phi(rows)) if len(rows) else torch.zeros(4).double() for rows in x.split(SIZES)]
    close(DeepSets(phi, rho, reduce)(x, SETS), rho(torch.stack(pooled)))


@pytest.mark.parametrize("name", ["pooled", "compiled", "message"])
@pytest.mark.parametrize("aggr", REDUCE)
def test_equivariant_form_by_its_equation(aggr, name):
    layer, x = conv(aggr), features()
    layer.lowering = name
    wide = torch.cat([REDUCE[aggr](rows).expand(len(rows), -1) for rows in x.split(SIZES) if len(rows)])
    close(layer(x, SETS), x @ layer.lin.weight.t() + layer.lin.bias + wide @ layer.lin_set.weight.t())


@pytest.mark.parametrize("aggr", REDUCE)
def test_lowerings_agree_up_to_the_second_derivative(aggr):
    found = []
    for name in ("pooled", "compiled", "message"):
        layer, x = conv(aggr), features().requires_grad_()
        layer.lowering = name
        leaves = [x, *layer.parameters()]
        out = layer(x, SETS).tanh()
        first = gradients(out, leaves, create_graph=True)
        found.append([out, *first, *gradients(first[0], leaves)])
    for other in found[1:]:
        for actual, expected in zip(found[0], other):
            close(actual, expected)


def test_edges_are_built_by_the_message_path_only():
    sets, layer = Complete([0, 2, 5]), conv()
    layer(features(n=5), sets)
    assert "_edges" not in sets.__dict__
    assert explain_lowering(layer, features(n=5), sets)[0].ran == "pooled"
    layer.lowering = "message"
    layer(features(n=5), sets)
    assert "_edges" in sets.__dict__


@pytest.mark.parametrize("graph", [Chain([0, 3, 8]), Complete([0, 3, 8], self_loops=False), Chain(8).edge_index])
def test_on_any_other_graph_it_is_a_graph_convolution(graph):
    layer, x = conv(), features()
    expected = GraphConv(3, 2).double()
    expected.lin_rel.weight, expected.lin_rel.bias = layer.lin_set.weight, layer.lin.bias
    expected.lin_root.weight = layer.lin.weight
    close(layer(x, graph), expected(x, graph))
    layer.lowering = "pooled"
    with pytest.raises(ValueError, match="`lowering` 'pooled' of DeepSetsConv does not apply"):
        layer(x, graph)


class OnData(nn.Module):
    """A layer on a `Data` that is one set, or a batch of sets."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, data):
        return self.layer(data.x, Complete(data.ptr if "ptr" in data else data.num_nodes))


class Leak(OnData):
    """The layer with one thing broken: an element's place in the list leaks into its features."""

    def forward(self, data):
        data = data.clone()
        data.x = data.x + 0.01 * torch.arange(data.num_nodes, dtype=data.x.dtype)[:, None] * data.x
        return super().forward(data)


@pytest.mark.parametrize("aggr", REDUCE)
def test_contract_of_the_equivariant_form(aggr):
    layer = conv(aggr)
    errors = assert_contract(OnData(layer), Data(x=features(seed=1)), twin=Leak(layer))
    assert max(errors["law"], errors["union"]) < 1e-10 < errors["twin"]


@pytest.mark.parametrize("reduce", REDUCE)
def test_contract_of_the_invariant_form(reduce):
    layer = DeepSets(mlp(3, 4), mlp(4, 2, seed=1), reduce)
    errors = assert_contract(OnData(layer), Data(x=features(seed=1)), twin=Leak(layer), law="invariant")
    assert max(errors["law"], errors["union"]) < 1e-10 < errors["twin"]


def test_parameters_are_drawn_anew():
    layer = conv()
    before = [p.clone() for p in layer.parameters()]
    layer.reset_parameters()
    assert all(not torch.equal(p, q) for p, q in zip(layer.parameters(), before))


def test_unknown_reductions():
    with pytest.raises(ValueError, match=r"`aggr` must be one of \['sum', 'mean', 'max'\], got 'min'"):
        DeepSetsConv(3, 2, "min")
    with pytest.raises(ValueError, match=r"`reduce` must be one of \['sum', 'mean', 'max'\], got 'min'"):
        DeepSets(nn.Identity(), reduce="min")


def test_wrong_structures():
    with pytest.raises(TypeError, match=r"`structure` must be Complete\(ptr\).*got Chain; for a batch of PyG use"):
        DeepSets(nn.Identity())(features(), Chain(8))
    with pytest.raises(ValueError, match="`x` must have one row for each of the 5 nodes of the Complete, got 8 rows"):
        DeepSets(nn.Identity())(features(), Complete(5))
    with pytest.raises(ValueError, match="`x` must have one row for each of the 5 nodes of the Complete, got 8 rows"):
        conv()(features(), Complete(5))

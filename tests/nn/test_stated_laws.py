"""The laws that layers state are those of their mathematics: they hold where stated, and fail one step beyond."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphgdl import nn as gdl
from graphgdl.domains import Chain, Complete, Grid, StructuredData
from graphgdl.groups import FieldAction, Law, Permutation, Translations
from graphgdl.nn.chain_laws import ChainMap, Prefixes, Rests, chain_laws
from graphgdl.nn.laws import permutation_laws
from graphgdl.testing.measure import measure

C = 3


def on(structure, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return StructuredData(torch.randn(structure.num_nodes, C, generator=generator), structure)


def error(module, data, law):
    return measure(module, [data], [law]).error


def statements(module, data):
    return [(law.statement, law.kind, law.invariant) for law in module.laws(data)]


def grid_conv(**options):
    torch.manual_seed(0)
    return gdl.GridConv(C, 2, 3, dim=2, **options)


@pytest.mark.parametrize(
    ("layer", "grid", "statement", "kind"),
    [
        (grid_conv(padding=1), Grid((4, 6), periodic=True), "translations of the periodic grid", "exact"),
        (grid_conv(padding=1, stride=2), Grid((4, 6), periodic=True), "translations by multiples of 2x2", "subgroup"),
        (
            grid_conv(padding=1, stride=(1, 3)),
            Grid((4, 6), periodic=True),
            "translations by multiples of 1x3",
            "subgroup",
        ),
        (grid_conv(padding=1), Grid((4, 5), periodic=(False, True)), "translations of the periodic grid", "exact"),
        (
            gdl.GridConvTranspose(C, 2, 3, dim=2, stride=3),
            Grid((4, 3), periodic=True),
            "translations of the periodic grid",
            "exact",
        ),
    ],
)
def test_grids(layer, grid, statement, kind):
    data = on(grid)
    (law,) = layer.laws(data)
    assert (law.statement, law.kind, law.invariant) == (statement, kind, False)
    assert error(layer, data, law) < 1e-10


def test_a_stride_breaks_single_steps():
    data, layer = on(Grid((4, 6), periodic=True)), grid_conv(padding=1, stride=2)
    steps = Translations((4, 6), periodic=True)
    coarse = Translations((2, 3), periodic=True)

    class Halved:
        group = steps

        def act(self, g, x):
            return coarse.act(torch.div(g, 2, rounding_mode="floor") % torch.tensor([2, 3]), x)

    assert error(layer, data, Law(FieldAction(steps, {"x": steps}, output=Halved()), "all shifts")) > 1e-3


@pytest.mark.parametrize(
    ("layer", "grid"),
    [
        (grid_conv(padding=1), Grid((4, 6))),
        (grid_conv(), Grid((4, 6), periodic=True)),  # unpadded, its result is not periodic
        (grid_conv(padding=1, stride=3), Grid((4, 4), periodic=True)),  # the stride does not go round
        (grid_conv(padding=1, stride=4), Grid((4, 4), periodic=True)),  # one place is left
    ],
)
def test_where_no_shift_is_left_there_is_no_law(layer, grid):
    assert layer.laws(on(grid)) == ()


def test_grid_laws_need_one_grid():
    layer = grid_conv(padding=1)
    with pytest.raises(ValueError, match=r"`data` must hold a Grid as its `structure`, got Complete\("):
        layer.laws(on(Complete(4)))
    assert layer.laws(on(Grid((2, 2), periodic=True, ptr=[0, 4, 8]))) == ()


def network(*more):
    torch.manual_seed(0)
    first = gdl.GridConv(C, 4, 3, dim=2, padding=1)
    return gdl.GridSequential(first, nn.Tanh(), gdl.GridPool(2, dim=2), gdl.GridUpsample(2, dim=2), *more)


def test_a_network_on_a_grid_keeps_what_its_coarsest_level_keeps():
    """Down and up again: the grids at both ends are one, the shifts are by multiples of 2 all the same."""
    data = on(Grid((4, 6), periodic=True))
    (law,) = network().laws(data)
    assert (law.statement, law.kind, law.invariant) == ("translations by multiples of 2x2", "subgroup", False)
    assert error(network(), data, law) < 1e-10
    steps = Translations((4, 6), periodic=True)
    assert error(network(), data, Law(FieldAction(steps, {"x": steps}, output=steps), "all shifts")) > 1e-3


def test_readouts_of_a_grid():
    data = on(Grid((4, 6), periodic=True))
    pooled = network(gdl.GridGlobalPool(), nn.Linear(4, 2))
    (law,) = pooled.laws(data)
    assert (law.kind, law.invariant) == ("subgroup", True)
    assert error(pooled, data, law) < 1e-10
    flat = network(gdl.GridFlatten())
    assert flat.laws(data) == gdl.GridFlatten().laws(data) == ()
    assert error(flat, data, law) > 1e-3
    (law,) = gdl.GridGlobalPool("max").laws(data)
    assert law.invariant
    assert error(gdl.GridGlobalPool("max"), data, law) < 1e-10


def test_sets():
    data = on(Complete([0, 2, 5]))
    layer, pool = gdl.DeepSetsConv(C, 2), gdl.DeepSets(nn.Linear(C, 2))
    assert statements(layer, data) == [("permutations within each set", "exact", False)]
    assert statements(pool, data) == [("permutations within each set", "exact", True)]
    all_nodes = FieldAction(Permutation(5), {"x": Permutation(5)}, output=Permutation(5))
    for module in (layer, pool):
        assert error(module, data, module.laws(data)[0]) < 1e-10
        law = Law(all_nodes, "permutations across sets", invariant=module is pool)
        assert error(module, data, law) > 1e-3


def test_a_sample_has_its_law_in_expectation_only():
    data = on(Complete(4))
    pool = gdl.JanossyPooling(2, lambda pairs: pairs[:, 0] * pairs[:, 1], num_samples=3)
    assert statements(pool, data) == [("permutations within each set", "distribution", True)]
    assert measure(pool, [data], pool.laws(data)).holds
    assert error(pool, data, Law(pool.laws(data)[0].group, "exactly", invariant=True)) > 1e-3


def test_dropout_adds_a_law_in_distribution():
    data = Data(x=torch.randn(4, C), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
    assert [kind for _, kind, _ in statements(gdl.GATConv(C, 2), data)] == ["exact"]
    assert [kind for _, kind, _ in statements(gdl.GATConv(C, 2, dropout=0.5), data)] == ["exact", "distribution"]
    inside = nn.Sequential(nn.Linear(C, 2), nn.Dropout(0.5))
    assert [law.kind for law in permutation_laws(inside, data)] == ["exact", "distribution"]
    accelerated = gdl.accelerate(gdl.GCNConv(C, 2))
    assert statements(accelerated, data) == [("permutations of the nodes", "exact", False)]


def recurrent(cls=gdl.ChainGRU, **options):
    torch.manual_seed(0)
    return cls(C, 2, **options)


CHAIN = Chain([0, 3, 3, 8])


@pytest.mark.parametrize("cls", [gdl.ChainRNN, gdl.ChainGRU, gdl.ChainLSTM])
def test_chains(cls):
    data = on(CHAIN)
    names = ["permutations of the nodes with their edges", "causality: cutting off the future"]
    layer = recurrent(cls, bias=False)
    assert [law.statement for law in layer.laws(data)] == [*names, "time shift: waiting at rest"]
    for law in layer.laws(data):
        assert error(layer, data, law) < 1e-10
    assert [law.statement for law in recurrent(cls).laws(data)] == names
    assert [law.statement for law in recurrent(cls, bidirectional=True).laws(data)] == names[:1]
    assert len(layer.laws(Data(x=data.x, edge_index=CHAIN.edge_index))) == 1


def test_chain_laws_fail_where_they_are_not_stated():
    data = on(CHAIN)
    causal, rests = chain_laws(data, causal=True, rests=True)
    assert error(recurrent(), data, rests) > 1e-3  # a bias moves the state away from zero
    assert error(recurrent(bidirectional=True), data, causal) > 1e-3
    assert error(recurrent(bidirectional=True, bias=False), data, rests) > 1e-3
    values_alone = FieldAction(Permutation(8), {"x": Permutation(8)}, output=Permutation(8))
    assert error(recurrent(), data, Law(values_alone, "values move, edges stay")) > 1e-3


def test_maps_of_chains():
    data = on(CHAIN)
    g = torch.tensor(2)
    cut, late = Prefixes(CHAIN).act(g, data), Rests(CHAIN).act(g, data)
    assert torch.equal(cut.x, data.x[[0, 1, 3, 4]])
    assert cut.structure == Chain([0, 2, 2, 4])
    zeros = torch.zeros(2, C)
    assert torch.equal(late.x, torch.cat([zeros, data.x[:3], zeros, zeros, data.x[3:]]))
    assert late.structure == Chain([0, 5, 7, 14])
    assert {int(ChainMap(CHAIN).sample(torch.Generator().manual_seed(s))) for s in range(50)} == {1, 2, 3, 4, 5}
    assert repr(Rests(CHAIN)) == f"Rests({CHAIN})"

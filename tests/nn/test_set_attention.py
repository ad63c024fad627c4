"""The blocks of the Set Transformer beside a dense formula, beside PyG's on padded sets, and under the laws of sets."""

from __future__ import annotations

import pytest
import torch
from layer_cases import close, gradients
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn.aggr import utils as pyg
from torch_geometric.utils import to_dense_batch

from graphgdl.domains import Chain, Complete, CompleteBipartite, StructuredData
from graphgdl.nn import (
    DotProductAttention,
    InducedSetAttentionBlock,
    MultiheadAttentionBlock,
    PoolingByMultiheadAttention,
    SetAttentionBlock,
    explain_lowering,
)
from graphgdl.testing import assert_contract, verify

LOWERINGS = ("sdpa", "compiled", "message")
PAIRS = {
    "ragged": ([3, 1, 2, 3], [2, 4, 0, 2]),
    "sorted": ([1, 2, 2], [3, 1, 1]),
    "no-target": ([0, 2], [3, 1]),
    "one": ([2], [5]),
}
SIZES = {"equal": [3, 3], "ragged": [4, 1, 3, 1], "one": [5]}


def ptr(sizes):
    return torch.tensor([0, *sizes]).cumsum(0)


def randn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(cls, *args, seed=0, **options):
    torch.manual_seed(seed)
    layer = cls(*args, **options).double()
    for parameter in layer.parameters():  # biases start at zero: fill everything, so that everything is seen
        nn.init.normal_(parameter, std=0.5)
    return layer


def force(module, lowering):
    for layer in module.modules():
        if isinstance(layer, DotProductAttention):
            layer.lowering = lowering
    return module


def attention(query, key, value):
    """softmax(q k^T / sqrt(c)) v for one pair of sets (n, h, c), (m, h, c); nothing comes from nothing."""
    scores = torch.einsum("nhc,mhc->nhm", query, key) / query.size(2) ** 0.5
    return torch.einsum("nhm,mhc->nhc", scores.exp() / scores.exp().sum(2, keepdim=True), value)


def mab(block, x, y):
    """The block by its equation, for one pair of sets."""
    c, h = block.channels, block.heads
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    query, key, value = (rows @ weight[i * c :][:c].t() + bias[i * c :][:c] for i, rows in enumerate((x, y, y)))
    found = attention(*(t.view(len(t), h, c // h) for t in (query, key, value))).reshape(len(x), c)
    out = norm(block.layer_norm1, x + found @ block.attn.out_proj.weight.t() + block.attn.out_proj.bias)
    return norm(block.layer_norm2, out + torch.clamp(out @ block.lin.weight.t() + block.lin.bias, min=0))


def norm(layer, x):
    if layer is None:
        return x
    centred = x - x.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def isab(block, x):
    return mab(block.mab2, x, mab(block.mab1, block.ind[0], x))


def pma(block, x):
    return mab(block.mab, block.seed[0], torch.clamp(x @ block.lin.weight.t() + block.lin.bias, min=0))


BLOCKS = {
    "SAB": (SetAttentionBlock, (6,), {"heads": 2}, lambda block, x: mab(block.mab, x, x)),
    "SAB-plain": (SetAttentionBlock, (6,), {"layer_norm": False}, lambda block, x: mab(block.mab, x, x)),
    "ISAB": (InducedSetAttentionBlock, (6, 2), {"heads": 3}, isab),
    "PMA": (PoolingByMultiheadAttention, (6, 3), {"heads": 2}, pma),
}


def derivatives(out, leaves):
    first = gradients(out.sin(), leaves, create_graph=True)
    assert all(grad.requires_grad for grad in first)
    return [out, *first, *gradients(torch.cat([g.flatten() for g in first]).tanh(), leaves)]


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("case", BLOCKS)
def test_blocks_by_their_equations(case, sizes, lowering):
    cls, args, options, dense = BLOCKS[case]
    block, x = force(made(cls, *args, **options), lowering), randn(sum(sizes), 6).requires_grad_()
    leaves = [x, *block.parameters()]
    ours = block(x, Complete(ptr(sizes)))
    want = torch.cat([dense(block, rows) for rows in x.split(sizes)]).view(ours.shape)
    for got, expected in zip(derivatives(ours, leaves), derivatives(want, leaves), strict=True):
        close(got, expected)
    assert {row.ran for row in explain_lowering(block, x, Complete(ptr(sizes)))} == {lowering}


@pytest.mark.parametrize("case", BLOCKS)
def test_blocks_are_those_of_pyg(case):
    cls, args, options, _ = BLOCKS[case]
    ours, theirs = made(cls, *args, **options), made(getattr(pyg, cls.__name__), *args, seed=1, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    sets, x = Complete(ptr([4, 1, 3])), randn(8, 6)
    padded, mask = to_dense_batch(x, sets.batch)
    want = theirs(padded, mask)
    close(ours(x, sets), want if case == "PMA" else want[mask])
    assert repr(ours) == repr(theirs)
    drawn = []
    for kind in (cls, getattr(pyg, cls.__name__)):
        torch.manual_seed(3)
        drawn.append(kind(*args, **options).state_dict())
    assert all(torch.equal(drawn[0][key], drawn[1][key]) for key in drawn[0])


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_attention_between_sets(pair, lowering):
    targets, sources = pair
    graph, attend = CompleteBipartite(ptr(sources), ptr(targets)), force(DotProductAttention(), lowering)
    leaves = [randn(n, 2, 3, seed=i).requires_grad_() for i, n in enumerate([sum(targets), sum(sources), sum(sources)])]
    parts = zip(leaves[0].split(targets), leaves[1].split(sources), leaves[2].split(sources))
    want = torch.cat([attention(*part) for part in parts])
    for got, expected in zip(derivatives(attend(*leaves, graph), leaves), derivatives(want, leaves), strict=True):
        close(got, expected)
    if lowering != "sdpa":
        close(attend(*leaves, graph.edge_index), want)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_pair_of_sets_by_the_equation(lowering):
    block, x, y = force(made(MultiheadAttentionBlock, 6, heads=2), lowering), randn(4, 6), randn(5, 6, seed=2)
    graph = CompleteBipartite(ptr([3, 2]), ptr([1, 3]))
    close(block(x, y, graph), torch.cat([mab(block, x[:1], y[:3]), mab(block, x[1:], y[3:])]))


def test_no_edge_is_built():
    block, sets = made(InducedSetAttentionBlock, 6, 2), Complete(ptr([4, 1, 3]))
    rows = explain_lowering(block, randn(8, 6), sets)
    assert [row.ran for row in rows] == ["sdpa", "sdpa"]
    assert "_edges" not in sets.__dict__
    graph = CompleteBipartite([0, 2], [0, 3])
    DotProductAttention()(randn(3, 1, 2), randn(2, 1, 2), randn(2, 1, 2), graph)
    assert "edge_index" not in graph.__dict__


def test_an_empty_set_gives_what_the_seeds_know():
    pool = made(PoolingByMultiheadAttention, 6, 2)
    for lowering in LOWERINGS:
        out = force(pool, lowering)(randn(3, 6), Complete(ptr([0, 3])))
        close(out[1], pma(pool, randn(3, 6)))
        alone = norm(pool.mab.layer_norm1, pool.seed[0] + pool.mab.attn.out_proj.bias)
        alone = alone + (alone @ pool.mab.lin.weight.t() + pool.mab.lin.bias).relu()
        close(out[0], norm(pool.mab.layer_norm2, alone))


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


@pytest.mark.parametrize("lowering", ["sdpa", "compiled"])
@pytest.mark.parametrize("case", BLOCKS)
def test_contract(case, lowering):
    cls, args, options, _ = BLOCKS[case]
    block = force(made(cls, *args, **options), lowering)
    law = "invariant" if case == "PMA" else "equivariant"
    errors = assert_contract(OnData(block), Data(x=randn(6, 6)), twin=Leak(block), law=law)
    assert max(errors["law"], errors["union"]) < 1e-10 < errors["twin"]


@pytest.mark.parametrize("case", BLOCKS)
def test_laws_over_ragged_sets(case):
    cls, args, options, _ = BLOCKS[case]
    data = StructuredData(randn(7, 6), Complete([0, 3, 7]))
    (verdict,) = verify(made(cls, *args, **options), data)
    assert verdict.holds, verdict.failures
    assert (verdict.law, verdict.invariant) == ("permutations within each set", case == "PMA")


def test_a_set_and_its_double_pool_alike():
    pool, x = made(PoolingByMultiheadAttention, 6, 2), randn(3, 6)
    close(pool(x, Complete(3)), pool(x.repeat(2, 1), Complete(6)))


def test_dropout_keeps_the_mean():
    torch.manual_seed(0)
    graph, attend = CompleteBipartite([0, 1000], [0, 500]), DotProductAttention(0.5)
    for name in LOWERINGS:
        out = force(attend, name)(torch.zeros(500, 1, 1), torch.zeros(1000, 1, 1), torch.ones(1000, 1, 1), graph)
        assert abs(float(out.mean()) - 1) < 2e-2
        assert float(out.std()) > 1e-3


def test_bipartite_graphs_and_their_edges():
    graph = CompleteBipartite(ptr([2, 0, 1]), ptr([1, 2, 2]))
    assert graph.edge_index.tolist() == [[0, 1, 2, 2], [0, 0, 3, 4]]
    assert graph.edge_index is graph.edge_index
    assert graph.num_edges == 4
    assert repr(graph) == "CompleteBipartite(num_graphs=3, num_src=3, num_dst=5)"


MISUSES = {
    "`src_ptr` and `dst_ptr` must be of the same number of graphs, got 2 and 1": lambda: CompleteBipartite(
        [0, 1, 2], 3
    ),
    "`heads` must divide `channels` = 6, got 4": lambda: MultiheadAttentionBlock(6, heads=4),
    "`num_induced_points` must be at least 1, got 0": lambda: InducedSetAttentionBlock(6, 0),
    "`num_seed_points` must be at least 1, got 0": lambda: PoolingByMultiheadAttention(6, 0),
    r"`x` must have shape \(n, 6\), got \(3, 5\)": lambda: SetAttentionBlock(6)(torch.zeros(3, 5), Complete(3)),
    r"`y` must have shape \(n, 6\), got \(1, 3, 6\)": lambda: MultiheadAttentionBlock(6)(
        torch.zeros(3, 6), torch.zeros(1, 3, 6), Complete(3)
    ),
    "`x` must have one row for each of the 2 sources of the CompleteBipartite, got 3": lambda: MultiheadAttentionBlock(
        6
    )(torch.zeros(3, 6), torch.zeros(3, 6), CompleteBipartite(2, 3)),
    "`x` must have one row for each of the 4 destinations of the .*, got 3": lambda: MultiheadAttentionBlock(6)(
        torch.zeros(3, 6), torch.zeros(2, 6), CompleteBipartite(2, 4)
    ),
    "`x` must have one row for each of the 4 nodes of the Complete, got 3": lambda: InducedSetAttentionBlock(6, 2)(
        torch.zeros(3, 6), Complete(4)
    ),
}


@pytest.mark.parametrize("message", MISUSES)
def test_misuse_is_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        MISUSES[message]()


def test_wrong_structures_are_refused_by_name():
    for layer in (InducedSetAttentionBlock(6, 2), PoolingByMultiheadAttention(6)):
        with pytest.raises(TypeError, match=r"`structure` must be Complete\(ptr\), .* got Chain"):
            layer(torch.zeros(3, 6), Chain(3))

"""Coarsenings and their way back: dense formulas, laws with their broken twins, refusals."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn.dense import dense_diff_pool, dense_mincut_pool
from torch_geometric.nn.pool import TopKPooling
from torch_geometric.utils import to_dense_adj

from graphgdl.domains import Complete, Grid
from graphgdl.groups import Permutation
from graphgdl.nn import DiffPool, HeavyEdgePool, MinCutPool, TopKPool, Unpool, cluster_pool
from graphgdl.testing import assert_disjoint_union, assert_equivariant, assert_twin_fails

N, C = 8, 3


def graph(seed=0):
    """A connected graph, both directions of each edge with one weight, all weights distinct."""
    generator = torch.Generator().manual_seed(seed)
    extra = torch.randint(0, N, (2, 6), generator=generator)
    one_way = torch.cat([torch.stack([torch.arange(N - 1), torch.arange(1, N)]), extra], dim=1)
    one_way = one_way[:, one_way[0] != one_way[1]].sort(dim=0).values.unique(dim=1)
    weight = torch.rand(one_way.size(1), generator=generator, dtype=torch.float64) + 0.5
    return Data(
        x=torch.randn(N, C, generator=generator, dtype=torch.float64),
        edge_index=torch.cat([one_way, one_way.flip(0)], dim=1),
        edge_weight=weight.repeat(2),
    )


def pools():
    torch.manual_seed(0)
    reductions = [HeavyEdgePool(reduce) for reduce in ("mean", "sum", "max")]
    return [p.double() for p in [*reductions, TopKPool(C, 0.6), TopKPool(C, 3), DiffPool(C, 3), MinCutPool(C, 3)]]


def coarsen(pool, data):
    return pool(data.x, data.edge_index, data.batch, data.edge_weight)


def there_and_back(pool, data):
    """One message on the coarse graph, and back to the nodes."""
    coarse = coarsen(pool, data)
    (src, dst), weight = coarse.edge_index, coarse.edge_weight
    message = torch.zeros_like(coarse.x).index_add(0, dst, weight[:, None] * coarse.x[src])
    return Unpool()(coarse.x + message.sin(), coarse.select)


def dense(select, n, m):
    s = torch.zeros(n, m, dtype=torch.float64)
    weight = torch.ones_like(s[:1, 0]) if select.weight is None else select.weight
    s.index_put_((select.node_index, select.cluster_index), weight.expand(select.node_index.size(0)))
    return s


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_what_comes_back_moves_with_the_nodes(pool):
    data = graph()
    assert assert_equivariant(pool, data, group=Permutation(N), call=there_and_back, draws=6) < 1e-10
    assert_disjoint_union(pool, [graph(), graph(1)], call=there_and_back)


class ByNumber(torch.nn.Module):
    """The pooling with one thing broken: the numbers of the nodes leak into the features."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, x, edge_index, batch=None, edge_weight=None):
        return self.pool(x + 0.01 * torch.arange(N)[:, None], edge_index, batch, edge_weight)


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_a_broken_twin_fails(pool):
    assert_twin_fails(ByNumber(pool), graph(), group=Permutation(N), call=there_and_back)


def test_ties_are_outside_the_law():
    """Without weights the numbers of the nodes decide, and the pooling says so."""
    pool, data = HeavyEdgePool(), graph()
    assert pool.moves_with_nodes(data.x, data.edge_index, data.edge_weight)
    assert not pool.moves_with_nodes(data.x, data.edge_index, None)
    assert not pool.moves_with_nodes(data.x, data.edge_index, torch.ones(data.num_edges))
    del data.edge_weight
    with pytest.raises(AssertionError, match="HeavyEdgePool is not equivariant"):
        assert_equivariant(pool, data, group=Permutation(N), draws=8, call=there_and_back)


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_features_and_weights_by_the_dense_formula(pool):
    data = graph()
    coarse = coarsen(pool, data)
    m = coarse.x.size(0)
    s = dense(coarse.select, N, m)
    adjacency = to_dense_adj(data.edge_index, edge_attr=data.edge_weight)[0]
    want = s.T @ adjacency @ s
    if not isinstance(pool, DiffPool):
        want.fill_diagonal_(0)
    if isinstance(pool, MinCutPool):
        degree = want.sum(1).rsqrt()
        want = degree[:, None] * want * degree
    got = torch.zeros(m, m, dtype=torch.float64).index_put(tuple(coarse.edge_index), coarse.edge_weight, True)
    torch.testing.assert_close(got, want)
    if isinstance(pool, TopKPool):
        score = (data.x @ pool.pool.select.weight[0] / pool.pool.select.weight.norm()).tanh()
        torch.testing.assert_close(coarse.x, s.T @ (data.x * score[:, None]))
        assert sorted(coarse.select.node_index.tolist()) == sorted(score.argsort(descending=True)[:m].tolist())
    elif isinstance(pool, HeavyEdgePool):
        members = [data.x[s[:, k] > 0] for k in range(m)]
        reduced = [v.amax(0) if pool.reduce == "max" else getattr(v, pool.reduce)(0) for v in members]
        torch.testing.assert_close(coarse.x, torch.stack(reduced))
        assert {len(v) for v in members} <= {1, 2}
    else:
        torch.testing.assert_close(coarse.x, s.T @ data.x)
    y = torch.randn(m, C, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(Unpool()(y, coarse.select), s @ y)
    ends = coarse.edge_index[1]
    assert torch.equal(ends, ends.sort().values) or isinstance(pool, TopKPool)


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_a_batch_is_each_graph_alone(pool):
    parts = [graph(), graph(1)]
    alone, batch = [coarsen(pool, p) for p in parts], Batch.from_data_list(parts)
    both = coarsen(pool, batch)
    torch.testing.assert_close(both.x, torch.cat([c.x for c in alone]))
    torch.testing.assert_close(both.edge_weight, torch.cat([c.edge_weight for c in alone]))
    m = alone[0].x.size(0)
    assert torch.equal(both.edge_index, torch.cat([alone[0].edge_index, alone[1].edge_index + m], dim=1))
    assert both.batch.tolist() == [0] * m + [1] * (both.x.size(0) - m)


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_ties_are_broken_in_each_graph_alone(pool):
    """A molecule gives the same wherever it stands in its batch."""
    ring = torch.stack([torch.arange(6), (torch.arange(6) + 1) % 6])
    one = Data(x=torch.ones(6, C, dtype=torch.float64), edge_index=torch.cat([ring, ring.flip(0)], dim=1))
    one.x[:, 0] = torch.tensor([0, 0, 0, 1, 1, 1])
    data = Batch.from_data_list([one] * 5)
    both = there_and_back(pool, data).view(5, 6, C)
    assert torch.equal(both, both[:1].expand_as(both))


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_a_structure_says_which_graph_a_node_is_of(pool):
    sets, x = Complete([0, 4, 9]), torch.randn(9, C, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    from_structure, from_edges = pool(x, sets), pool(x, sets.edge_index, sets.batch)
    for got, want in zip(from_structure[:4], from_edges[:4]):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_derivatives(pool):
    data = graph()

    def f(x, weight):
        return there_and_back(pool, Data(x=x, edge_index=data.edge_index, edge_weight=weight))

    assert torch.autograd.gradcheck(f, (data.x.requires_grad_(), data.edge_weight.requires_grad_()))


def test_losses_are_those_of_pyg():
    data = graph()
    adjacency = to_dense_adj(data.edge_index, edge_attr=data.edge_weight)
    for pool, dense_pool in ((DiffPool(C, 3), dense_diff_pool), (MinCutPool(C, 3), dense_mincut_pool)):
        out, _, first, second = dense_pool(data.x[None], adjacency, pool.double().lin(data.x)[None])
        coarse = coarsen(pool, data)
        torch.testing.assert_close(coarse.loss, first + second)
        torch.testing.assert_close(coarse.x, out[0])


PAIR = [[0, 1], [1, 0]]
SMALL = {
    "no edges": (4, [[], []], None),
    "a node": (1, [[], []], None),
    "a loop": (1, [[0], [0]], None),
    "a graph without edges first": (5, [[3, 4], [4, 3]], [0, 0, 0, 1, 1]),
    "a node last": (3, PAIR, [0, 0, 1]),
    "an empty graph between": (3, PAIR, [0, 0, 2]),
    "only nodes": (3, [[], []], [0, 1, 2]),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("pool", [*pools(), DiffPool(C, 1).double(), MinCutPool(C, 1).double()], ids=str)
def test_small_graphs(pool, name):
    n, edges, batch = SMALL[name]
    edges = torch.tensor(edges, dtype=torch.int64)
    x = torch.randn(n, C, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    weight = torch.ones(edges.size(1), dtype=torch.float64, requires_grad=True)
    coarse = pool(x, edges, None if batch is None else torch.tensor(batch), weight)
    back = Unpool()(coarse.x, coarse.select)
    loss = coarse.x.sin().sum() + coarse.edge_weight.sin().sum() + back.cos().sum() + (coarse.loss or 0)
    leaves = [x, weight, *pool.parameters()]
    found = [coarse.x, coarse.edge_weight, back, loss, *torch.autograd.grad(loss, leaves, materialize_grads=True)]
    assert all(values.isfinite().all() for values in found)


def test_a_graph_without_edges_has_no_cut():
    pool, whole, bare = MinCutPool(C, 3).double(), graph(), graph(1)
    bare.edge_index, bare.edge_weight = bare.edge_index[:, :0], bare.edge_weight[:0]
    adjacency = torch.zeros(1, N, N, dtype=torch.float64)
    _, _, cut, orthogonality = dense_mincut_pool(bare.x[None], adjacency, pool.lin(bare.x)[None])
    alone = coarsen(pool, bare)
    assert cut.isnan()
    torch.testing.assert_close(alone.loss, orthogonality)
    assert not alone.edge_weight.any()
    both = coarsen(pool, Batch.from_data_list([whole, bare]))
    torch.testing.assert_close(both.loss, (coarsen(pool, whole).loss + orthogonality) / 2)


def test_clusters_without_an_edge_between_them_have_a_derivative():
    """The least cut there is: two pairs of nodes, each in a cluster of its own, for certain."""
    pool = MinCutPool(2, 2)
    pool.load_state_dict({"lin.weight": 60 * torch.tensor([[1.0, -1], [-1, 1]]), "lin.bias": torch.zeros(2)})
    x = torch.eye(2)[[0, 0, 1, 1]].requires_grad_()
    coarse = pool(x, torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
    torch.testing.assert_close(coarse.loss, torch.tensor(-1.0))
    assert not coarse.edge_weight.any()
    loss = coarse.x.sin().sum() + coarse.edge_weight.sum() + coarse.loss
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, [x, *pool.parameters()]))
    adjacency = torch.zeros(1, 4, 4).index_put_(
        (torch.tensor(0), torch.tensor([0, 1, 2, 3]), torch.tensor([1, 0, 3, 2])), torch.ones(4)
    )
    out, weights, *_ = dense_mincut_pool(x.detach()[None], adjacency, pool.lin(x)[None])
    assert torch.autograd.grad(out.sum() + weights.sum(), x)[0].isnan().any()


def test_top_k_is_pygs():
    data, ours = graph(), TopKPool(C, 0.5).double()
    theirs = TopKPooling(C, 0.5).double()
    theirs.load_state_dict(ours.pool.state_dict())
    x, edge_index, weight, *_ = theirs(data.x, data.edge_index, data.edge_weight)
    coarse = coarsen(ours, data)
    for got, want in zip((coarse.x, coarse.edge_index, coarse.edge_weight), (x, edge_index, weight)):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("pool", pools(), ids=str)
def test_structures_are_graphs_too(pool):
    grid, x = Grid((3, 3)), torch.randn(9, C, dtype=torch.float64)
    from_grid, from_edges = pool(x, grid), pool(x, grid.edge_index)
    torch.testing.assert_close(from_grid.x, from_edges.x)
    torch.testing.assert_close(from_grid.edge_weight, from_edges.edge_weight)


def test_a_cluster_lies_in_one_graph_and_may_be_empty():
    coarse = cluster_pool(
        torch.ones(3, 1), torch.tensor([[0], [1]]), torch.tensor([2, 0, 0]), 3, torch.tensor([0, 1, 1])
    )
    assert coarse.x.flatten().tolist() == [1, 0, 1]
    assert coarse.batch.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HeavyEdgePool("min"), "`reduce` must be 'sum', 'mean' or 'max', got 'min'"),
        (lambda: TopKPool(3, 0), "`ratio` must be a positive share of the nodes, or their number, got 0"),
        (lambda: DiffPool(3, 0), "`num_clusters` must be at least 1, got 0"),
        (
            lambda: DiffPool(1, 2)(torch.ones(0, 1), torch.zeros(2, 0, dtype=torch.int64)),
            "`x` must have a row for at least one node, got none; skip the empty graph",
        ),
        (
            lambda: MinCutPool(1, 2)(torch.ones(3, 1), torch.tensor([[0], [1]]), torch.tensor([0, 1, 0])),
            "`batch` must be sorted, so that each graph is one block of rows; sort the nodes by it",
        ),
        (
            lambda: Unpool()(torch.ones(3, 1), coarsen(HeavyEdgePool(), graph()).select),
            r"`x` must have one row for each of \d clusters, got \(3, 1\)",
        ),
        (
            lambda: HeavyEdgePool()(torch.ones(2, 1), torch.tensor([[0], [1]]), edge_weight=torch.ones(2)),
            "`edge_weight` must have one row for each of the 1 edges",
        ),
    ],
)
def test_misuse_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()

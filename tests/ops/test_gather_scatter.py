"""gather_scatter and edge_dot against their definitions: value, first and second derivative, laws."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from graphgdl.ops import edge_dot, gather_scatter, reference

REDUCTIONS = ("sum", "mean", "max", "min")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def draw(*shape, dtype=torch.float64, seed=0, grad=False):
    values = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return values.to(dtype).requires_grad_(grad)


def weights(kind, num_edges, heads, **options):
    return {
        "none": None,
        "edge": draw(num_edges, seed=1, **options),
        "head": draw(num_edges, heads, seed=1, **options),
    }[kind]


def close(actual, expected, dtype=torch.float64):
    torch.testing.assert_close(actual, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("kind", ["none", "edge"])
def test_equals_the_definition(graph, reduce, kind, dtype):
    n, m, edge_index = graph
    x, w = draw(n, 3, dtype=dtype), weights(kind, edge_index.size(1), 1, dtype=dtype)
    out = gather_scatter(x, edge_index, m, w, reduce)
    assert out.dtype == dtype
    expected = reference.gather_scatter(x.double(), edge_index, m, None if w is None else w.double(), reduce)
    close(out.double(), expected, dtype)


@pytest.mark.parametrize("kind", ["none", "edge", "head"])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_heads(graph, reduce, kind):
    n, m, edge_index = graph
    x, w = draw(n, 4, 3), weights(kind, edge_index.size(1), 4)
    close(gather_scatter(x, edge_index, m, w, reduce), reference.gather_scatter(x, edge_index, m, w, reduce))


@pytest.mark.parametrize("channels", [0, 1, 3, 16, 33, 64, 123])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_channel_counts(channels, reduce):
    edge_index = torch.randint(5, (2, 40), generator=torch.Generator().manual_seed(3))
    x, w = draw(5, channels), draw(40, seed=1)
    close(gather_scatter(x, edge_index, None, w, reduce), reference.gather_scatter(x, edge_index, None, w, reduce))


@pytest.mark.parametrize(("heads", "channels"), [(1, 1500), (3, 413), (70, 9)])
def test_rows_that_no_set_of_registers_holds(heads, channels):
    edge_index = torch.randint(5, (2, 12), generator=torch.Generator().manual_seed(3))
    x, y, w = draw(5, heads, channels), draw(5, heads, channels, seed=1), draw(12, heads, seed=2)
    close(gather_scatter(x, edge_index, None, w), reference.gather_scatter(x, edge_index, None, w))
    close(edge_dot(x, y, edge_index), reference.edge_dot(x, y, edge_index))


@pytest.mark.parametrize("shape", [(3,), (2, 3)], ids=["flat", "heads"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_edge_dot_equals_the_definition(graph, dtype, shape):
    n, m, edge_index = graph
    x, y = draw(n, *shape, dtype=dtype), draw(m, *shape, dtype=dtype, seed=1)
    out = edge_dot(x, y, edge_index)
    assert out.dtype == dtype
    close(out.double(), reference.edge_dot(x.double(), y.double(), edge_index), dtype)


@pytest.mark.parametrize("kind", ["none", "edge", "head"])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_first_and_second_derivatives_by_finite_differences(graph, reduce, kind):
    n, m, edge_index = graph
    x, w = draw(n, 2, 2, grad=True), weights(kind, edge_index.size(1), 2, grad=True)
    inputs = (x,) if w is None else (x, w)

    def run(x, w=None):
        return gather_scatter(x, edge_index, m, w, reduce)

    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


def test_edge_dot_derivatives_by_finite_differences(graph):
    n, m, edge_index = graph
    inputs = draw(n, 2, 2, grad=True), draw(m, 2, 2, seed=1, grad=True)
    assert gradcheck(lambda x, y: edge_dot(x, y, edge_index), inputs)
    assert gradgradcheck(lambda x, y: edge_dot(x, y, edge_index), inputs)


def hessian_vector_product(function, inputs, attached=True):
    """Differentiate <d function, v> once more, and insist that no gradient on the way is detached."""
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    out = function(*inputs)
    first = torch.autograd.grad(
        (out.sin() * draw(*out.shape, seed=5)).sum(), inputs, create_graph=True, materialize_grads=True
    )
    assert not attached or all(g.requires_grad for g in first)
    along = sum((g * draw(*g.shape, seed=7 + i)).sum() for i, g in enumerate(first))
    return first, torch.autograd.grad(along, inputs, materialize_grads=True)


@pytest.mark.parametrize("kind", ["none", "edge", "head"])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_hessian_vector_product(graph, reduce, kind):
    n, m, edge_index = graph
    w = weights(kind, edge_index.size(1), 2)
    inputs = [draw(n, 2, 3), *([] if w is None else [w])]
    results = []
    for function, attached in ((gather_scatter, True), (reference.gather_scatter, False)):
        results += [
            hessian_vector_product(lambda x, w=None, f=function: f(x, edge_index, m, w, reduce), inputs, attached)
        ]
    for actual, expected in zip(*(first + second for first, second in results), strict=True):
        close(actual, expected)


def test_edge_dot_hessian_vector_product(graph):
    n, m, edge_index = graph
    inputs = [draw(n, 2, 3), draw(m, 2, 3, seed=1)]
    results = []
    for function, attached in ((edge_dot, True), (reference.edge_dot, False)):
        results += [hessian_vector_product(lambda x, y, f=function: f(x, y, edge_index), inputs, attached)]
    for actual, expected in zip(*(first + second for first, second in results), strict=True):
        close(actual, expected)


graphs = st.integers(1, 8).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
)


@settings(max_examples=40)
@given(graphs, st.floats(-2, 2), st.integers(0, 10**6))
def test_sum_is_linear_and_its_transpose_is_its_adjoint(sized, factor, seed):
    n, edges = sized
    edge_index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t()
    x, z, w = draw(n, 3, seed=seed), draw(n, 3, seed=seed + 1), draw(len(edges), seed=seed + 2)
    both = gather_scatter(x + factor * z, edge_index, None, w)
    close(both, gather_scatter(x, edge_index, None, w) + factor * gather_scatter(z, edge_index, None, w))
    there = (gather_scatter(x, edge_index, None, w) * z).sum()
    close(there, (x * gather_scatter(z, edge_index.flip(0), None, w)).sum())
    close(there, (w * edge_dot(x, z, edge_index)).sum())


@settings(max_examples=40)
@given(graphs, st.sampled_from(REDUCTIONS), st.randoms(use_true_random=False))
def test_renumbering_nodes_and_reordering_edges(sized, reduce, random):
    n, edges = sized
    edge_index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t()
    nodes, order = list(range(n)), list(range(len(edges)))
    random.shuffle(nodes)
    random.shuffle(order)
    new = torch.tensor(nodes)
    x, w = draw(n, 3), draw(len(edges), seed=1)
    moved = torch.empty_like(x)
    moved[new] = x
    out = gather_scatter(moved, new[edge_index][:, order], None, w[order], reduce)
    close(out[new], gather_scatter(x, edge_index, None, w, reduce))


def test_ties_give_the_whole_gradient_to_the_first_edge():
    x = torch.tensor([[1.0], [1.0], [1.0]], requires_grad=True)
    edge_index = torch.tensor([[2, 0, 1], [0, 0, 0]])
    for reduce in ("max", "min"):
        (grad,) = torch.autograd.grad(gather_scatter(x, edge_index, 1, None, reduce).sum(), x)
        assert grad.flatten().tolist() == [0, 0, 1]


def test_nan_and_infinity_pass_as_in_torch():
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([[1.0], [inf], [nan], [-inf], [2.0]])
    edge_index = torch.tensor([[0, 1, 0, 2, 4, 3, 3], [0, 0, 1, 1, 1, 2, 2]])
    expected = {"sum": [inf, nan, -inf], "mean": [inf, nan, -inf], "max": [inf, nan, -inf], "min": [1, nan, -inf]}
    for reduce, values in expected.items():
        out = gather_scatter(x, edge_index, 3, None, reduce)
        torch.testing.assert_close(out.flatten(), torch.tensor(values), equal_nan=True)


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_strided_and_broadcast_inputs(reduce):
    edge_index = torch.randint(6, (40, 2), generator=torch.Generator().manual_seed(1)).t()
    assert not edge_index.is_contiguous()
    for x in (draw(3, 6).t(), draw(6, 9)[:, ::2], draw(1, 5).expand(6, 5), draw(6, 1).expand(6, 4)):
        for w in (draw(80)[::2], draw(1).expand(40)):
            expected = reference.gather_scatter(x, edge_index, None, w, reduce)
            close(gather_scatter(x, edge_index, None, w, reduce), expected)


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_int32_indices_and_derivatives(reduce):
    edge_index = torch.randint(6, (2, 30), generator=torch.Generator().manual_seed(1))
    x, w = draw(6, 4, grad=True), draw(30, grad=True)
    outs = [gather_scatter(x, index, None, w, reduce) for index in (edge_index, edge_index.int())]
    assert torch.equal(*outs)
    for one, other in zip(*(torch.autograd.grad(out.square().sum(), (x, w)) for out in outs), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_integers_are_summed_exactly(dtype):
    x = torch.tensor([[1, 100], [2, 50], [3, 7]], dtype=dtype)
    edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
    assert gather_scatter(x, edge_index).tolist() == [[3, 7], [3, 150], [0, 0]]
    assert gather_scatter(x, edge_index, reduce="max").tolist() == [[3, 7], [2, 100], [0, 0]]


def test_dtypes_are_promoted_as_in_a_product():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    assert gather_scatter(draw(2, 3, dtype=torch.float32), edge_index, None, draw(2)).dtype == torch.float64
    assert (
        edge_dot(draw(2, 3, dtype=torch.bfloat16), draw(2, 3, dtype=torch.float32), edge_index).dtype == torch.float32
    )


def test_half_precision_is_summed_in_float32():
    x = torch.full((4000, 1), 0.001, dtype=torch.float16)
    edge_index = torch.stack([torch.arange(4000), torch.zeros(4000, dtype=torch.long)])
    assert gather_scatter(x, edge_index, 1).item() == pytest.approx(4.0, rel=2e-3)  # in float16 it would stop at 2


def test_edge_index_of_pyg_gives_the_same_and_is_sorted_once():
    from torch_geometric import EdgeIndex

    from graphgdl.ops import rows

    plain = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    edge_index, x = EdgeIndex(plain, sparse_size=(3, 3)), draw(3, 2)
    assert torch.equal(gather_scatter(x, edge_index), gather_scatter(x, plain))
    known = rows.plan(edge_index.as_tensor())
    gather_scatter(x, edge_index)
    assert rows.plan(edge_index.as_tensor()) is known

"""Segment reductions, softmax and expansion against their definitions."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from graphgdl.ops import reference, segment_expand, segment_reduce, segment_softmax

REDUCTIONS = ("sum", "mean", "max", "min")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def draw(*shape, dtype=torch.float64, seed=0, grad=False):
    values = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return values.to(dtype).requires_grad_(grad)


def close(actual, expected, dtype=torch.float64):
    torch.testing.assert_close(actual, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.fixture(params=["destinations", "index"])
def segments(request, graph):
    _, n, edge_index = graph
    return n, (edge_index if request.param == "destinations" else edge_index[1].clone())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=["flat", "c", "h c"])
def test_equal_the_definitions(segments, shape, dtype):
    n, index = segments
    src, y = draw(index.size(-1), *shape, dtype=dtype), draw(n, *shape, dtype=dtype)
    for reduce in REDUCTIONS:
        out = segment_reduce(src, index, n, reduce)
        assert out.dtype == dtype
        close(out.double(), reference.segment_reduce(src.double(), index, n, reduce), dtype)
    share = segment_softmax(src, index, n)
    assert share.dtype == dtype
    close(share.double(), reference.segment_softmax(src.double(), index, n), dtype)
    assert torch.equal(segment_expand(y, index), reference.segment_expand(y, index))


def test_derivatives_by_finite_differences(segments):
    n, index = segments
    src, y = draw(index.size(-1), 2, grad=True), draw(n, 2, grad=True)
    functions = [lambda s, r=r: segment_reduce(s, index, n, r) for r in REDUCTIONS]
    for function in [*functions, lambda s: segment_softmax(s, index, n)]:
        assert gradcheck(function, (src,))
        assert gradgradcheck(function, (src,))
    assert gradcheck(lambda y: segment_expand(y, index), (y,))
    assert gradgradcheck(lambda y: segment_expand(y, index), (y,))


def test_hessian_vector_products(segments):
    n, index = segments
    pairs = [(segment_softmax, reference.segment_softmax)]
    pairs += [
        (lambda s, i, n, r=r: segment_reduce(s, i, n, r), lambda s, i, n, r=r: reference.segment_reduce(s, i, n, r))
        for r in REDUCTIONS
    ]
    for pair in pairs:
        results = []
        for function in pair:
            src = draw(index.size(-1), 3, grad=True)
            out = function(src, index, n)
            loss = (out.sin() * draw(*out.shape, seed=1)).sum()
            (first,) = torch.autograd.grad(loss, src, create_graph=True)
            assert first.requires_grad
            along = (first * draw(*first.shape, seed=2)).sum()
            results.append((first, *torch.autograd.grad(along, src, materialize_grads=True)))
        for actual, expected in zip(*results, strict=True):
            close(actual, expected)


def test_expansion_is_the_adjoint_of_the_sum(segments):
    n, index = segments
    src, y = draw(index.size(-1), 4), draw(n, 4, seed=1)
    close((segment_reduce(src, index, n) * y).sum(), (src * segment_expand(y, index)).sum())


def test_expansion_to_sources(graph):
    n, _, edge_index = graph
    y, seed = draw(n, 3, grad=True), draw(edge_index.size(1), 3, seed=1, grad=True)
    outs = [f(y, edge_index, "src") for f in (segment_expand, reference.segment_expand)]
    assert torch.equal(*outs)
    grads = [torch.autograd.grad((out * seed).sum(), y, create_graph=True)[0] for out in outs]
    close(*grads)
    if edge_index.size(1):
        close(*(torch.autograd.grad((grad * grad.detach().sin()).sum(), seed)[0] for grad in grads))
    assert gradgradcheck(lambda y: segment_expand(y, edge_index, "src"), (y,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softmax_is_accurate_over_the_whole_range(dtype):
    index = torch.zeros(4001, dtype=torch.long)
    src = torch.linspace(-120, 0, 4001, dtype=dtype)
    out, exact = segment_softmax(src, index, 1).double(), src.double().softmax(0)
    kept = exact > torch.finfo(dtype).tiny
    error = ((out - exact).abs() / exact)[kept].max()
    assert error < 16 * torch.finfo(dtype).eps
    assert out[~kept].abs().max().item() <= 2 * torch.finfo(dtype).tiny if (~kept).any() else True


def test_softmax_of_large_and_infinite_scores():
    inf = float("inf")
    src = torch.tensor([1e4, 1e4, -inf, 0.0, -1e30, 3e38])
    out = segment_softmax(src, torch.tensor([0, 0, 0, 1, 1, 2]), 3)
    assert out.tolist() == [0.5, 0.5, 0, 1, 0, 1]
    assert segment_softmax(torch.tensor([float("nan"), 1.0]), torch.tensor([0, 0]), 1).isnan().all()
    assert segment_softmax(torch.tensor([-inf, -inf]), torch.tensor([0, 0]), 1).isnan().all()


def test_softmax_runs_in_float32_under_autocast():
    src, index = draw(5, dtype=torch.bfloat16), torch.tensor([0, 1, 0, 1, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = segment_softmax(src, index, 2)
        assert segment_reduce(src, index, 2).dtype == torch.bfloat16
    assert out.dtype == torch.float32
    assert torch.equal(out, segment_softmax(src.float(), index, 2))


def test_strided_values_and_int32_index():
    index = torch.tensor([2, 0, 2, 1, 0])
    for src in (draw(3, 5).t(), draw(1, 4).expand(5, 4), draw(5, 8)[:, ::2]):
        for reduce in REDUCTIONS:
            close(segment_reduce(src, index.int(), 3, reduce), reference.segment_reduce(src, index, 3, reduce))
        close(segment_softmax(src, index.int(), 3), reference.segment_softmax(src, index, 3))


def test_no_channels():
    src, index = torch.empty(3, 0), torch.tensor([0, 1, 0])
    for reduce in REDUCTIONS:
        assert segment_reduce(src, index, 2, reduce).shape == (2, 0)
    assert segment_softmax(src, index, 2).shape == (3, 0)
    assert segment_expand(torch.empty(2, 0), index).shape == (3, 0)


def test_gradient_under_autocast_has_the_dtype_of_the_scores():
    index = torch.tensor([0, 1, 0, 1, 1])
    for dtype, result in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        src = draw(5, dtype=dtype, grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = segment_softmax(src, index, 2)
        (grad,) = torch.autograd.grad(out[0], src)
        assert out.dtype == result
        assert grad.dtype == dtype
        assert grad.abs().sum() > 0

"""What torch asks of a registered op: opcheck, fullgraph compilation, function transforms, autocast."""

import pytest
import torch
from torch import library
from torch.utils._python_dispatch import TorchDispatchMode

import graphgdl.ops  # noqa: F401
from graphgdl.ops import edge_dot, gather_scatter, segment_expand, segment_reduce, segment_softmax

OPS = torch.ops.graphgdl


def draw(*shape, seed=0, grad=True, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_(grad)


def samples(num_src, num_dst, edge_index):
    e = edge_index.size(1)
    for shape, weight in (((2,), (e,)), ((3, 2), (e, 3))):
        for w in (None, draw(*weight)):
            yield OPS.weighted_sum, (draw(num_src, *shape), w, edge_index, num_dst, False)
            yield OPS.weighted_sum, (draw(num_dst, *shape), w, edge_index, num_src, True)
            yield OPS.gather_arg, (draw(num_src, *shape), w, edge_index, num_dst, True)
        yield OPS.edge_dot, (draw(num_src, *shape), draw(num_dst, *shape), edge_index)
    yield OPS.segment_sum, (draw(e, 2), edge_index, num_src, True)
    yield OPS.segment_expand, (draw(num_src, 2), edge_index, True)
    for index in (edge_index, edge_index[1].clone()):
        yield OPS.segment_sum, (draw(e, 2), index, num_dst, False)
        yield OPS.segment_expand, (draw(num_dst, 2), index, False)
        yield OPS.segment_softmax, (draw(e, 2), index, num_dst)
        yield OPS.segment_arg, (draw(e, 2), index, num_dst, False)
        yield OPS.segment_divisor, (index, num_dst, torch.float32)
    for start in (None, draw(4), draw(num_src, 4)):
        yield OPS.linear, (draw(num_src, 3), draw(4, 3), start)


@pytest.mark.parametrize("graph", ["unsorted", "bipartite"], indirect=True)
def test_opcheck(graph):
    for op, args in samples(*graph):
        library.opcheck(op.default, args)


def loss(x, w, edge_index):
    n, out = x.size(0), 0
    for reduce in ("sum", "mean", "max", "min"):
        out = out + gather_scatter(x, edge_index, None, w, reduce).sin().sum()
        out = out + segment_reduce(w, edge_index, n, reduce).sin().sum()
    share = segment_softmax(edge_dot(x, x, edge_index), edge_index, n)
    return out + (share.unsqueeze(-1) * segment_expand(x, edge_index)).square().sum()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiles_to_one_graph_of_any_size():
    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    for n, e in ((5, 12), (7, 30), (4, 9)):
        edge_index = torch.randint(n, (2, e), generator=torch.Generator().manual_seed(e))
        x, w = draw(n, 3), draw(e, 1).squeeze(1)
        values, grads = [], []
        for function in (loss, compiled):
            for _ in range(2):  # the second call finds the rows it made in the first
                value = function(x, w.detach().requires_grad_(), edge_index)
                values.append(value.detach())
                grads.append(torch.autograd.grad(value, x)[0])
        for value, grad in zip(values[1:], grads[1:], strict=True):
            torch.testing.assert_close(value, values[0], atol=1e-12, rtol=1e-12)
            torch.testing.assert_close(grad, grads[0], atol=1e-12, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_function_sees_a_change_in_place():
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, e: gather_scatter(x, e), backend="aot_eager", fullgraph=True)
    edge_index, x = torch.tensor([[0, 1], [1, 1]]), torch.tensor([[1.0], [2.0]])
    assert compiled(x, edge_index).flatten().tolist() == [0, 3]
    edge_index.copy_(torch.tensor([[0, 1], [0, 1]]))
    assert compiled(x, edge_index).flatten().tolist() == [1, 2]


def test_function_transforms():
    edge_index = torch.randint(5, (2, 12), generator=torch.Generator().manual_seed(0))
    x, w = draw(5, 3), draw(12)
    expected = torch.autograd.grad(loss(x, w, edge_index), (x, w))
    actual = torch.func.grad(loss, argnums=(0, 1))(x.detach(), w.detach(), edge_index)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)
    along = torch.func.grad(lambda x: torch.func.grad(loss)(x, w.detach(), edge_index).square().sum())(x.detach())
    (first,) = torch.autograd.grad(loss(x, w, edge_index), x, create_graph=True)
    torch.testing.assert_close(along, torch.autograd.grad(first.square().sum(), x)[0], atol=1e-10, rtol=1e-10)


def test_dtype_under_autocast():
    edge_index, linear = torch.tensor([[0, 1], [1, 0]]), torch.nn.Linear(3, 3)
    w = torch.ones(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = linear(torch.ones(2, 3))
        assert x.dtype == torch.bfloat16
        assert gather_scatter(x, edge_index).dtype == torch.bfloat16
        assert gather_scatter(x, edge_index, None, w).dtype == (x * w[:, None]).dtype == torch.float32
        assert edge_dot(x, x, edge_index).dtype == torch.bfloat16
    gather_scatter(x, edge_index, None, w).sum().backward()
    assert linear.weight.grad.dtype == torch.float32


def test_no_graph_is_recorded_without_need():
    edge_index, x = torch.tensor([[0, 1], [1, 0]]), draw(2, 3)
    with torch.no_grad():
        assert not gather_scatter(x, edge_index).requires_grad
    assert not gather_scatter(x.detach(), edge_index).requires_grad
    assert gather_scatter(x, edge_index).requires_grad


def test_meta_tensors_give_shapes():
    out = gather_scatter(torch.ones(3, 4, 2, device="meta"), torch.ones(2, 5, dtype=torch.long, device="meta"), 7)
    assert out.shape == (7, 4, 2)


class Largest(TorchDispatchMode):
    """Remember the largest tensor that any op returns."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_no_tensor_has_an_entry_for_each_edge_and_channel(reduce):
    n, e, h, c = 10, 200, 2, 16
    edge_index = torch.randint(n, (2, e), generator=torch.Generator().manual_seed(0))
    x, w = draw(n, h, c), draw(e, h)
    with Largest() as largest:
        out = gather_scatter(x, edge_index, None, w * edge_dot(x, x, edge_index), reduce)
        first = torch.autograd.grad(out.sin().sum(), (x, w), create_graph=True)
        torch.autograd.grad(sum(g.square().sum() for g in first), (x, w))
    assert 0 < largest.numel <= max(n * h * c, e * h)
    with Largest() as control:
        x.index_select(0, edge_index[0])
    assert control.numel == e * h * c

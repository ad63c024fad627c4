"""Sorting edges into rows, and remembering the result exactly as long as it is true."""

import gc
import threading
from itertools import pairwise

import pytest
import torch

from graphgdl.ops import gather_scatter, segment_reduce
from graphgdl.ops import rows as module
from graphgdl.ops.rows import plan


def listed(index, axis, num_rows):
    """Return the rows as lists of (edge id, other end), by plain Python."""
    keys = (index if index.dim() == 2 else torch.stack([index, index])).tolist()
    return [[(e, keys[1 - axis][e]) for e, key in enumerate(keys[axis]) if key == i] for i in range(num_rows)]


def unpacked(rows, index):
    edge = rows.edge.tolist() or list(range(index.size(-1)))
    col = rows.col.tolist() or edge
    ptr = rows.ptr.tolist()
    return [[(edge[k], col[k]) for k in range(ptr[i], ptr[i + 1])] for i in range(rows.num_rows)]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32], ids=str)
def test_rows_of_both_ends_keep_the_order_of_edges(graph, dtype):
    num_src, num_dst, edge_index = graph
    edge_index = edge_index.to(dtype)
    for axis, count in ((0, num_src), (1, num_dst)):
        rows = plan(edge_index).rows(axis, count)
        assert unpacked(rows, edge_index) == listed(edge_index, axis, count)


def test_rows_of_an_index(graph):
    _, num_dst, edge_index = graph
    index = edge_index[1].clone()
    rows = plan(index, "index").rows(0, num_dst)
    expected = [[e for e, _ in row] for row in listed(index, 0, num_dst)]
    assert [[e for e, _ in row] for row in unpacked(rows, index)] == expected


def test_sorted_edges_need_no_permutation():
    edge_index = torch.tensor([[2, 0, 1], [0, 0, 2]])
    assert len(plan(edge_index).rows(1, 3).edge) == 0
    assert len(plan(edge_index).rows(0, 3).edge) == 3


@pytest.mark.parametrize("first", [3, 5, 9])
@pytest.mark.parametrize("second", [3, 4, 7])
def test_another_number_of_rows_reuses_the_order(first, second):
    edge_index = torch.tensor([[0, 1, 2, 0], [2, 0, 2, 1]])
    one = plan(edge_index).rows(1, first)
    other = plan(edge_index).rows(1, second)
    assert other.edge is one.edge
    assert unpacked(other, edge_index) == listed(edge_index, 1, second)


@pytest.mark.parametrize("parts", [1, 2, 7, 100])
def test_cuts_cover_every_row_once_and_balance_edges(parts):
    index = torch.randint(1000, (20000,), generator=torch.Generator().manual_seed(0)).square() // 1000
    rows = plan(index, "index").rows(0, 1200)
    cuts = rows.cuts(parts)
    assert cuts[0] == 0
    assert cuts[-1] == 1200
    assert all(a < b for a, b in pairwise(cuts))
    largest_row = max(rows.ptr[1:] - rows.ptr[:-1])
    assert all(rows.ptr[b] - rows.ptr[a] <= (21200 / parts) + largest_row + 1 for a, b in pairwise(cuts))


def test_plan_is_remembered_while_the_tensor_stays_the_same():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    assert plan(edge_index) is plan(edge_index)
    assert plan(edge_index.clone()) is not plan(edge_index)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.copy_(e.flip(0)),
        lambda e: e[0].fill_(2),
        lambda e: e.view(-1)[:2].zero_(),
        lambda e: e.detach().add_(1).remainder_(3),
        lambda e: e.set_(torch.tensor([[0], [2]])),
    ],
)
def test_change_in_place_is_seen(change):
    edge_index = torch.tensor([[0, 1, 2], [1, 2, 2]])
    x = torch.tensor([[1.0], [2.0], [4.0]])
    gather_scatter(x, edge_index)
    change(edge_index)
    assert torch.equal(gather_scatter(x, edge_index), gather_scatter(x, edge_index.clone()))


def test_change_between_forward_and_backward_is_refused():
    edge_index, x = torch.tensor([[0, 1], [1, 1]]), torch.ones(2, 1, requires_grad=True)
    out = gather_scatter(x, edge_index)
    edge_index.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_unseen_write_through_numpy_is_harmless():
    index = torch.tensor([1, 0, 1])
    assert segment_reduce(torch.ones(3), index, 2).tolist() == [1, 2]
    index.numpy()[:] = 10**9  # the answer may be old, but nothing out of range is read
    assert segment_reduce(torch.ones(3), index, 3).tolist() == [1, 2, 0]


def test_indices_beyond_int32_are_refused_not_wrapped():
    for bad in (2**32, 2**31, -(2**32) + 1):
        with pytest.raises(ValueError, match=f"must hold values in .0, 3., got {bad}"):
            segment_reduce(torch.ones(2), torch.tensor([0, bad]), 3)


def test_nothing_is_kept_of_a_dead_tensor():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    key = id(edge_index)
    known = plan(edge_index)
    known.rows(0, 2)
    known.rows(1, 2)
    assert key in module._plans
    del edge_index
    gc.collect()
    assert key not in module._plans


def test_graph_that_holds_the_edges_may_outlive_the_name():
    x = torch.ones(3, 1, requires_grad=True)
    out = gather_scatter(x, torch.tensor([[0, 1, 1], [1, 2, 0]]))
    gc.collect()
    out.sum().backward()
    assert x.grad.flatten().tolist() == [1, 2, 0]


def test_new_tensor_at_an_old_address_is_sorted_anew():
    generator, x = torch.Generator().manual_seed(0), torch.randn(5, 2)
    seen = set()
    for _ in range(200):
        edge_index = torch.randint(5, (2, 6), generator=generator)
        seen.add(id(edge_index))
        expected = torch.zeros(5, 2).index_add_(0, edge_index[1], x[edge_index[0]])
        torch.testing.assert_close(gather_scatter(x, edge_index), expected)
        del edge_index
    assert len(seen) < 200  # addresses did come back


def test_forged_entry_of_another_tensor_is_ignored():
    old, new = torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0, 1], [0, 1]])
    plan(old)
    module._plans[id(new)] = module._plans[id(old)]
    assert plan(new) is not plan(old)


def test_inference_tensors_are_sorted_in_each_call():
    with torch.inference_mode():
        edge_index = torch.tensor([[0, 1], [1, 1]])
        x = torch.tensor([[1.0], [2.0]])
        assert gather_scatter(x, edge_index).flatten().tolist() == [0, 3]
        edge_index.copy_(torch.tensor([[0, 1], [0, 1]]))
        assert gather_scatter(x, edge_index).flatten().tolist() == [1, 2]


def test_many_threads_may_ask_at_once():
    index = torch.randint(50, (5000,), generator=torch.Generator().manual_seed(0))
    src = torch.randn(5000, 3, generator=torch.Generator().manual_seed(1))
    expected = segment_reduce(src, index.clone(), 50)
    results, barrier = [], threading.Barrier(4)

    def work():
        barrier.wait()
        results.append(segment_reduce(src, index, 50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(torch.equal(result, expected) for result in results)


@pytest.fixture
def plans_made(monkeypatch):
    made = []
    original = module.Plan.__init__

    def counted(self, index, name):
        made.append(tuple(index.shape))
        original(self, index, name)

    monkeypatch.setattr(module.Plan, "__init__", counted)
    return made


def second_derivative(function, x, edge_index):
    (first,) = torch.autograd.grad(function(x, edge_index).sin().sum(), x, create_graph=True)
    return torch.autograd.grad(first.square().sum(), x)


def test_sorted_once_for_every_order_of_derivative(plans_made):
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(5, (2, 9), generator=generator)
    x = torch.randn(5, 2, generator=generator).requires_grad_()
    for reduce in ("sum", "mean", "max", "sum"):
        second_derivative(lambda x, e, r=reduce: gather_scatter(x, e, reduce=r), x, edge_index)
    assert plans_made == [(2, 9)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_sorted_once_when_compiled(plans_made):
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, e: gather_scatter(x, e).sin().sum(), backend="aot_eager", fullgraph=True)
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(5, (2, 9), generator=generator)
    x = torch.randn(5, 2, generator=generator).requires_grad_()
    for _ in range(3):
        compiled(x, edge_index).backward()
    assert plans_made == [(2, 9)]


def test_an_index_off_the_cpu_is_refused():
    with pytest.raises(ValueError, match=r"`index` must be on the CPU to be sorted there, got meta; call `.cpu\(\)`"):
        plan(torch.zeros(2, 3, dtype=torch.int64, device="meta"), "index")

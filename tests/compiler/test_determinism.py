"""The same bits in every run and for any number of threads; after a fork, and under several callers at once."""

from __future__ import annotations

import multiprocessing
import os
import threading

import pytest
import torch
from random_graphs import graph
from torch.utils.data import DataLoader, Dataset
from torch_geometric.utils import softmax
from user_layers import UserLayer

from graphgdl.compiler import blocks, kernel
from graphgdl.compiler import message as compiled_messages
from graphgdl.ops.cpu import pool


class Attention(UserLayer):
    """Softmax, a product per edge, sums over both ends, a maximum: each kind of loop there is."""

    def forward(self, x, edge_index, w):
        return self.propagate(edge_index, x=x, w=w)

    def message(self, x_i, x_j, w, index, dim_size):
        score = torch.tanh(self.lin(x_j * w + x_i)) * self.weight
        return softmax(score.sum(-1, keepdim=True), index, num_nodes=dim_size) * self.lin(torch.sin(x_j * w))


class Greatest(UserLayer):
    """A maximum, whose gradient goes to one edge."""

    def forward(self, x, edge_index, w):
        return self.propagate(edge_index, x=x, w=w)

    def message(self, x_i, x_j, w):
        return torch.sigmoid(x_j - x_i) * w


NODES, EDGES, CHANNELS = 300, 5000, 24


def layer_and_inputs(cls: type[UserLayer], dtype: torch.dtype = torch.float32):
    g = graph("hub", NODES, NODES, EDGES, 7)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(NODES, CHANNELS, generator=generator, dtype=dtype)
    w = torch.randn(EDGES, 1, generator=generator, dtype=dtype)
    layer = cls(CHANNELS, aggr="max" if cls is Greatest else "sum").to(dtype)
    layer.lowering = "compiled"
    return layer, x, g.edge_index, w


def everything(layer, x, edge_index, w) -> list[torch.Tensor]:
    """Return value, gradients, and gradients of the gradients' squares."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    leaves = [x, w, *layer.parameters()]
    out = layer(x, edge_index, w)
    first = torch.autograd.grad(out.sin().sum(), leaves, create_graph=True, allow_unused=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first if g is not None), leaves, allow_unused=True)
    return [t.detach() for t in (out, *first, *second) if t is not None]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def threads(monkeypatch):
    """Set the number of threads; parts and tiles are small enough that there are several of each."""
    monkeypatch.setattr(kernel, "PART_WORK", 20_000)
    monkeypatch.setattr(blocks, "TILE_BYTES", 1)
    monkeypatch.setattr(blocks, "TILE_EDGES", 1500)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("cls", [Attention, Greatest])
def test_bitwise_equal_over_runs_and_thread_counts(cls, threads, monkeypatch):
    given = layer_and_inputs(cls)
    threads(1)
    expected = everything(*given)
    assert all(t.isfinite().all() for t in expected)
    started = []
    start = pool._start
    monkeypatch.setattr(pool, "_start", lambda task, workers: started.append(workers) or start(task, workers))
    for run in range(20):
        threads(1 + run % 3)
        assert same(everything(*given), expected), f"run {run} with {1 + run % 3} threads"
    assert {1, 2} <= set(started)  # two and three threads did run


def test_another_plan_of_the_same_edges_gives_the_same_bits(threads):
    threads(2)
    layer, x, edge_index, w = layer_and_inputs(Attention)
    assert same(everything(layer, x, edge_index.clone(), w), everything(layer, x, edge_index.clone(), w))


def test_four_threads_at_once_at_the_first_call(threads, monkeypatch, tmp_path):
    """Four threads record, derive, compile and run the same layer, of which nothing is known yet."""
    monkeypatch.setenv("GRAPHGDL_CACHE", str(tmp_path))
    threads(2)
    given = layer_and_inputs(Attention)
    expected = everything(*given)
    monkeypatch.setattr(compiled_messages, "_programs", {})
    fresh, *inputs = layer_and_inputs(Attention)
    barrier, found, failed = threading.Barrier(4), {}, []

    def work(number: int) -> None:
        try:
            torch.set_num_threads(2)
            barrier.wait()
            for _ in range(3):
                found[number] = everything(fresh, *inputs)
                assert same(found[number], expected)
        except BaseException as error:
            failed.append(error)

    callers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(120)
    assert not failed, failed
    assert sorted(found) == [0, 1, 2, 3]


def _in_child(queue: multiprocessing.Queue, given, count: int) -> None:
    torch.set_num_threads(count)
    queue.put([t.double().sum().item() for t in everything(*given)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_in_a_forked_child_after_a_parallel_call(threads):
    given = layer_and_inputs(Attention)
    threads(2)
    expected = [t.double().sum().item() for t in everything(*given)]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue, given, 1))
    child.start()
    try:
        assert queue.get(timeout=60) == expected
    finally:
        child.join(10)
        if child.is_alive():
            child.kill()


class Samples(Dataset):
    """Runs a compiled layer for each sample, as a transform of a data set may."""

    def __init__(self, given) -> None:
        self.given = given

    def __len__(self) -> int:
        return 4

    def __getitem__(self, item: int) -> torch.Tensor:
        layer, x, edge_index, w = self.given
        with torch.no_grad():
            return layer(x * (item + 1), edge_index, w)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_in_workers_of_a_data_loader(threads):
    threads(1)
    samples = Samples(layer_and_inputs(Attention))
    expected = [samples[k] for k in range(4)]
    threads(2)
    everything(*samples.given)
    loader = DataLoader(samples, batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert same(list(loader), expected)


def test_dropout_is_the_same_for_a_seed_and_in_the_backward():
    """The mask of the forward is that of the backward: the gradient of a sum is the kept share of the weights."""

    class Dropped(UserLayer):
        def message(self, x_j):
            return torch.nn.functional.dropout(x_j, 0.4, self.training)

    layer, x, edge_index, _ = layer_and_inputs(Dropped, torch.float64)
    ones = torch.ones_like(x, requires_grad=True)

    def run(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(seed)
        out = layer(ones, edge_index)
        (gradient,) = torch.autograd.grad(out.sum(), ones)
        return out.detach(), gradient

    (out, gradient), (again, same_gradient), (other, _) = run(3), run(3), run(4)
    assert torch.equal(out, again)
    assert torch.equal(gradient, same_gradient)
    assert not torch.equal(out, other)
    torch.testing.assert_close(out.sum(), gradient.sum())  # linear in x = 1: the same mask twice
    kept = (out * 0.6).sum() / (EDGES * CHANNELS)
    assert abs(kept.item() - 0.6) < 4 * (0.6 * 0.4 / (EDGES * CHANNELS)) ** 0.5
    counts = torch.zeros(NODES, CHANNELS, dtype=torch.float64).index_add_(
        0, edge_index[1], torch.ones(EDGES, CHANNELS).double()
    )
    assert torch.equal((out * 0.6).round() <= counts, torch.ones(NODES, CHANNELS, dtype=torch.bool))
    layer.eval()
    torch.testing.assert_close(layer(ones, edge_index).detach(), counts)

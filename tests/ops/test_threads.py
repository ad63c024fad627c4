"""The same bits for any number of threads, after a fork, and under several callers."""

import multiprocessing
import os
import subprocess
import sys
import threading

import pytest
import torch

from graphgdl.ops import edge_dot, gather_scatter, segment_reduce, segment_softmax
from graphgdl.ops.cpu import pool


@pytest.fixture
def threads(monkeypatch):
    """Set the number of threads, and use them for graphs of a size that suits a test."""
    monkeypatch.setattr(pool, "SERIAL_WORK", 50_000)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def everything(seed=0):
    """Run every kernel, forward and backward, on a graph with a hub, large enough to be cut into chunks."""
    generator = torch.Generator().manual_seed(seed)
    n, e = 500, 12000
    edge_index = torch.randint(n, (2, e), generator=generator)
    edge_index[1, ::3] = 7
    x = torch.randn(n, 2, 16, generator=generator, requires_grad=True)
    w = torch.randn(e, 2, generator=generator, requires_grad=True)
    outs = [
        gather_scatter(x, edge_index, None, weight, r) for r in ("sum", "mean", "max", "min") for weight in (w, None)
    ]
    outs.append(edge_dot(x, x, edge_index))
    outs.append(segment_softmax(w, edge_index, n))
    outs += [segment_reduce(w, edge_index, n, r) for r in ("sum", "mean", "max", "min")]
    grads = torch.autograd.grad(sum(out.sin().sum() for out in outs), (x, w))
    return [t.detach() for t in (*outs, *grads)]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_bitwise_equal_over_runs_and_thread_counts(threads, monkeypatch):
    threads(1)
    expected = everything()
    calls = []
    start = pool._start
    monkeypatch.setattr(pool, "_start", lambda task, workers: calls.append(workers) or start(task, workers))
    for run in range(20):
        threads(1 + run % 3)
        assert same(everything(), expected), f"run {run}"
    assert {1, 2} <= set(calls)  # two and three threads did run
    assert len(pool._executor._threads) <= 2


def test_small_work_stays_on_the_calling_thread(threads, monkeypatch):
    threads(2)
    monkeypatch.undo()
    monkeypatch.setattr(pool, "_start", lambda task, workers: pytest.fail("started a thread for a molecule"))
    edge_index = torch.randint(20, (2, 40), generator=torch.Generator().manual_seed(0))
    gather_scatter(torch.randn(20, 64), edge_index)


def test_several_callers_at_once(threads):
    threads(2)
    expected = [everything(seed) for seed in range(4)]
    wrong, barrier = [], threading.Barrier(4)

    def work(seed):
        barrier.wait()
        wrong.extend(seed for _ in range(5) if not same(everything(seed), expected[seed]))

    callers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
    assert wrong == []


def test_busy_pool_leaves_the_work_to_the_caller(threads):
    threads(2)
    expected = everything()
    release = threading.Event()
    blockers = pool._start(lambda: release.wait(30), 1)
    try:
        assert same(everything(), expected)
    finally:
        release.set()
        for blocker in blockers:
            blocker.result()


def _kernels_alone():
    """Run kernels and only such torch ops as stay on one thread: torch's own threads do not survive a fork."""
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(100, (2, 9000), generator=generator)
    x, w = torch.randn(100, 16, generator=generator), torch.randn(9000, generator=generator)
    outs = gather_scatter(x, edge_index, None, w), edge_dot(x, x, edge_index), segment_softmax(w, edge_index, 100)
    return [out.tolist() for out in outs]


def _report(pipe):
    torch.set_num_threads(2)
    pipe.send((_kernels_alone(), pool._workers))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_after_a_parallel_call(threads):
    threads(2)
    expected = _kernels_alone()
    assert pool._workers
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(writer,))
    child.start()
    try:
        assert reader.poll(60), "the child hangs"
        results, workers = reader.recv()
    finally:
        child.kill()
        child.join()
    assert results == expected
    assert workers == 1  # it made threads of its own


class Aggregated(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, item):
        return everything(item)[0]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_dataloader_workers(threads):
    threads(2)
    expected = [everything(item)[0] for item in range(6)]
    loaded = torch.utils.data.DataLoader(Aggregated(), batch_size=None, num_workers=2, timeout=60)
    assert same(loaded, expected)


def test_unwritable_cache_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    code = (
        "import torch; from graphgdl.ops import gather_scatter;"
        "print(gather_scatter(torch.ones(2, 1), torch.tensor([[0, 1], [1, 1]])).tolist())"
    )
    environment = {**os.environ, "GRAPHGDL_CACHE": str(blocked / "below")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[[0.0], [2.0]]"


def test_no_place_for_a_cache_is_no_error(monkeypatch):
    from graphgdl.ops.cpu import jit

    def nowhere(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("numba.core.dispatcher.FunctionCache", nowhere)
    assert jit.jit(lambda x: 2 * x)(21) == 42


def test_full_disk_is_no_error(monkeypatch):
    from graphgdl.ops.cpu import jit

    def double(x):
        return 2 * x

    def full(*args):
        raise OSError(28, "No space left on device")

    from numba.core.caching import Cache

    monkeypatch.setattr(Cache, "save_overload", full)
    assert jit.jit(double)(21) == 42


def test_import_loads_no_compiler():
    code = "import sys, graphgdl.ops; assert not {'numba', 'scipy', 'networkx'} & {m for m in sys.modules}, 'loaded'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

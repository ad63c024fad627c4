"""How `graphgdl bench ops` measures time, memory and bandwidth."""

import ctypes
import itertools
import sys
import time

import pytest
import torch
from quick_bench import QUIET, TINY, quick  # noqa: F401 - a fixture of this module

from graphgdl.cli.bench.hot_path import clock, memory, sums
from graphgdl.cli.bench.hot_path.graphs import build_graph
from graphgdl.cli.bench.hot_path.problem import FORCES, FORWARD, TRAINING, Result, floor_bytes


def test_peak_memory_counts_what_is_held_at_once():
    def allocate():
        for _ in range(4):
            first = torch.ones(2**22)  # 16 MiB, one at a time
            del first
        second, third = torch.ones(2**23), torch.ones(2**22)  # 32 + 16 MiB together
        return second[0] + third[0]

    for _ in range(2):  # what was freed is given back, so that the second call needs it again
        assert memory.peak_mib(allocate) == pytest.approx(48, abs=4)
    assert memory.peak_mib(lambda: None) < 1
    kept: list[torch.Tensor] = []
    assert memory.peak_mib(lambda: kept.append(torch.ones(2**22))) == pytest.approx(16, abs=4)
    assert memory.peak_mib(lambda: kept[0].add_(1)) < 4  # inputs do not count


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_peak_memory_takes_nothing_from_freed_blocks():
    with memory._prompt_allocator():
        pass  # from here on blocks up to 32 MiB come from the heap
    large, pins = [], []
    for k in range(8):
        large.append(torch.ones(2**22 + 1000 * k))
        pins.append(torch.ones(2**20))  # keeps what is freed from the system
    del large
    used = torch.ones(2**22)
    del used
    with memory._prompt_allocator():
        before = memory._status("VmRSS")
        first = torch.ones(2**22)
        assert memory._status("VmRSS") - before == pytest.approx(2**24, abs=2**21)
        del first
        assert memory._status("VmRSS") - before < 2**21  # not kept for the next one
    assert len(pins) == 8


def test_peak_memory_without_the_kernels_help(monkeypatch):
    monkeypatch.setattr(memory, "_resets", lambda: False)

    def allocate():
        kept = torch.ones(2**24)  # 64 MiB
        time.sleep(0.05)
        return kept[:1].clone()

    assert memory.peak_mib(allocate) == pytest.approx(64, abs=8)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # no malloc_trim
    assert memory.peak_mib(allocate) < 80


def test_floor_of_the_traffic():
    graph = build_graph("random-20k", TINY)
    n, e, c = graph.num_nodes, graph.num_edges, 8
    problem = sums.sum_problem("weighted-sum", graph, c)
    problem.prepare(TRAINING)
    result = problem.step(TRAINING, problem.sides[problem.plain])
    forward = 4 * (n * c + e) + 16 * e + 4 * n * c + 4 * e * c  # x and w, edges, y, a row for each edge
    assert floor_bytes(problem, FORWARD, Result(result.values, [])) == forward
    assert floor_bytes(problem, TRAINING, result) == 2 * forward + 4 * (n * c + e)
    assert floor_bytes(problem, FORCES, result) is None


def test_sides_run_in_turns():
    calls = []
    times = clock.alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 4, 60.0)
    rounds = list(zip(calls[::2], calls[1::2]))
    assert set(rounds) == {("a", "b"), ("b", "a")}
    follows = {(one[1], other[0]) for one, other in itertools.pairwise(rounds)}
    assert len(follows) == 4  # each comes after each
    assert times["a"].rounds == times["b"].rounds == 200  # calls this short are repeated
    slow = clock.alternate({"a": lambda: time.sleep(0.02)}, 5, 0.05)["a"]
    assert slow.rounds == 3
    assert 20 <= slow.least <= slow.low <= slow.median <= slow.high
    assert clock.alternate({"a": lambda: time.sleep(0.06)}, 5, 60.0)["a"].rounds == 5
    assert clock.alternate({}, 5, 60.0) == {}


def test_a_gather_is_no_faster_than_its_bytes_allow(monkeypatch):
    """What is moved is what is timed: rows of 64 floats from nodes in a random order, at most so many bytes written."""
    moved = []
    original = torch.index_select

    def counted(rows, dim, nodes, out):
        moved.append(2 * original(rows, dim, nodes, out=out).nbytes)
        return out

    monkeypatch.setattr(torch, "index_select", counted)
    monkeypatch.setattr(clock, "_GATHER_BYTES", 2**16)
    monkeypatch.setattr(clock, "seconds", lambda run, device, queued: run() is None or 0.5)
    assert clock.gather_bandwidth(torch.randperm(1000), 1000, 64) == 2 * 2**17
    assert set(moved) == {2**17}


def test_copy_bandwidth_is_plausible():
    assert 1e8 < clock.copy_bandwidth() < 1e13

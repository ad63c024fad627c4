"""One case on one graph: check, first call, memory, times; one row for each side and step."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from graphgdl.cli.bench.hot_path.check import deviation
from graphgdl.cli.bench.hot_path.clock import Times, alternate, busy_seconds, copy_bandwidth, gather_bandwidth, seconds
from graphgdl.cli.bench.hot_path.memory import MIB, peak_mib
from graphgdl.cli.bench.hot_path.problem import FORWARD, OURS, Problem, Result, Side, brief, floor_bytes

OK, WRONG, FAILED, SKIPPED = "ok", "wrong", "failed", "skipped"


@dataclass(frozen=True)
class Row:
    """What was measured of one side in one step; None where it was not.

    `first_ms` is the first call of this step in this process, so it compiles and sorts what was not yet; rows of
    'forward+backward' are run first. `new_edges_ms` is a later forward call with edges never seen. `peak_mib` is above
    the level before the call, inputs excluded. `floor_mib` is the compulsory traffic (see `problem.floor_bytes`), and
    `copy_share` and `gather_share` how fast it was moved, relative to a copy (`copy_gb_s`) and to a gather of the same
    neighbour rows (`gather_gb_s`) in the same minute; on a GPU in the time the GPU is busy, `busy_ms`. `ratio_best` and
    `ratio_plain` are the median time of the fastest and of the plain peer over ours, `memory_best` and `memory_plain`
    our peak over theirs.
    """

    case: str
    kind: str
    graph: str
    num_nodes: int
    num_edges: int
    channels: int
    dtype: str
    device: str
    work: str
    side: str
    status: str = OK
    reason: str = ""
    error: float | None = None
    lowering: str = ""
    first_ms: float | None = None
    new_edges_ms: float | None = None
    median_ms: float | None = None
    min_ms: float | None = None
    q1_ms: float | None = None
    q3_ms: float | None = None
    rounds: int = 0
    peak_mib: float | None = None
    floor_mib: float | None = None
    copy_gb_s: float | None = None
    copy_share: float | None = None
    gather_gb_s: float | None = None
    gather_share: float | None = None
    busy_ms: float | None = None
    best_peer: str = ""
    ratio_best: float | None = None
    ratio_plain: float | None = None
    memory_best: float | None = None
    memory_plain: float | None = None

    def as_json(self, environment: dict[str, Any]) -> dict[str, Any]:
        """Return the row with the environment it was measured in."""
        return {**asdict(self), "environment": environment}


def measure(problem: Problem, repeats: int, budget: float, refused: dict[str, str] | None = None) -> list[Row]:
    """Measure every side of `problem` in every step, at most `repeats` rounds and about `budget` seconds for a step.

    `refused` gives the reason for each step that must not run, such as a peer that needs more memory than there is.
    """
    gc.collect()
    rows: list[Row] = []
    edges, n = problem.graph.edge_index, problem.graph.num_nodes
    bandwidth = copy_bandwidth(edges.device.type), gather_bandwidth(edges[0], n, problem.row_floats)
    for work in problem.works:
        reason = (refused or {}).get(work)
        rows += _refused(problem, work, reason) if reason else _measure(problem, work, repeats, budget, bandwidth)
    return rows


def _measure(problem: Problem, work: str, repeats: int, budget: float, bandwidth: tuple[float, float]) -> list[Row]:
    device = problem.graph.edge_index.device.type
    problem.prepare(work)
    plain = problem.sides[problem.plain]
    assert isinstance(plain, Side)
    try:
        expected, first = _once(partial(problem.step, work, plain), device)
    except Exception as error:
        return _refused(problem, work, f"no result to check against, {problem.plain} failed: {brief(error)}")
    rows = {name: _check(problem, work, name, expected, first) for name in problem.sides}
    floor = floor_bytes(problem, work, expected)
    del expected
    runs: dict[str, Callable[[], Result]] = {
        name: partial(problem.step, work, side)
        for name, side in problem.sides.items()
        if isinstance(side, Side) and rows[name].status == OK
    }
    for name, run in runs.items():
        rows[name] = replace(rows[name], peak_mib=peak_mib(run, device))
    for name, times in alternate(runs, repeats, budget, device).items():
        busy = times.median if device == "cpu" else busy_seconds(runs[name], device) * 1e3
        rows[name] = _timed(rows[name], times, busy, floor, bandwidth)
    ours = problem.sides.get(OURS)
    if OURS in runs and isinstance(ours, Side):
        if work == FORWARD:
            fresh = [problem.graph.edge_index.clone() for _ in range(3)]
            calls = [seconds(partial(problem.step, work, ours, edges), device) for edges in fresh]
            rows[OURS] = replace(rows[OURS], new_edges_ms=statistics.median(calls) * 1e3)
        rows[OURS] = _compared(rows[OURS], rows, problem.plain)
    return list(rows.values())


def _check(problem: Problem, work: str, name: str, expected: Result, plain_first: float) -> Row:
    side, row = problem.sides[name], _blank(problem, work, name)
    if isinstance(side, str):
        return replace(row, status=SKIPPED, reason=side)
    if name == problem.plain:
        return replace(row, error=0.0, first_ms=plain_first * 1e3)
    try:
        result, first = _once(partial(problem.step, work, side), problem.graph.edge_index.device.type)
        lowering = side.lowering() if side.lowering is not None else ""
    except Exception as failure:
        return replace(row, status=FAILED, reason=brief(failure))
    error, tolerance = deviation(result, expected, problem.kinks)
    row = replace(row, error=error, first_ms=first * 1e3, lowering=lowering)
    if error > tolerance:
        return replace(row, status=WRONG, reason=f"wrong by {error:.1e}, tolerance {tolerance:.0e}", first_ms=None)
    return row


def _timed(row: Row, times: Times, busy: float, floor: int | None, bandwidth: tuple[float, float]) -> Row:
    copy, gather = bandwidth
    row = replace(row, median_ms=times.median, min_ms=times.least, q1_ms=times.low, q3_ms=times.high)
    row = replace(row, rounds=times.rounds, busy_ms=busy, copy_gb_s=copy / 1e9, gather_gb_s=gather / 1e9)
    if floor is None:
        return row
    moved = floor / (busy / 1e3)
    return replace(row, floor_mib=floor / MIB, copy_share=moved / copy, gather_share=moved / gather)


def _compared(ours: Row, rows: dict[str, Row], plain: str) -> Row:
    peers = {name: row for name, row in rows.items() if name != OURS and row.status == OK and row.median_ms}
    best = min(peers.values(), key=lambda row: row.median_ms or 0.0)
    return replace(
        ours,
        best_peer=best.side,
        ratio_best=_over(best.median_ms, ours.median_ms),
        ratio_plain=_over(peers[plain].median_ms, ours.median_ms),
        memory_best=_over(ours.peak_mib, best.peak_mib),
        memory_plain=_over(ours.peak_mib, peers[plain].peak_mib),
    )


def _refused(problem: Problem, work: str, reason: str) -> list[Row]:
    return [replace(_blank(problem, work, name), status=SKIPPED, reason=reason) for name in problem.sides]


def _blank(problem: Problem, work: str, side: str) -> Row:
    graph = problem.graph
    return Row(
        case=problem.name,
        kind=problem.kind,
        graph=graph.name,
        num_nodes=graph.num_nodes,
        num_edges=graph.num_edges,
        channels=problem.channels,
        dtype=str(problem.inputs[0].dtype).removeprefix("torch."),
        device=graph.edge_index.device.type,
        work=work,
        side=side,
    )


def _once(run: Callable[[], Result], device: str) -> tuple[Result, float]:
    kept: list[Result] = []
    took = seconds(lambda: kept.append(run()), device)
    return kept[0], took


def _over(value: float | None, by: float | None) -> float | None:
    return value / by if value is not None and by else None

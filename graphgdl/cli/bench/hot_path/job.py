"""A selection of cases on a selection of graphs: what it will take, then every row."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from graphgdl.cli.bench.hot_path.clock import LEAST_ROUNDS, seconds
from graphgdl.cli.bench.hot_path.graphs import DEFAULT_GRAPHS, GRAPHS, BenchGraph, build_graph
from graphgdl.cli.bench.hot_path.layers import HEADS, LAYERS, layer_problem
from graphgdl.cli.bench.hot_path.memory import MIB, available_bytes, peak_mib
from graphgdl.cli.bench.hot_path.problem import OURS, Problem, Side
from graphgdl.cli.bench.hot_path.row import FAILED, OK, WRONG, Row, measure
from graphgdl.cli.bench.hot_path.sums import SUMS, sum_problem
from graphgdl.expressivity.trained import duration

QUICK = 0.1
DEFAULT_CASES = (
    *("TransformerConv", "GATv2Conv", "GCNConv", "SAGEConv", "GraphConv", "EdgeConv", "EGNN"),
    "weighted-sum",
)
"""One or two of a kind: attention, weighted sums, an MLP on the edges, forces, an op; about five minutes on two cores."""
_PILOT = 0.05  # of the graph random-20k
_SIDES = 4  # per case, about
_COMPILE = 1.0  # seconds for our side of a case, about
_STEP = 0.4  # seconds of a step at least, about


@dataclass(frozen=True)
class Job:
    """What to measure.

    Args:
        cases: names of `LAYERS` and `SUMS`; 'all' for everything, empty for `DEFAULT_CASES`.
        graphs: names of `GRAPHS`; 'all' for everything, empty for the small default selection.
        channels: c.
        repeats: rounds of a step; fewer where it is long, but three, and more where it is short.
        budget: seconds after which no further round of a step begins.
        device: 'cpu' or 'cuda'.
        scale: factor on the sizes of the graphs.

    Raises:
        ValueError: an unknown name, a number out of range, or a device that is not there.
    """

    cases: tuple[str, ...] = ()
    graphs: tuple[str, ...] = ()
    channels: int = 64
    repeats: int = 7
    budget: float = 6.0
    device: str = "cpu"
    scale: float = 1.0

    def __post_init__(self) -> None:
        known = (*LAYERS, *SUMS)
        object.__setattr__(self, "cases", known if "all" in self.cases else self.cases or DEFAULT_CASES)
        every = tuple(GRAPHS) if "all" in self.graphs else self.graphs or DEFAULT_GRAPHS
        object.__setattr__(self, "graphs", every)
        for name in self.cases:
            if name not in known:
                raise ValueError(f"`layer` must be one of {', '.join(known)} or all, got {name!r}")
        for name in self.graphs:
            if name not in GRAPHS:
                raise ValueError(f"`graph` must be one of {', '.join(GRAPHS)} or all, got {name!r}")
        if self.channels < HEADS or self.channels % HEADS:
            raise ValueError(f"`channels` must be a positive multiple of {HEADS}, for the heads, got {self.channels}")
        _check_device(self.device)


@dataclass(frozen=True)
class Cost:
    """Of the plain peer, for each edge: seconds and bytes of a step."""

    seconds: float
    bytes: float


def pilot(job: Job) -> dict[str, dict[str, Cost]]:
    """Run every case's plain peer on a small random graph: case -> step -> cost."""
    small = build_graph("random-20k", _PILOT * min(job.scale, 1.0))
    small = replace(small, name="pilot").to(job.device)
    return {name: _pilot(_problem(name, small, job.channels, peers_only=True), job.device) for name in job.cases}


def predicted_seconds(job: Job, costs: dict[str, dict[str, Cost]], case: str, num_edges: int) -> float:
    """How long `case` will take on a graph of so many edges, from the pilot's cost for each edge."""
    total = 0.0
    for cost in costs[case].values():
        once = _SIDES * cost.seconds * num_edges
        rounds = min(max(job.budget / once, LEAST_ROUNDS), job.repeats)
        total += once * (rounds + 3) + _STEP
    return total


def run_job(job: Job, note: Callable[[str], None], advance: Callable[[str, float], None]) -> Iterator[list[Row]]:
    """Measure, and yield the rows of one case on one graph at a time.

    Args:
        job: what to measure.
        note: receives the predicted time, a line of text.
        advance: receives what runs now and the share of the predicted time that is behind.
    """
    gc.collect()
    gc.freeze()  # what is there stays: collections in between are fast
    try:
        with warnings.catch_warnings():
            # torch_sparse and torch's CSR tensors, once a process
            warnings.filterwarnings("ignore", message=".*[Ss]parse (invariant|CSR)", category=UserWarning)
            yield from _run(job, note, advance)
    finally:
        gc.unfreeze()


def _run(job: Job, note: Callable[[str], None], advance: Callable[[str, float], None]) -> Iterator[list[Row]]:
    costs = pilot(job)
    graphs = {name: build_graph(name, job.scale) for name in job.graphs}
    plan = [(graph, case) for graph in graphs.values() for case in job.cases]
    expected = [predicted_seconds(job, costs, case, graph.num_edges) for graph, case in plan]
    whole = sum(expected) + _COMPILE * len(job.cases)
    note(f"predicted: about {duration(whole)} for {len(job.cases)} cases on {len(graphs)} graphs")
    for i, (graph, case) in enumerate(plan):
        advance(f"{graph.name}: {case}", sum(expected[:i]) / sum(expected))
        refused = _too_large(costs[case], graph.num_edges, job.device)
        yield measure(_problem(case, graph.to(job.device), job.channels), job.repeats, job.budget, refused)
    advance("done", 1.0)


def failures(rows: Sequence[Row]) -> list[str]:
    """One line for each wrong result, and for each of ours that failed."""
    return [
        f"{row.case} on {row.graph}, {row.work}, {row.side}: {row.reason}"
        for row in rows
        if row.status == WRONG or (row.status == FAILED and row.side == OURS)
    ]


def notes(rows: Sequence[Row]) -> list[str]:
    """One line for each other reason why a side has no time, and for each why ours took the message path."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.status not in (OK, WRONG) and not (row.status == FAILED and row.side == OURS):
            found.setdefault(f"no time for {row.side}: {row.reason}", {})[f"{row.case} on {row.graph}"] = None
        if row.lowering.startswith("message"):
            found.setdefault(f"ran {row.lowering}", {})[f"{row.case} on {row.graph}"] = None
    return [f"{text}: {', '.join(where)}" for text, where in found.items()]


def _problem(name: str, graph: BenchGraph, channels: int, *, peers_only: bool = False) -> Problem:
    make = layer_problem if name in LAYERS else sum_problem
    return make(name, graph, channels, peers_only=peers_only)


def _pilot(problem: Problem, device: str) -> dict[str, Cost]:
    side = problem.sides[problem.plain]
    assert isinstance(side, Side)
    found = {}
    for work in problem.works:
        problem.prepare(work)
        run = partial(problem.step, work, side)
        run()
        e = problem.graph.num_edges
        found[work] = Cost(seconds(run, device) / e, peak_mib(run, device) * MIB / e)
    return found


def _too_large(costs: dict[str, Cost], num_edges: int, device: str) -> dict[str, str]:
    free = available_bytes(device)
    return {
        work: f"PyG needs about {cost.bytes * num_edges / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
        for work, cost in costs.items()
        if cost.bytes * num_edges > 0.8 * free
    }


def _check_device(device: str) -> None:
    import torch

    if device not in ("cpu", "cuda"):
        raise ValueError(f"`device` must be cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        build = "this torch is a CPU build" if torch.version.cuda is None else "torch sees no NVIDIA GPU"
        raise ValueError(f"`device` is cuda, but {build}; see `graphgdl info`, or take --device cpu")

"""The paired comparison over a suite and several seeds: parallel, logged pair by pair, resumable."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphgdl
from graphgdl.expressivity.ceiling import Ceiling
from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.journal import Journal
from graphgdl.expressivity.models import NamedModel
from graphgdl.expressivity.relabel import Copies, relabelled_arcs
from graphgdl.expressivity.rpc import ModelClass, PairResult, compare_pair
from graphgdl.expressivity.score import Score, tally
from graphgdl.expressivity.settings import Settings
from graphgdl.expressivity.statistic import RPC_VERDICTS
from graphgdl.expressivity.suites import Suite
from graphgdl.expressivity.workers import Workers

MAX_PAIRS = 5_000
_SAMPLE = 6


@dataclass(frozen=True)
class Task:
    """One pair under one seed; without `train` its reliability half alone."""

    seed: int
    pair: int
    graphs: tuple[int, int]
    train: bool
    cost: float


def compare_trained(
    model: NamedModel,
    suite: Suite,
    seeds: Sequence[int],
    settings: Settings | None = None,
    ceiling: Ceiling | None = None,
    workers: Workers | None = None,
    journal: Journal | None = None,
    progress: Callable[[float, float], Any] | None = None,
    announce: Callable[[str], Any] | None = None,
) -> list[Score]:
    """Score a model by the verdicts `rpc`, `rpc_eps` and `rpc_paper`.

    Args:
        model: see `load_model`.
        suite: at most 5,000 pairs.
        seeds: at least one. Where the ceiling is known, pairs that it cannot part are trained under the first seed only;
            if that shows no leak, the other seeds run their reliability half alone.
        settings: the protocol's knobs.
        ceiling: answer of the oracle that bounds the model.
        workers: processes; none means this one.
        journal: the log; pairs that are in it with the same suite, model, seed and settings are not run again.
        progress: called as progress(done, total), in node visits.
        announce: called with a line of text: the predicted time, once a few pairs have run.

    Raises:
        ValueError: no seed, or too many pairs.
        OSError: the log cannot be written.
    """
    settings = settings or Settings()
    workers, journal = workers or Workers(), journal if journal is not None else Journal(None)
    if not seeds:
        raise ValueError("`seeds` must hold at least one seed, got none; the protocol's are 100, 200, ..., 1000")
    if suite.num_pairs > MAX_PAIRS:
        raise ValueError(
            f"suite {suite.name} has {suite.num_pairs} pairs, more than {MAX_PAIRS} to train on one by one"
        )
    run = run_key(model, suite, settings)
    known = {(line["seed"], line["pair"]): line for line in journal if line.get("run") == run}
    cost = _costs(model.build, suite, settings)
    total = float(cost.sum() * len(seeds))
    done = 0.0
    can_part = np.array([ceiling is None or ceiling.parts(suite, i) for i in range(suite.num_pairs)])
    lines: list[dict[str, Any]] = []
    for round_, seed in enumerate(seeds):
        leaked = any(
            _separated(line, name) for line in lines for name in ("rpc", "rpc_eps") if not can_part[line["pair"]]
        )
        skip = ceiling is not None and round_ > 0 and not leaked
        tasks = []
        for i in _order(cost):
            train = bool(can_part[i]) or not skip
            line = known.get((seed, i))
            if line is not None and (line["trained"] or not train):
                lines.append(line)
                done += cost[i]
            else:
                tasks.append(Task(seed, i, suite.pair(i), train, cost[i]))
        sample: list[tuple[float, float]] = []
        shared = model.build, suite.graphs, settings
        for task, result in workers.run(_run_task, shared, tasks):
            line = _line(run, model, suite, settings, task, result)
            journal.append(line)
            lines.append(line)
            done += task.cost
            if announce is not None and round_ == 0 and len(sample) < _SAMPLE:
                sample.append((result.visits, result.seconds))
                if len(sample) == min(_SAMPLE, len(tasks)):
                    announce(_prediction(sample, tasks, len(seeds), int(can_part.sum()), suite, workers.jobs, settings))
            if progress is not None:
                progress(done, total)
    return [_score(name, model, suite, seeds, lines, ceiling, can_part) for name in RPC_VERDICTS]


def run_key(model: NamedModel, suite: Suite, settings: Settings) -> str:
    """What must agree for a logged pair to stand: model and its source, suite and its graphs, settings, our version."""
    graphs = hashlib.sha256()
    for graph in suite.graphs:
        graphs.update(np.int64(graph.n).tobytes() + graph.edges.tobytes())
    graphs.update(b"" if suite.pairs is None else suite.pairs.tobytes())
    parts = [model.name, model.digest, suite.name, graphs.hexdigest(), settings.as_dict(), graphgdl.__version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _run_task(shared: tuple[ModelClass, tuple[Graph, ...], Settings], task: Task) -> PairResult:
    build, graphs, settings = shared
    couple = graphs[task.graphs[0]], graphs[task.graphs[1]]
    return compare_pair(build, couple, settings, task.seed, task.pair, task.train)


def _costs(build: ModelClass, suite: Suite, settings: Settings) -> np.ndarray:
    """(p,) node visits of a full training of each pair, after the model's transform."""
    model = build(in_channels=1, out_channels=settings.channels)
    rng = np.random.default_rng(0)
    nodes = np.array([Copies(model, [relabelled_arcs(g, 1, rng)[0]], [g.n]).sizes[0] for g in suite.graphs], float)
    both = nodes[suite.pair_ids()].sum(axis=1)
    return both * settings.copies * (settings.epochs + 2)


def _order(cost: np.ndarray) -> list[int]:
    """A few cheap and middling pairs first, to predict from; then the dearest first, so that no process ends late."""
    rank = np.argsort(cost, kind="stable")
    sample = rank[(np.linspace(0.05, 0.7, _SAMPLE) * (len(rank) - 1)).astype(int)] if len(rank) > _SAMPLE else rank[:0]
    first = list(dict.fromkeys(sample.tolist()))
    rest = [i for i in rank[::-1].tolist() if i not in set(first)]
    return first + rest


def _prediction(
    sample: list[tuple[float, float]],
    tasks: list[Task],
    seeds: int,
    can_part: int,
    suite: Suite,
    jobs: int,
    settings: Settings,
) -> str:
    visits, seconds = np.array(sample).T
    design = np.stack([np.ones_like(visits), visits], axis=1)
    base, slope = np.linalg.lstsq(design, seconds, rcond=None)[0] if len(sample) > 2 else (0.0, -1.0)
    if base < 0 or slope < 0:
        base, slope = 0.0, seconds.sum() / visits.sum()
    full = sum(base + slope * task.cost for task in tasks) / jobs
    later = full * (can_part / suite.num_pairs) + full / settings.epochs
    return f"predicted: at most {duration(full)} for the first seed, {duration(full + (seeds - 1) * later)} in all"


def duration(seconds: float) -> str:
    """Seconds as a reader wants them.

    >>> duration(42.4), duration(190), duration(9000)
    ('42 s', '3.2 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _line(
    run: str, model: NamedModel, suite: Suite, settings: Settings, task: Task, result: PairResult
) -> dict[str, Any]:
    return {
        "run": run,
        "suite": suite.name,
        "model": model.name,
        "seed": task.seed,
        "pair": task.pair,
        "graphs": list(task.graphs),
        "category": suite.category_of(task.pair),
        "trained": result.trained,
        "epochs": result.epochs,
        "loss": _number(result.loss),
        "visits": result.visits,
        "seconds": round(result.seconds, 4),
        "verdicts": {
            name: {
                "t2": _number(v.t2),
                "t2_rel": _number(v.t2_rel),
                "separated": v.separated,
                "reliable": v.reliable,
            }
            for name, v in result.verdicts.items()
        },
        "settings": settings.as_dict(),
        "version": graphgdl.__version__,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _separated(line: dict[str, Any], verdict: str) -> bool:
    return bool(line["verdicts"][verdict]["separated"])


def _score(
    verdict: str,
    model: NamedModel,
    suite: Suite,
    seeds: Sequence[int],
    lines: list[dict[str, Any]],
    ceiling: Ceiling | None,
    can_part: np.ndarray,
) -> Score:
    votes = np.zeros((len(seeds), suite.num_pairs), dtype=bool)
    place = {seed: k for k, seed in enumerate(seeds)}
    failures = 0
    for line in lines:
        votes[place[line["seed"]], line["pair"]] = _separated(line, verdict)
        failures += not line["verdicts"][verdict]["reliable"]
    return Score(
        suite=suite.name,
        name=model.name,
        kind="model",
        verdict=verdict,
        **tally(suite, 2 * votes.sum(axis=0) > len(seeds)),
        ceiling=None if ceiling is None else ceiling.score.separated,
        reliability_failures=failures,
        seeds=list(seeds),
        seconds=round(sum(line["seconds"] for line in lines), 3),
        leaks=int(votes[:, ~can_part].any(axis=0).sum()),
        per_seed=tuple(votes.sum(axis=1).tolist()),
        bound=model.power,
    )

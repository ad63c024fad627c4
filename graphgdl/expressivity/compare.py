"""The benchmark: oracles and models over suites, one `Score` for each row of the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch.nn import Module

from graphgdl.expressivity.ceiling import Ceiling, ceiling
from graphgdl.expressivity.exact import Embedding, embed
from graphgdl.expressivity.journal import Journal
from graphgdl.expressivity.models import NamedModel, load_model
from graphgdl.expressivity.oracles import ORACLES, Oracle
from graphgdl.expressivity.prediction import predict_job
from graphgdl.expressivity.score import KEPT_PAIRS, Score, tally, tally_merged
from graphgdl.expressivity.settings import ExactSettings, Settings
from graphgdl.expressivity.suites import Suite, load_suite
from graphgdl.expressivity.trained import MAX_PAIRS, compare_trained, duration
from graphgdl.expressivity.workers import Workers


class Reporter:
    """Where progress goes; this one is silent."""

    def start(self, label: str) -> None:
        """A piece of work begins."""

    def advance(self, done: float, total: float) -> None:
        """So much of it is done."""

    def note(self, text: str) -> None:
        """A line for the reader."""


def compare(
    suites: Sequence[str | Path | Suite],
    models: Sequence[str | Callable[..., Module]] = (),
    oracles: Sequence[str] = (),
    seeds: Sequence[int] = (),
    jobs: int = 1,
    root: str | Path | None = None,
    log: Path | None = None,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
) -> list[Score]:
    """Score oracles and models on suites.

    Args:
        suites: names, paths of graph6 files, or suites.
        models: built-in names, "module:Class", or classes called as `Class(in_channels=1, out_channels=16)`; each gets the
            verdict `exact`, and with `seeds` the trained ones too.
        oracles: names in `ORACLES`; "all" stands for all of them.
        seeds: of the trained comparison; none means no training.
        jobs: processes. More than one needs models that another process can import.
        root: folder with the public data sets, for suites that are read from files.
        log: JSON Lines file of the trained pairs; a run that finds its own lines there resumes.
        settings: the knobs of the trained comparison.
        reporter: receives progress and the predicted time.

    Returns:
        Oracles, then models, suite by suite.

    Raises:
        ValueError, TypeError: unknown names, a model whose output has the wrong type or shape.
        FileNotFoundError: a suite's files are missing.
        OSError: the log cannot be written.

    >>> [score] = compare(["sr16"], oracles=["2-fwl"])
    >>> score.separated, score.total, score.pairs
    (0, 1, [[0, 1]])
    """
    reporter = reporter or Reporter()
    loaded = [s if isinstance(s, Suite) else load_suite(s, root) for s in suites]
    named = [load_model(model) for model in models]
    wanted = [oracle(name) for name in (list(ORACLES) if "all" in oracles else oracles)]
    scores = []
    with Workers(jobs) as workers, Journal(log) as journal:
        seconds = predict_job(loaded, wanted, named) / jobs
        reporter.note(f"predicted: about {duration(seconds)} for oracles and exact verdicts")
        for suite in loaded:
            ceilings: dict[str, Ceiling] = {}
            for name in dict.fromkeys([o.name for o in wanted] + [m.power for m in named if m.power is not None]):
                reporter.start(f"{suite.name}: {name}")
                ceilings[name] = ceiling(ORACLES[name], suite, jobs, reporter.advance)
            scores += [ceilings[o.name].score for o in wanted]
            for model in named:
                bound = None if model.power is None else ceilings[model.power]
                reporter.start(f"{suite.name}: {model.name}, exact")
                scores.append(exact_score(model, suite, bound, workers, reporter))
                if not seeds:
                    continue
                if suite.num_pairs > MAX_PAIRS:
                    reporter.note(f"{suite.name}: {suite.num_pairs} pairs are too many to train on; exact verdict only")
                    continue
                reporter.start(f"{suite.name}: {model.name}, trained")
                scores += compare_trained(
                    model, suite, seeds, settings, bound, workers, journal, reporter.advance, reporter.note
                )
    return scores


def oracle(name: str) -> Oracle:
    """An oracle by name; ValueError names those there are."""
    if name not in ORACLES:
        raise ValueError(f"`oracle` must be one of {', '.join(ORACLES)}, or all, got {name!r}")
    return ORACLES[name]


def exact_score(
    model: NamedModel,
    suite: Suite,
    bound: Ceiling | None = None,
    workers: Workers | None = None,
    reporter: Reporter | None = None,
    settings: ExactSettings | None = None,
) -> Score:
    """Score a model by the verdict `exact`."""
    start = time.perf_counter()
    settings = settings or ExactSettings()
    embedding = embed(model.build, suite.graphs, settings, workers, (reporter or Reporter()).advance)
    unreliable = ~embedding.reliable
    if suite.pairs is not None:
        separated = embedding.separates(suite.pairs)
        parts = tally(suite, separated)
        leaks = 0 if bound is None or bound.separated is None else int((separated & ~bound.separated).sum())
        failures = int(unreliable[suite.pairs].any(axis=1).sum())
    else:
        parts = tally_merged(suite, *embedding.merged(keep=KEPT_PAIRS + 1))
        leaks = 0 if bound is None else _leaks(embedding, bound)
        failures = suite.num_pairs - _pairs(int((~unreliable).sum()))
    return Score(
        suite=suite.name,
        name=model.name,
        kind="model",
        verdict="exact",
        **parts,
        ceiling=None if bound is None else bound.score.separated,
        reliability_failures=failures,
        seeds=list(settings.seeds),
        seconds=round(time.perf_counter() - start, 3),
        leaks=leaks,
        bound=model.power,
    )


def _leaks(embedding: Embedding, bound: Ceiling) -> int:
    return sum(_pairs(len(group)) - embedding.merged(group)[0] for group in bound.groups())


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def failures_note(scores: Sequence[Score]) -> list[str]:
    """What a reader must know before believing the scores: leaks and reliability failures, one line each."""
    notes = []
    for s in scores:
        where = f"{s.name} on {s.suite}, {s.verdict}"
        if s.leaks:
            notes.append(f"{where}: {s.leaks} pairs above the exact ceiling of its family: numerical error, not power")
        if s.reliability_failures:
            notes.append(f"{where}: not valid, {s.reliability_failures} reliability failures")
    return notes


def matrix(scores: Sequence[Score]) -> tuple[list[tuple[str, str, str]], list[str], np.ndarray]:
    """The scores as a table.

    Returns:
        rows (kind, name, verdict), oracles first; columns, the categories and "total" of one suite, or several suites; and
        (rows, columns, 3) int64: separated, total and ceiling, -1 where unknown.
    """
    rows = list(dict.fromkeys((s.kind, s.name, s.verdict) for s in scores))
    rows.sort(key=lambda row: row[0] != "oracle")
    suites = list(dict.fromkeys(s.suite for s in scores))
    heads = suites
    if len(suites) == 1 and len(scores[0].by_category) > 1:
        heads = [*scores[0].by_category, "total"]
    cells = np.full((len(rows), len(heads), 3), -1, dtype=np.int64)
    for s in scores:
        row = rows.index((s.kind, s.name, s.verdict))
        whole = s.separated, s.total, -1 if s.ceiling is None else s.ceiling
        cells[row, heads.index(s.suite) if heads is suites else -1] = whole
        for category, (part, size) in s.by_category.items() if heads is not suites else ():
            cells[row, heads.index(category)] = part, size, -1
    return rows, heads, cells

"""How long oracles and exact verdicts will take: time one or two graphs of each suite, then scale by the others' sizes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphgdl.expressivity.exact import embed, portions
from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.models import NamedModel
from graphgdl.expressivity.oracles import ORACLES, Oracle
from graphgdl.expressivity.settings import ExactSettings
from graphgdl.expressivity.suites import Suite

_SAMPLE = 4


def predict_job(suites: Sequence[Suite], oracles: Sequence[Oracle], models: Sequence[NamedModel]) -> float:
    """Seconds of one process for the oracles and the exact verdicts, without training."""
    needed = {o.name: o for o in oracles} | {m.power: ORACLES[m.power] for m in models if m.power is not None}
    seconds = sum(_predict(oracle.fingerprint, suites) for oracle in needed.values())
    return seconds + sum(_predict_exact(model, suites) for model in models)


def _predict_exact(model: NamedModel, suites: Sequence[Suite]) -> float:
    settings = ExactSettings(seeds=ExactSettings().seeds[:1])
    draws = len(ExactSettings().seeds)
    path = [Graph.from_edges(3, [(0, 1), (1, 2)])]
    embed(model.build, path, settings)  # compile
    fixed = _seconds(embed, model.build, path, settings)
    seconds = 0.0
    for suite in suites:
        every = max(len(suite.graphs) // _SAMPLE, 1)
        sample = suite.graphs[::-every]
        sampled = max(_seconds(embed, model.build, sample, settings) - fixed, 0.0)
        seconds += draws * (sampled * len(suite.graphs) / len(sample) + fixed * len(portions(suite.graphs, settings)))
    return seconds


def _predict(run: Callable[[Graph], Any], suites: Sequence[Suite]) -> float:
    run(Graph.from_edges(3, [(0, 1), (1, 2)]))  # compile
    seconds = 0.0
    for suite in suites:
        sizes = np.array([graph.n for graph in suite.graphs], dtype=float)
        order = np.argsort(sizes, kind="stable")
        low, high = (suite.graphs[order[int(q * (len(order) - 1))]] for q in (0.25, 0.75))
        base = _seconds(run, low)
        power = 1.0
        if high.n > low.n:
            power = min(max(math.log(_seconds(run, high) / base) / math.log(high.n / low.n), 0.0), 5.0)
        seconds += float((base * (sizes / low.n) ** power).sum())
    return seconds


def _seconds(run: Callable[..., Any], *args: Any) -> float:
    start = time.perf_counter()
    run(*args)
    return max(time.perf_counter() - start, 1e-6)

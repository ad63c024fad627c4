"""What an exact oracle separates on a suite: a row of its own, and the ceiling of every model it bounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from graphgdl.expressivity.oracles import Oracle, classes, compare, merged_pairs
from graphgdl.expressivity.score import KEPT_PAIRS, Score, tally, tally_merged
from graphgdl.expressivity.suites import Suite


@dataclass(frozen=True)
class Ceiling:
    """An oracle's answer on a suite.

    Args:
        separated: (p,) bool for the explicit pairs; None where the suite means all pairs.
        labels: (g,) the oracle's class of each graph; None where the pairs are explicit.
        score: the row.
    """

    separated: np.ndarray | None
    labels: np.ndarray | None
    score: Score

    def parts(self, suite: Suite, pair: int) -> bool:
        """Whether the oracle separates pair number `pair`."""
        if self.separated is not None:
            return bool(self.separated[pair])
        assert self.labels is not None
        i, j = suite.pair(pair)
        return bool(self.labels[i] != self.labels[j])

    def groups(self) -> list[np.ndarray]:
        """The classes with more than one graph, as graph indices."""
        assert self.labels is not None
        order = np.argsort(self.labels, kind="stable")
        cuts = np.flatnonzero(np.diff(self.labels[order])) + 1
        return [group for group in np.split(order, cuts) if len(group) > 1]


def ceiling(oracle: Oracle, suite: Suite, jobs: int = 1, progress: Callable[[int, int], Any] | None = None) -> Ceiling:
    """Run an oracle over a suite; arguments as in `graphgdl.expressivity.oracles.compare`."""
    start = time.perf_counter()
    separated = labels = None
    if suite.pairs is not None:
        separated = compare(oracle, suite.graphs, suite.pairs, jobs, progress)
        parts = tally(suite, separated)
    else:
        labels = classes(oracle, suite.graphs, jobs, progress)
        answer = Ceiling(None, labels, None)  # type: ignore[arg-type]
        merged = merged_pairs(labels)
        left: list[tuple[int, ...]] = []
        if merged <= KEPT_PAIRS:
            left = sorted(p for group in answer.groups() for p in combinations(group.tolist(), 2))
        parts = tally_merged(suite, merged, left)
    score = Score(
        suite=suite.name,
        name=oracle.name,
        kind="oracle",
        verdict="exact",
        **parts,
        ceiling=None,
        reliability_failures=0,
        seeds=[],
        seconds=time.perf_counter() - start,
    )
    return Ceiling(separated, labels, score)

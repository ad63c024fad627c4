"""One row of the table: what an oracle or a model separated on a suite, under one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from graphgdl.expressivity.suites import Suite

KEPT_PAIRS = 10_000


@dataclass(frozen=True)
class Score:
    """How many pairs of a suite were separated.

    Args:
        suite, name: of the suite; of the oracle or model.
        kind: "oracle" or "model".
        verdict: "exact" (oracles too), "rpc", "rpc_eps" or "rpc_paper".
        separated, total: pairs. With several seeds a pair counts as separated if more than half of them separate it.
        by_category: category -> [separated, total].
        ceiling: pairs that the exact oracle of the model's family separates; None if it names none, and for oracles.
        reliability_failures: pairs, summed over the seeds, whose copies of one graph the model tells apart, or NaN.
        seeds: of the weights; none for an oracle.
        seconds: of work, summed over processes.
        pairs: the pairs *not* separated: pair numbers, or [i, j] graph indices where a suite means all pairs; None if they
            are more than 10,000.
        leaks: pairs separated that the family's oracle cannot part, in any seed: numerical error, not power.
        per_seed: separated pairs of each seed.
        bound: the oracle that bounds the model's family, if it names one.
    """

    suite: str
    name: str
    kind: str
    verdict: str
    separated: int
    total: int
    by_category: dict[str, list[int]]
    ceiling: int | None
    reliability_failures: int
    seeds: list[int]
    seconds: float
    pairs: list[int] | list[list[int]] | None
    leaks: int = 0
    per_seed: tuple[int, ...] = ()
    bound: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The public keys; the others follow from the log and the model."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("leaks", "per_seed", "bound")}


def tally(suite: Suite, separated: np.ndarray) -> dict[str, Any]:
    """`separated`, `total`, `by_category` and `pairs` of a score, from one bool for each explicit or implied pair."""
    counts = {category: [0, size] for category, size in suite.category_sizes().items()}
    for i in np.flatnonzero(separated).tolist() if suite.categories else []:
        counts[suite.category_of(i)][0] += 1
    if not suite.categories:
        counts[suite.name][0] = int(separated.sum())
    left = np.flatnonzero(~separated)
    pairs = left.tolist() if suite.pairs is not None else [list(suite.pair(i)) for i in left[: KEPT_PAIRS + 1].tolist()]
    return {
        "separated": int(separated.sum()),
        "total": suite.num_pairs,
        "by_category": counts,
        "pairs": pairs if len(left) <= KEPT_PAIRS else None,
    }


def tally_merged(suite: Suite, merged: int, pairs: Sequence[Sequence[int]] | np.ndarray) -> dict[str, Any]:
    """The same for a suite of all pairs, from the number of pairs left and the first of them."""
    separated = suite.num_pairs - merged
    return {
        "separated": separated,
        "total": suite.num_pairs,
        "by_category": {suite.name: [separated, suite.num_pairs]},
        "pairs": [[int(i), int(j)] for i, j in pairs] if merged <= KEPT_PAIRS else None,
    }

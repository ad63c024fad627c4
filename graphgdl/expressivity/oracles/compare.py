"""An oracle on many graphs: which pairs it separates, which graphs it puts in one class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles.oracle import Oracle

S = TypeVar("S")
T = TypeVar("T")
Progress = Callable[[int, int], Any]


def compare(
    oracle: Oracle,
    graphs: Sequence[Graph],
    pairs: np.ndarray,
    jobs: int = 1,
    progress: Progress | None = None,
) -> np.ndarray:
    """Which pairs of graphs the oracle separates.

    Args:
        oracle: an `Oracle`.
        graphs: the graphs.
        pairs: (p, 2) integers, indices into `graphs`. For all unordered pairs use `classes`, linear in the graphs.
        jobs: threads; the loops release the GIL.
        progress: called as progress(done, total), in graphs and pairs refined, from the calling thread.

    Returns:
        (p,) bool. A graph that occurs in several pairs is refined once and to the end; a pair whose graphs occur
        nowhere else stops at the first round that parts it.

    Raises:
        ValueError: `pairs` has another shape or an index out of range, or `jobs` is below 1.
    """
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"`pairs` must have shape (p, 2), got {pairs.shape}")
    if pairs.size and (pairs.min() < 0 or pairs.max() >= len(graphs)):
        raise ValueError(f"`pairs` must lie in 0..{len(graphs) - 1}, got {pairs.min()}..{pairs.max()}")
    occurrences = np.bincount(pairs.ravel(), minlength=len(graphs))
    alone = (occurrences[pairs] == 1).all(axis=1)
    couples = [(graphs[g], graphs[h]) for g, h in pairs[alone]]
    shared = np.unique(pairs[~alone])

    def task(item: tuple[Graph, ...]) -> int:
        return oracle.separates(*item) if len(item) == 2 else oracle.fingerprint(*item)

    answers = _parallel(task, [*couples, *((graphs[g],) for g in shared)], jobs, progress)
    prints = dict(zip(shared.tolist(), answers[len(couples) :]))
    out = np.zeros(len(pairs), dtype=bool)
    out[alone] = answers[: len(couples)]
    out[~alone] = [prints[g] != prints[h] for g, h in pairs[~alone].tolist()]
    return out


def classes(oracle: Oracle, graphs: Sequence[Graph], jobs: int = 1, progress: Progress | None = None) -> np.ndarray:
    """The class of each graph under the oracle, (len(graphs),) int64; classes are numbered by first appearance.

    Two graphs are in one class if and only if the oracle does not separate them. Arguments and errors as in `compare`.

    >>> from graphgdl.expressivity.graph import Graph
    >>> from graphgdl.expressivity.oracles import ORACLES
    >>> path, star = Graph.from_edges(4, [(0, 1), (1, 2), (2, 3)]), Graph.from_edges(4, [(0, 1), (0, 2), (0, 3)])
    >>> classes(ORACLES["1-wl"], [path, star, path.permute([3, 1, 0, 2])]).tolist()
    [0, 1, 0]
    """
    seen: dict[int, int] = {}
    prints = _parallel(oracle.fingerprint, graphs, jobs, progress)
    return np.array([seen.setdefault(word, len(seen)) for word in prints], dtype=np.int64)


def merged_pairs(labels: np.ndarray) -> int:
    """The number of unordered pairs that share a class: what the oracle leaves of all pairs of graphs."""
    counts = np.bincount(labels) if len(labels) else np.zeros(0, np.int64)
    return int((counts * (counts - 1) // 2).sum())


def _parallel(task: Callable[[S], T], items: Sequence[S], jobs: int, progress: Progress | None) -> list[T]:
    """[task(item) for item in items] on `jobs` threads; the first exception cancels what has not begun."""
    if jobs < 1:
        raise ValueError(f"`jobs` must be at least 1, got {jobs}")
    report = progress or (lambda done, total: None)
    if jobs == 1:
        results = []
        for done, item in enumerate(items, start=1):
            results.append(task(item))
            report(done, len(items))
        return results
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(task, item) for item in items]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            report(done, len(items))
        return [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)

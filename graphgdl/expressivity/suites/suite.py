"""A suite: graphs, and which pairs of them a method has to tell apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from types import MappingProxyType
from typing import Any

import numpy as np

from graphgdl.expressivity.graph import Graph


@dataclass(frozen=True, eq=False)
class Suite:
    """Graphs, pairwise non-isomorphic within each pair, and the pairs to be separated.

    Args:
        name: what the suite is called in tables.
        graphs: the graphs.
        pairs: (p, 2) int64 indices into `graphs`, or None for all unordered pairs.
        categories: one per explicit pair; empty means that the pairs form one category.
        source: where the graphs come from, or how they are made.
        facts: what is known and was checked at load, such as the parameters of a strongly regular family.

    Raises:
        ValueError: a graph without vertices, no pair to separate, an index out of range, a pair of a graph with itself,
            a pair of different order (counting separates it), a number of categories that is not the number of pairs.

    >>> triangles, hexagon = Graph.from_graph6("EwCW"), Graph.from_graph6("EhEG")
    >>> suite = Suite("two", (triangles, hexagon), np.array([[0, 1]]), ("cycles",))
    >>> suite.num_pairs, suite.pair(0), suite.category_of(0)
    (1, (0, 1), 'cycles')
    """

    name: str
    graphs: tuple[Graph, ...]
    pairs: np.ndarray | None = None
    categories: tuple[str, ...] = ()
    source: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "graphs", tuple(self.graphs))
        object.__setattr__(self, "categories", tuple(self.categories))
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))
        if empty := [i for i, graph in enumerate(self.graphs) if graph.n == 0]:
            raise ValueError(f"suite {self.name}: graph {empty[0]} has no vertex")
        if self.pairs is not None:
            pairs = np.array(self.pairs, dtype=np.int64)
            pairs.flags.writeable = False
            object.__setattr__(self, "pairs", pairs)
            self._check_pairs(pairs)
        if self.num_pairs == 0:
            raise ValueError(
                f"suite {self.name}: expected at least one pair, got {len(self.graphs)} graphs and no pair"
            )
        if self.categories and len(self.categories) != (0 if self.pairs is None else len(self.pairs)):
            raise ValueError(
                f"suite {self.name}: `categories` must hold one entry per explicit pair, got {len(self.categories)}"
            )

    def _check_pairs(self, pairs: np.ndarray) -> None:
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"suite {self.name}: `pairs` must have shape (p, 2), got {pairs.shape}")
        if pairs.size and (pairs.min() < 0 or pairs.max() >= len(self.graphs)):
            raise ValueError(f"suite {self.name}: `pairs` must index the {len(self.graphs)} graphs, got {pairs.max()}")
        if (same := np.flatnonzero(pairs[:, 0] == pairs[:, 1])).size:
            raise ValueError(f"suite {self.name}: pair {same[0]} holds the same graph twice")
        orders = np.array([graph.n for graph in self.graphs])[pairs]
        if (bad := np.flatnonzero(orders[:, 0] != orders[:, 1])).size:
            n, m = orders[bad[0]]
            raise ValueError(
                f"suite {self.name}: the graphs of a pair must have the same number of vertices, pair {bad[0]} has "
                f"{n} and {m}; such a pair is told apart by counting, drop it"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.name, self.graphs, self.pairs, self.categories, self.source, dict(self.facts))
        return Suite, state

    def __repr__(self) -> str:
        return f"Suite({self.name!r}, graphs={len(self.graphs)}, pairs={self.num_pairs})"

    @property
    def num_pairs(self) -> int:
        """Number of pairs to separate."""
        return len(self.graphs) * (len(self.graphs) - 1) // 2 if self.pairs is None else len(self.pairs)

    def pair(self, i: int) -> tuple[int, int]:
        """The graph indices of pair i, without building the others; all pairs run (0,1), (0,2), (1,2), (0,3), ..."""
        if not 0 <= i < self.num_pairs:
            raise ValueError(f"`i` must lie in 0..{self.num_pairs - 1}, got {i}")
        if self.pairs is not None:
            a, b = self.pairs[i].tolist()
            return a, b
        b = (1 + isqrt(1 + 8 * i)) // 2
        return i - b * (b - 1) // 2, b

    def pair_ids(self) -> np.ndarray:
        """(num_pairs, 2) int64 graph indices, in the order of `pair`; 16 bytes a pair."""
        if self.pairs is not None:
            return self.pairs
        second = np.repeat(np.arange(len(self.graphs)), np.arange(len(self.graphs)))
        first = np.arange(self.num_pairs) - second * (second - 1) // 2
        return np.stack([first, second], axis=1)

    def category_of(self, i: int) -> str:
        """The category of pair i; the suite's name where there is one category."""
        if not 0 <= i < self.num_pairs:
            raise ValueError(f"`i` must lie in 0..{self.num_pairs - 1}, got {i}")
        return self.categories[i] if self.categories else self.name

    def category_sizes(self) -> dict[str, int]:
        """Pairs in each category, in order of first appearance."""
        return dict(Counter(self.categories)) if self.categories else {self.name: self.num_pairs}

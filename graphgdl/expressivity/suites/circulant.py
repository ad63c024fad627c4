"""Circular skip-link graphs: 4-regular circulants that 1-WL cannot tell apart.

Source: Murphy, Srinivasan, Rao, Ribeiro, "Relational pooling for graph representations", ICML 2019.
"""

from __future__ import annotations

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites.suite import Suite

ORDER = 41
SKIPS = (2, 3, 4, 5, 6, 9, 11, 12, 13, 16)


def circulant(n: int, skips: tuple[int, ...]) -> Graph:
    """The graph on Z_n in which i and i + s are adjacent for every skip s.

    >>> circulant(6, (1,)).degrees().tolist()
    [2, 2, 2, 2, 2, 2]
    """
    vertex = np.arange(n)
    return Graph.from_edges(n, np.concatenate([np.stack([vertex, (vertex + s) % n], axis=1) for s in skips]))


def csl() -> Suite:
    """The ten isomorphism classes C_41(1, s), all 45 pairs.

    The data set of the same name holds 15 relabellings of each; here relabelling is the harness's work, and a suite
    holds each class once.
    """
    graphs = tuple(circulant(ORDER, (1, skip)) for skip in SKIPS)
    return Suite("csl", graphs, source="circulant graphs C_41(1, s); Murphy et al. 2019", facts={"skips": SKIPS})

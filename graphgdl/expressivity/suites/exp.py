"""EXP: 600 pairs of graphs of propositional formulas, one satisfiable and one not, that 1-WL cannot tell apart.

The published graphs carry a 0/1 vertex label (literal or clause). This suite is about structure: it drops the label, as
the harness gives every vertex the same feature. Nothing is lost by that: without labels 1-WL still parts no pair, and
2-FWL parts all 600, exactly as with them.

The files are under GPL-3.0, so none is part of this project; they are read from a folder, in the form of `EXP.npz` with
the arrays num_nodes (1200,), num_arcs (1200,), edge_index (2, sum of num_arcs; vertices counted within each graph, both
directions of every edge) and y (1200,), graphs 2i and 2i + 1 being pair i.

Source: Abboud, Ceylan, Grohe, Lukasiewicz, "The surprising power of graph neural networks with random node
initialization", IJCAI 2021.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites.suite import Suite

PAIRS = 600
ARRAYS = ("num_nodes", "num_arcs", "edge_index", "y")


def exp(path: Path) -> Suite:
    """The 600 pairs of `path`.

    Raises:
        ValueError: not such a file, an array missing or of the wrong shape, a corrupt graph (named by its number), a
            pair of different order or with equal answers.
    """
    arrays = _read(path)
    count, arcs, edge_index, y = (arrays[name] for name in ARRAYS)
    if count.shape != (2 * PAIRS,) or arcs.shape != count.shape or y.shape != count.shape:
        raise ValueError(f"{path}: `num_nodes`, `num_arcs`, `y` must have shape ({2 * PAIRS},), got {count.shape}")
    if edge_index.shape != (2, arcs.sum()):
        raise ValueError(f"{path}: `edge_index` must have shape (2, {arcs.sum()}), got {edge_index.shape}")
    graphs = []
    for i, arcs_of_graph in enumerate(np.split(edge_index, np.cumsum(arcs)[:-1], axis=1)):
        try:
            graph = Graph.from_edges(int(count[i]), arcs_of_graph.T)
        except ValueError as error:
            raise ValueError(f"{path}, graph {i}: {error}") from None
        if 2 * len(graph.edges) != arcs[i]:
            raise ValueError(f"{path}, graph {i}: expected both directions of every edge, once")
        graphs.append(graph)
    if (same := np.flatnonzero(y[::2] == y[1::2])).size:
        raise ValueError(f"{path}, pair {same[0]}: one formula must be satisfiable and the other not")
    pairs = np.arange(2 * PAIRS).reshape(-1, 2)
    return Suite("exp", tuple(graphs), pairs, source="Abboud et al. 2021, without vertex labels")


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name].astype(np.int64) for name in ARRAYS}
    except (ValueError, KeyError, TypeError, AttributeError, BadZipFile, EOFError) as error:
        raise ValueError(
            f"{path}: expected an npz file with {', '.join(ARRAYS)}, got something else ({error})"
        ) from None
    return arrays

"""graph8c: the connected graphs on eight vertices, read from a graph6 file as nauty's geng writes it.

1-WL leaves 312 of the 61,788,286 pairs together, 2-FWL none.

Source: Balcilar et al., "Breaking the limits of message passing graph neural networks", ICML 2021.
"""

from __future__ import annotations

from pathlib import Path

from graphgdl.expressivity.suites.pairs_file import read_graph6_file
from graphgdl.expressivity.suites.suite import Suite

ORDER, COUNT = 8, 11117  # OEIS A001349


def graph8c(path: Path) -> Suite:
    """All pairs of the graphs in `path`.

    Raises:
        ValueError: a corrupt line, a graph that has not eight vertices, is disconnected or comes twice, a wrong count.
    """
    graphs = read_graph6_file(path)
    for number, graph in enumerate(graphs, start=1):
        if graph.n != ORDER:
            raise ValueError(f"{path}, line {number}: expected {ORDER} vertices, got {graph.n}")
        if not graph.is_connected():
            raise ValueError(f"{path}, line {number}: expected a connected graph")
    if len(set(graphs)) != COUNT or len(graphs) != COUNT:
        raise ValueError(
            f"{path}: expected {COUNT} different graphs, got {len(graphs)} lines, {len(set(graphs))} different"
        )
    return Suite("graph8c", graphs, source="all connected graphs on 8 vertices, nauty's geng")

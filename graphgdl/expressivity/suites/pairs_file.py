"""graph6 files: one graph a line, refused whole with file and line if one line is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.graph6 import HEADER
from graphgdl.expressivity.suites.suite import Suite


def read_graph6_file(path: Path) -> tuple[Graph, ...]:
    """The graphs of a graph6 file, in order; the header may stand before the first line or alone in it.

    Raises:
        ValueError: not ASCII text, an empty line or a corrupt one; names file and line.
    """
    lines = path.read_bytes().splitlines()
    offset = 1
    if lines and lines[0].strip() == HEADER.encode():
        lines, offset = lines[1:], 2
    graphs = []
    for number, line in enumerate(lines, start=offset):
        try:
            graphs.append(Graph.from_graph6(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not graphs:
        raise ValueError(f"{path}: expected graph6 lines, got an empty file")
    return tuple(graphs)


def pairs_suite(path: Path) -> Suite:
    """A user's pairs: lines 2i and 2i + 1, counted from 0, are pair i.

    Raises:
        ValueError: a corrupt line, an odd number of lines, two graphs of different order; names file and lines.
    """
    graphs = read_graph6_file(path)
    if len(graphs) % 2:
        raise ValueError(f"{path}: expected two lines per pair, got {len(graphs)} graphs")
    for i in range(0, len(graphs), 2):
        if graphs[i].n != graphs[i + 1].n:
            raise ValueError(
                f"{path}, lines {i + 1} and {i + 2}: the graphs of a pair must have the same number of vertices, got "
                f"{graphs[i].n} and {graphs[i + 1].n}; such a pair is told apart by counting, drop it"
            )
    pairs = np.arange(len(graphs), dtype=np.int64).reshape(-1, 2)
    return Suite(path.name, graphs, pairs, source="the user's own pairs")

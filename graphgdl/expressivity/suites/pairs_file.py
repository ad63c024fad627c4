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
    return tuple(graph for _, graph in _numbered_graphs(path))


def pairs_suite(path: Path) -> Suite:
    """A user's pairs: lines 2i and 2i + 1, counted from 0, are pair i.

    Whether the graphs of a pair are isomorphic is not checked; no invariant method separates such a pair.

    Raises:
        ValueError: a corrupt line, an odd number of lines, two graphs of different order; names file and lines.
    """
    numbered = _numbered_graphs(path)
    graphs = tuple(graph for _, graph in numbered)
    if len(graphs) % 2:
        raise ValueError(f"{path}: expected two lines per pair, got {len(graphs)} graphs")
    for (line, g), (next_line, h) in zip(numbered[::2], numbered[1::2]):
        if g.n != h.n:
            raise ValueError(
                f"{path}, lines {line} and {next_line}: the graphs of a pair must have the same number of vertices, got "
                f"{g.n} and {h.n}; such a pair is told apart by counting, drop it"
            )
    pairs = np.arange(len(graphs), dtype=np.int64).reshape(-1, 2)
    return Suite(path.name, graphs, pairs, source="the user's own pairs")


def _numbered_graphs(path: Path) -> list[tuple[int, Graph]]:
    """The graphs with their line numbers, counted from 1."""
    lines = path.read_bytes().splitlines()
    offset = 1
    if lines and lines[0].strip() == HEADER.encode():
        lines, offset = lines[1:], 2
    graphs: list[tuple[int, Graph]] = []
    for number, line in enumerate(lines, start=offset):
        try:
            graphs.append((number, Graph.from_graph6(line)))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not graphs:
        raise ValueError(f"{path}: expected graph6 lines, got an empty file")
    return graphs

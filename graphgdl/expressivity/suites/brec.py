"""BREC: 400 pairs in six kinds, read from the seven published arrays or from one graph6 file in pair order.

Source: Wang, Zhang, "An empirical study of realized GNN expressiveness", ICML 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites.pairs_file import read_graph6_file
from graphgdl.expressivity.suites.suite import Suite


@dataclass(frozen=True)
class Part:
    """One published array: its pairs follow one another in BREC, all of one category, orders in a known range."""

    file: str
    category: str
    pairs: int
    orders: tuple[int, int]


PARTS = (
    Part("basic.npy", "Basic", 60, (10, 10)),
    Part("regular.npy", "Simple regular", 50, (7, 10)),
    Part("str.npy", "Strongly regular", 50, (16, 35)),
    Part("extension.npy", "Extension", 100, (10, 19)),
    Part("cfi.npy", "CFI", 100, (18, 198)),
    Part("4vtx.npy", "4-vertex condition", 20, (63, 63)),
    Part("dr.npy", "Distance regular", 20, (30, 63)),
)
PAIRS_FILE = "brec_v3_pairs.g6"


def is_brec(folder: Path) -> bool:
    """Whether `folder` holds the seven arrays or the pairs file."""
    return (folder / PAIRS_FILE).is_file() or all((folder / part.file).is_file() for part in PARTS)


def brec(folder: Path) -> Suite:
    """From `folder` with the seven arrays, or with `brec_v3_pairs.g6`.

    Raises:
        FileNotFoundError: neither is there whole.
        ValueError: a corrupt graph6 string, a wrong number of pairs, a node count outside the category's range (an old
            copy has Extension and CFI swapped).
    """
    missing = [part.file for part in PARTS if not (folder / part.file).is_file()]
    if not missing:
        graphs = tuple(graph for part in PARTS for graph in _read_array(folder / part.file, 2 * part.pairs))
    elif (folder / PAIRS_FILE).is_file():
        graphs = read_graph6_file(folder / PAIRS_FILE)
    else:
        raise FileNotFoundError(f"{folder}: expected {PAIRS_FILE} or the arrays of BREC, missing {', '.join(missing)}")
    total = sum(part.pairs for part in PARTS)
    if len(graphs) != 2 * total:
        raise ValueError(f"{folder}: expected {total} pairs, got {len(graphs) / 2:g}")
    categories = tuple(part.category for part in PARTS for _ in range(part.pairs))
    _check_orders(folder, graphs)
    pairs = np.arange(2 * total).reshape(-1, 2)
    return Suite("brec", graphs, pairs, categories, "Wang and Zhang 2024, version 3")


def _read_array(path: Path, count: int) -> list[Graph]:
    try:
        with open(path, "rb") as file:
            lines = np.asarray(np.load(file, allow_pickle=False)).reshape(-1)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a numpy array of graph6 strings, got something else ({error})") from None
    if lines.dtype.kind not in "SU":
        raise ValueError(f"{path}: expected a numpy array of graph6 strings, got dtype {lines.dtype}")
    if len(lines) != count:
        raise ValueError(f"{path}: expected {count} graphs, got {len(lines)}")
    graphs = []
    for i, line in enumerate(lines.tolist()):
        try:
            graphs.append(Graph.from_graph6(line))
        except ValueError as error:
            raise ValueError(f"{path}, entry {i}: {error}") from None
    return graphs


def _check_orders(folder: Path, graphs: tuple[Graph, ...]) -> None:
    start = 0
    for part in PARTS:
        orders = [graph.n for graph in graphs[2 * start : 2 * (start + part.pairs)]]
        if (min(orders), max(orders)) != part.orders:
            raise ValueError(
                f"{folder}: the {part.category} pairs {start}..{start + part.pairs - 1} must have {part.orders[0]} to "
                f"{part.orders[1]} vertices, got {min(orders)} to {max(orders)}; is this an old copy of BREC with "
                f"Extension and CFI swapped?"
            )
        start += part.pairs

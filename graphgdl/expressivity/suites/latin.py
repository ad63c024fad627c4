"""Latin square graphs: the cells of a Latin square of order m, adjacent if they share row, column or symbol.

They are strongly regular with parameters (m^2, 3(m-1), m, 6), and for m = 6 non-isomorphic exactly if their squares lie
in different main classes (equal up to permuting rows, columns, symbols and these three roles): there are twelve.

Source: Bruck, "Finite nets II: uniqueness and imbedding", Pacific J. Math. 13, 1963; Schönhardt, "Über lateinische
Quadrate und Unionen", J. reine angew. Math. 163, 1930 (the twelve classes).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites.strongly_regular import check_family
from graphgdl.expressivity.suites.suite import Suite

# One square of each main class of order 6, rows parted by spaces; the first is the cyclic one.
MAIN_CLASSES = (
    "012345 123450 234501 345012 450123 501234",
    "032541 124350 213405 345012 450123 501234",
    "032541 124305 213450 305214 450123 541032",
    "032541 241350 513402 305214 450123 124035",
    "032541 241350 513402 304215 450123 125034",
    "051342 520431 214053 345210 132504 403125",
    "451230 530142 243501 124053 015324 302415",
    "534021 102345 425103 350214 213450 041532",
    "521403 102345 045132 350214 234051 413520",
    "415023 302154 140532 253401 031245 524310",
    "154230 541302 405123 312054 023541 230415",
    "501234 214053 453120 042315 130542 325401",
)


def cyclic_square(m: int) -> tuple[str, ...]:
    """The addition table of Z_m, as rows of digits (m at most 10)."""
    return tuple("".join(str((i + j) % m) for j in range(m)) for i in range(m))


def latin_square_graph(square: Sequence[str]) -> Graph:
    """The graph of a square given as rows of symbols; cells are numbered row by row.

    Raises:
        ValueError: a symbol twice in a row or column, or not as many symbols as rows.

    >>> latin_square_graph(["01", "10"]).graph6()
    'C~'
    """
    m = len(square)
    symbols = {symbol: i for i, symbol in enumerate(sorted({symbol for row in square for symbol in row}))}
    if len(symbols) != m or any(len(set(line)) != m or len(line) != m for line in (*square, *zip(*square))):
        raise ValueError(f"`square` must be a Latin square, got {list(square)}")
    row, column = np.divmod(np.arange(m * m), m)
    symbol = np.array([symbols[s] for line in square for s in line])
    share = sum((label[:, None] == label[None, :]).astype(np.uint8) for label in (row, column, symbol))
    return Graph.from_adjacency((share == 1).astype(np.uint8))


def latin36() -> Suite:
    """The twelve Latin square graphs of order 6, srg(36, 15, 6, 6)."""
    graphs = tuple(latin_square_graph(text.split()) for text in MAIN_CLASSES)
    check_family("latin36", graphs, parameters := (36, 15, 6, 6))
    return Suite("latin36", graphs, source="the 12 main classes of Latin squares of order 6", facts={"srg": parameters})

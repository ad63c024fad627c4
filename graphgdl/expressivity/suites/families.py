"""Strongly regular families that have a construction: rook and Shrikhande, triangular and Chang.

Source: Shrikhande, "The uniqueness of the L2 association scheme", Ann. Math. Stat. 30, 1959; Chang, "The uniqueness and
nonuniqueness of the triangular association schemes", Sci. Record 3, 1959.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites.strongly_regular import check_family, switch
from graphgdl.expressivity.suites.suite import Suite


def rook(m: int) -> Graph:
    """The squares of an m x m board, adjacent in one row or column: srg(m^2, 2(m-1), m-2, 2)."""
    squares = list(product(range(m), repeat=2))
    return _from_relation(squares, lambda s, t: (s[0] == t[0]) != (s[1] == t[1]))


def shrikhande() -> Graph:
    """The Cayley graph of Z_4 x Z_4 with the steps +-(0,1), +-(1,0), +-(1,1): the other srg(16, 6, 2, 2)."""
    steps = {(0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3)}
    squares = list(product(range(4), repeat=2))
    return _from_relation(squares, lambda s, t: ((s[0] - t[0]) % 4, (s[1] - t[1]) % 4) in steps)


def triangular(m: int) -> Graph:
    """The 2-subsets of m points, in lexicographic order, adjacent if they meet: srg(m(m-1)/2, 2(m-2), m-2, 4)."""
    return _from_relation(list(combinations(range(m), 2)), lambda s, t: len({*s, *t}) == 3)


def chang() -> tuple[Graph, Graph, Graph]:
    """The three Chang graphs: T(8) switched by the edges of 4 K_2, of C_8 and of C_3 + C_5 in K_8."""
    index = {pair: i for i, pair in enumerate(combinations(range(8), 2))}
    matching = [(0, 1), (2, 3), (4, 5), (6, 7)]
    octagon = _cycle(*range(8))
    triangle_pentagon = _cycle(0, 1, 2) + _cycle(3, 4, 5, 6, 7)
    t8 = triangular(8)
    first, second, third = (switch(t8, [index[e] for e in edges]) for edges in (matching, octagon, triangle_pentagon))
    return first, second, third


def sr16() -> Suite:
    """The two srg(16, 6, 2, 2)."""
    graphs = (rook(4), shrikhande())
    check_family("sr16", graphs, parameters := (16, 6, 2, 2))
    return Suite("sr16", graphs, source="4 x 4 rook's graph, Shrikhande graph", facts={"srg": parameters})


def sr28() -> Suite:
    """The four srg(28, 12, 6, 4)."""
    graphs = (triangular(8), *chang())
    check_family("sr28", graphs, parameters := (28, 12, 6, 4))
    return Suite("sr28", graphs, source="T(8) and the three Chang graphs", facts={"srg": parameters})


def _cycle(*points: int) -> list[tuple[int, int]]:
    return [(min(e), max(e)) for e in zip(points, (*points[1:], points[0]))]


def _from_relation(points: Sequence[tuple[int, ...]], adjacent: Callable[..., bool]) -> Graph:
    edges = [(i, j) for (i, s), (j, t) in combinations(enumerate(points), 2) if adjacent(s, t)]
    return Graph.from_edges(len(points), np.array(edges))

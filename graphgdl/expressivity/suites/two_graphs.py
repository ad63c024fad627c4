"""The 15 srg(25, 12, 5, 6) and the 10 srg(26, 10, 3, 4), from the four regular two-graphs on 26 points.

A two-graph is a class of graphs under Seidel switching. Isolating a vertex of a regular two-graph on 26 points by
switching, and dropping it, leaves an srg(25, 12, 5, 6); the regular members of the class of degree 10 are the
srg(26, 10, 3, 4). Two of the four classes hold the graphs of the two Latin squares of order 5 with an isolated vertex
added, the other two the complements of the block graphs of the two Steiner triple systems on 13 points. What is stored
below is the choice: one vertex per orbit, one switching set per graph.

Source: Paulus, "Conference matrices and graphs of order 26", Eindhoven 1973; Brouwer, Van Maldeghem, "Strongly regular
graphs", Cambridge 2022.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites.latin import cyclic_square, latin_square_graph
from graphgdl.expressivity.suites.strongly_regular import check_family, switch
from graphgdl.expressivity.suites.suite import Suite

NON_CYCLIC_SQUARE = ("01234", "10342", "23401", "34120", "42013")
ISOLATE: tuple[tuple[int, ...], ...] = ((0,), (0, 2, 5, 25), (0, 1), (0, 2, 3, 4, 5, 11, 12, 16))
SWITCH: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((3, 4, 6, 9, 10, 11, 17, 18, 20, 22),),
    ((3, 4, 5, 8, 10, 11, 17, 19, 21, 22), (3, 4, 6, 8, 10, 14, 15, 17, 21, 22)),
    ((), (4, 7, 13, 18, 24, 25)),
    (
        (),
        (2, 7, 11, 15, 16, 17),
        (3, 10, 14, 17, 19, 24),
        (1, 6, 11, 12, 13, 14),
        (4, 9, 11, 19, 21, 23),
    ),
)


def steiner_triple_systems() -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Both Steiner triple systems on 13 points: the cyclic one, and it with one Pasch configuration switched."""
    cyclic = sorted(tuple(sorted((p + i) % 13 for p in base)) for base in ((0, 1, 4), (0, 2, 7)) for i in range(13))
    pasch = [(0, 1, 4), (0, 2, 7), (1, 7, 9), (2, 4, 9)]
    points = {0, 1, 2, 4, 7, 9}
    switched = [tuple(sorted(points.difference(block))) for block in pasch]
    return cyclic, sorted(set(cyclic).difference(pasch).union(switched))


def two_graphs() -> tuple[Graph, ...]:
    """One graph of each regular two-graph on 26 points."""
    latin = [latin_square_graph(square) for square in (cyclic_square(5), NON_CYCLIC_SQUARE)]
    with_isolated = [Graph(26, graph.edges) for graph in latin]
    disjointness = []
    for system in steiner_triple_systems():
        edges = [(i, j) for (i, s), (j, t) in combinations(enumerate(system), 2) if not {*s} & {*t}]
        disjointness.append(Graph.from_edges(26, np.array(edges)))
    return (*with_isolated, *disjointness)


def descendant(graph: Graph, vertex: int) -> Graph:
    """`graph` switched so that `vertex` is isolated, without it; the vertices behind it move up by one."""
    isolated = switch(graph, np.flatnonzero(graph.adjacency()[vertex]).tolist())
    keep = np.delete(np.arange(graph.n), vertex)
    return Graph.from_adjacency(isolated.adjacency()[np.ix_(keep, keep)])


def sr25() -> Suite:
    """The 15 srg(25, 12, 5, 6)."""
    graphs = tuple(descendant(g, vertex) for g, vertices in zip(two_graphs(), ISOLATE) for vertex in vertices)
    check_family("sr25", graphs, parameters := (25, 12, 5, 6))
    return Suite("sr25", graphs, source="descendants of the regular two-graphs on 26 points", facts={"srg": parameters})


def sr26() -> Suite:
    """The 10 srg(26, 10, 3, 4)."""
    graphs = tuple(switch(g, chosen) for g, sets in zip(two_graphs(), SWITCH) for chosen in sets)
    check_family("sr26", graphs, parameters := (26, 10, 3, 4))
    return Suite("sr26", graphs, source="regular graphs in the two-graphs on 26 points", facts={"srg": parameters})

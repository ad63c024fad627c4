"""Small graphs on which the oracles differ, built here from their definitions."""

from __future__ import annotations

from itertools import combinations

from graphgdl.expressivity.graph import Graph


def cycle(n):
    return Graph.from_edges(n, [(v, (v + 1) % n) for v in range(n)])


def complete(n):
    return Graph.from_edges(n, list(combinations(range(n), 2)))


def union(*graphs):
    edges, n = [], 0
    for g in graphs:
        edges += [(u + n, v + n) for u, v in g.edges.tolist()]
        n += g.n
    return Graph.from_edges(n, edges)


def circulant(n, *skips):
    return Graph.from_edges(n, [(v, (v + s) % n) for v in range(n) for s in skips])


def rook4():
    cells = [(r, c) for r in range(4) for c in range(4)]
    edges = [(i, j) for (i, a), (j, b) in combinations(enumerate(cells), 2) if a[0] == b[0] or a[1] == b[1]]
    return Graph.from_edges(16, edges)


def shrikhande():
    steps = {(0, 1), (1, 0), (1, 1), (0, 3), (3, 0), (3, 3)}
    cells = [(r, c) for r in range(4) for c in range(4)]
    edges = [
        (i, j)
        for (i, a), (j, b) in combinations(enumerate(cells), 2)
        if ((a[0] - b[0]) % 4, (a[1] - b[1]) % 4) in steps
    ]
    return Graph.from_edges(16, edges)


def cfi_pair(base):
    """Cai, Fürer, Immerman over a connected base graph, straight and twisted at its first edge.

    Vertices (v, S) with S an even set of edges at v; over an edge e = vw, (v, S) meets (w, T) if e lies in both or in
    none, on the twisted edge if it lies in exactly one.
    """
    edges = [tuple(e) for e in base.edges.tolist()]
    at = {v: [e for e in edges if v in e] for v in range(base.n)}
    nodes = [(v, frozenset(s)) for v in at for k in range(0, len(at[v]) + 1, 2) for s in combinations(at[v], k)]
    out = []
    for twisted in (None, edges[0]):
        links = [
            (i, j)
            for (i, (v, s)), (j, (w, t)) in combinations(enumerate(nodes), 2)
            if (v, w) in edges and (((v, w) in s) == ((v, w) in t)) != ((v, w) == twisted)
        ]
        out.append(Graph.from_edges(len(nodes), links))
    return tuple(out)


def atlas(max_nodes):
    from networkx.generators.atlas import graph_atlas_g

    return [Graph.from_networkx(g) for g in graph_atlas_g() if g.number_of_nodes() <= max_nodes]


EMPTY, POINT, EDGE = Graph.from_edges(0, []), Graph.from_edges(1, []), Graph.from_edges(2, [(0, 1)])
PRISM = Graph.from_edges(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)])
K33 = Graph.from_edges(6, [(u, v) for u in range(3) for v in range(3, 6)])
THETA = Graph.from_edges(4, [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)])
BASES = {
    "triangle": (cycle(3), 2),
    "square": (cycle(4), 2),
    "theta": (THETA, 2),
    "K4": (complete(4), 3),
    "K5": (complete(5), 4),
}
"""Base graphs with their treewidth."""

PAIRS = {
    "hexagon, two triangles": (cycle(6), union(cycle(3), cycle(3))),
    "prism, K33": (PRISM, K33),
    "octagon, two squares": (cycle(8), union(cycle(4), cycle(4))),
    "decalin, bicyclopentyl": (
        Graph.from_edges(10, [(v, (v + 1) % 10) for v in range(10)] + [(0, 5)]),
        Graph.from_edges(
            10, [(v, (v + 1) % 5) for v in range(5)] + [(5 + v, 5 + (v + 1) % 5) for v in range(5)] + [(0, 5)]
        ),
    ),
    "circulants 13": (circulant(13, 1, 2), circulant(13, 1, 3)),
    "star and point, square": (Graph.from_edges(5, [(0, 1), (0, 2), (0, 3), (0, 4)]), union(cycle(4), POINT)),
    "rook, Shrikhande": (rook4(), shrikhande()),
    **{f"CFI({name})": cfi_pair(base) for name, (base, width) in BASES.items() if width < 4},
}

"""Strongly regular graphs: the parameters, and the constructions that several families share.

A graph is strongly regular with parameters (n, k, lambda, mu) if it is k-regular, adjacent vertices have lambda common
neighbours and non-adjacent ones mu: A^2 = k I + lambda A + mu (J - I - A). The parameters determine the colours of
2-FWL, so 2-FWL sees one class in every family.

Source: Brouwer, Van Maldeghem, "Strongly regular graphs", Cambridge 2022.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from graphgdl.expressivity.graph import Graph

Parameters = tuple[int, int, int, int]


def srg_parameters(graph: Graph) -> Parameters | None:
    """(n, k, lambda, mu) of a strongly regular graph that is neither complete nor empty, else None.

    >>> from graphgdl.expressivity.suites.circulant import circulant
    >>> srg_parameters(circulant(5, (1,))), srg_parameters(circulant(6, (1,)))
    ((5, 2, 0, 1), None)
    """
    a = graph.adjacency().astype(np.float64)  # exact: every entry of the square is at most n
    n, k = graph.n, int(graph.degrees()[0]) if graph.n else 0
    if (graph.degrees() != k).any() or not 0 < k < n - 1:
        return None
    square = a @ a
    first, second = np.argwhere(a == 1)[0], np.argwhere(a + np.eye(n) == 0)[0]
    lam, mu = square[tuple(first)], square[tuple(second)]
    if not np.array_equal(square, k * np.eye(n) + lam * a + mu * (1 - np.eye(n) - a)):
        return None
    return n, k, int(lam), int(mu)


def check_family(name: str, graphs: Iterable[Graph], parameters: Parameters) -> None:
    """Raises ValueError naming the first graph, counted from 1 like lines, that lacks the parameters."""
    for i, graph in enumerate(graphs, start=1):
        if (found := srg_parameters(graph)) != parameters:
            got = f"srg{found}" if found else f"no strongly regular graph (n={graph.n}, {len(graph.edges)} edges)"
            raise ValueError(f"{name}, graph {i}: expected srg{parameters}, got {got}")


def switch(graph: Graph, vertices: Collection[int]) -> Graph:
    """Seidel switching: complement the edges between `vertices` and the rest.

    Source: van Lint, Seidel, "Equilateral point sets in elliptic geometry", Indag. Math. 28, 1966.
    """
    inside = _indicator(graph.n, vertices)
    return Graph.from_adjacency(graph.adjacency() ^ (inside[:, None] ^ inside[None, :]))


def godsil_mckay(graph: Graph, vertices: Collection[int]) -> Graph:
    """Godsil-McKay switching with one cell: it keeps the spectrum, so a strongly regular graph keeps its parameters.

    `vertices` must induce a regular graph, and every vertex outside must have none, half or all of them as neighbours;
    those with half get the other half.

    Raises:
        ValueError: `vertices` is no such set.

    Source: Godsil, McKay, "Constructing cospectral graphs", Aequationes Math. 25, 1982.
    """
    inside = _indicator(graph.n, vertices)
    a = graph.adjacency()
    seen = a.astype(np.int64) @ inside
    size, degrees = int(inside.sum()), seen[inside == 1]
    half = (inside == 0) & (2 * seen == size)
    if (degrees != degrees[:1]).any() or not (half | (inside == 1) | (seen == 0) | (seen == size)).all():
        raise ValueError(f"`vertices` must be a Godsil-McKay switching set, got {sorted(vertices)}")
    flip = np.outer(half, inside == 1).astype(np.uint8)
    return Graph.from_adjacency(a ^ (flip | flip.T))


def _indicator(n: int, vertices: Collection[int]) -> np.ndarray:
    if not {*vertices} <= {*range(n)}:
        raise ValueError(f"`vertices` must lie in 0..{n - 1}, got {sorted(vertices)}")
    indicator = np.zeros(n, dtype=np.uint8)
    indicator[list(vertices)] = 1
    return indicator

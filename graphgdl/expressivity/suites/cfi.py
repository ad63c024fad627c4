"""Cai-Fürer-Immerman pairs over any base graph.

Every vertex v of the base becomes the vertices (v, S), S a subset of even size of the edges at v; (u, S) and (v, T) are
adjacent if e = uv is an edge of the base and lies in both S and T or in neither. A twist at v takes the subsets of odd
size there. Two twists in one component cancel, so over a connected base there are two graphs up to isomorphism, twisted
and not. They have the same degrees when the base has no vertex of degree 1, and k-FWL separates them exactly if the
treewidth of the base is at most k.

Source: Cai, Fürer, Immerman, "An optimal lower bound on the number of variables for graph identification",
Combinatorica 12, 1992. In this form, with the exact statement: Roberson, "Oddomorphisms and homomorphism
indistinguishability over graphs of bounded degree", 2022; Neuen, "Homomorphism-distinguishing closedness for graphs of
bounded tree-width", STACS 2024.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites.circulant import circulant
from graphgdl.expressivity.suites.suite import Suite
from graphgdl.expressivity.suites.treewidth import treewidth

MAX_ORDER = 20_000


def cfi_graph(base: Graph, twisted: Collection[int] = ()) -> Graph:
    """The CFI graph over `base`, twisted at the vertices `twisted`; sum over v of 2^(deg v - 1) vertices.

    Raises:
        ValueError: `base` has fewer than two vertices or is not connected, `twisted` is no set of its vertices, more
            than 20,000 vertices would result.
    """
    if base.n < 2 or not base.is_connected():
        raise ValueError(f"`base` must be connected with at least two vertices, got {base}")
    if not {*twisted} <= {*range(base.n)} or len({*twisted}) != len(twisted):
        raise ValueError(f"`twisted` must be different vertices of the base, got {list(twisted)}")
    sizes = [2 ** int(degree - 1) for degree in base.degrees()]
    if sum(sizes) > MAX_ORDER:
        raise ValueError(
            f"`base`: its CFI graph would have {sum(sizes)} vertices, more than {MAX_ORDER}; lower the degrees"
        )
    start = np.concatenate([[0], np.cumsum(sizes)])
    indptr, neighbours = base.csr()
    subsets = []
    for v in range(base.n):
        mask = np.arange(2 * sizes[v])
        subsets.append(mask[_parity(mask) == (v in twisted)])
    edges = []
    for u, v in base.edges.tolist():
        at_u, at_v = (
            subsets[a] >> int(np.searchsorted(neighbours[indptr[a] : indptr[a + 1]], b)) & 1
            for a, b in ((u, v), (v, u))
        )
        edges.append(np.argwhere(at_u[:, None] == at_v[None, :]) + start[[u, v]])
    return Graph.from_edges(int(start[-1]), np.concatenate(edges))


def cfi_pair(base: Graph) -> tuple[Graph, Graph]:
    """The untwisted and the twisted CFI graph over a connected base: not isomorphic.

    >>> plain, twisted = cfi_pair(circulant(3, (1,)))  # two triangles, and a hexagon
    >>> plain.is_connected(), twisted.is_connected()
    (False, True)
    """
    return cfi_graph(base), cfi_graph(base, (0,))


def bases() -> dict[str, Graph]:
    """The base graphs of the suite by name, treewidth 1 to 5, among them the minimal ones of treewidth 2, 3 and 4."""
    return {
        "path P5": Graph.from_edges(5, [(i, i + 1) for i in range(4)]),
        "star K1,4": Graph.from_edges(5, [(0, i) for i in range(1, 5)]),
        "binary tree": Graph.from_edges(7, [(i, (i - 1) // 2) for i in range(1, 7)]),
        "cycle C3": circulant(3, (1,)),
        "cycle C10": circulant(10, (1,)),
        "K2,3": Graph.from_edges(5, [(i, j) for i in range(2) for j in range(2, 5)]),
        "grid 2x5": grid(2, 5),
        "K4": circulant(4, (1, 2)),
        "prism 3": circulant(6, (2, 3)),
        "K3,3": circulant(6, (1, 3)),
        "wheel 5": Graph.from_edges(6, [(0, i) for i in range(1, 6)] + [(i, i % 5 + 1) for i in range(1, 6)]),
        "cube": generalized_petersen(4, 1),
        "grid 3x3": grid(3, 3),
        "K5": circulant(5, (1, 2)),
        "octahedron": circulant(6, (1, 2)),
        "Wagner": circulant(8, (1, 4)),
        "prism 5": generalized_petersen(5, 1),
        "Petersen": generalized_petersen(5, 2),
        "grid 4x4": grid(4, 4),
        "K6": circulant(6, (1, 2, 3)),
        "Heawood": Graph.from_edges(14, [(i, 7 + (i + s) % 7) for i in range(7) for s in (0, 1, 3)]),
        "Möbius-Kantor": generalized_petersen(8, 3),
    }


def grid(rows: int, columns: int) -> Graph:
    """The rows x columns grid."""
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
    down = np.stack([index[:-1].ravel(), index[1:].ravel()], axis=1)
    return Graph.from_edges(rows * columns, np.concatenate([right, down]))


def generalized_petersen(n: int, k: int) -> Graph:
    """GP(n, k): an outer n-cycle, inner steps of k, spokes; GP(5, 2) is the Petersen graph, GP(n, 1) a prism."""
    ring = range(n)
    outer = [(i, (i + 1) % n) for i in ring]
    inner = [(n + i, n + (i + k) % n) for i in ring]
    return Graph.from_edges(2 * n, outer + inner + [(i, n + i) for i in ring])


def cfi_suite(name: str, by_name: Mapping[str, Graph]) -> Suite:
    """One pair over each base; the category is the exact treewidth of the base, computed here.

    Raises:
        ValueError: a base that is not connected or too large for the pair or for its treewidth; names it.
    """
    graphs: list[Graph] = []
    widths = []
    for title, base in by_name.items():
        try:
            graphs.extend(cfi_pair(base))
            widths.append(treewidth(base))
        except ValueError as error:
            raise ValueError(f"suite {name}, base {title}: {error}") from None
    return Suite(
        name,
        tuple(graphs),
        np.arange(len(graphs)).reshape(-1, 2),
        tuple(f"treewidth {width}" for width in widths),
        source="CFI pairs over " + ", ".join(by_name),
        facts={"bases": tuple(by_name), "treewidth": tuple(widths)},
    )


def cfi() -> Suite:
    """The suite over `bases`."""
    return cfi_suite("cfi", bases())


def _parity(mask: np.ndarray) -> np.ndarray:
    parity = np.zeros_like(mask)
    while mask.any():
        parity ^= mask & 1
        mask = mask >> 1
    return parity

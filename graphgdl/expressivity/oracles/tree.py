r"""Search tree of individualisation and refinement to depth d: an invariant that is complete once d is large enough.

The root is the graph refined by 1-WL. The children of a node: take its smallest colour class with two or more vertices
(the smallest colour among equals), give each of its vertices in turn a colour of its own, refine by 1-WL. The invariant
of a node is the multiset of its final colours with the multiset of its children's invariants; a node whose classes are
all singletons is a leaf. Two graphs that agree in a tree with such leaves are isomorphic: a stable colouring by
singletons determines the graph up to the names of its vertices.

Source: McKay (1981), Practical graph isomorphism; McKay and Piperno (2014), Practical graph isomorphism II, section 2.
Differs: no pruning, neither by invariants nor by automorphisms, since the whole tree is the invariant. The tree may
grow as n^d.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import zip_longest

import numpy as np

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles.oracle import Colours, Oracle


def search_tree(depth: int) -> Oracle:
    """The oracle of the search tree with `depth` individualised vertices; depth 0 is 1-WL.

    Raises:
        ValueError: `depth` is negative.
    """
    if depth < 0:
        raise ValueError(f"`depth` must be at least 0, got {depth}; depth 0 is 1-WL")
    name = f"search-tree-{depth}"
    return Oracle(name, f"search tree, depth {depth}", "individualisation networks", partial(refine_tree, depth=depth))


def refine_tree(graph: Graph, depth: int) -> Iterator[int]:
    """Yield the invariant of the tree cut at depth 0, 1, ..., `depth`; end early when every leaf is complete."""
    for own, levels in _grow(graph, depth):
        yield _invariant(own, levels)


def parting_depth(g: Graph, h: Graph, max_depth: int | None = None) -> int | None:
    """The smallest depth at which the search trees of g and h differ; None if they agree up to `max_depth`.

    Without `max_depth` the trees are grown until they are complete, and None means that g and h are isomorphic.

    >>> from graphgdl.expressivity.graph import Graph
    >>> hexagon = Graph.from_edges(6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)])
    >>> triangles = Graph.from_edges(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)])
    >>> parting_depth(hexagon, triangles), parting_depth(hexagon, hexagon)
    (1, None)
    """
    limit = max(g.n, h.n) if max_depth is None else max_depth
    pairs = zip_longest(refine_tree(g, limit), refine_tree(h, limit))
    return next((depth for depth, (a, b) in enumerate(pairs) if a != b), None)


def leaf_counts(graph: Graph, depth: int) -> list[int]:
    """The number of leaves of the tree cut at depth 0, 1, ..., `depth`: what a model that learns on the tree pays."""
    counts = []
    for own, levels in _grow(graph, depth):
        inner = sum(int(np.count_nonzero(sizes == 0)) for _, sizes in levels)
        counts.append(inner + len(own))
    return counts


def _grow(graph: Graph, depth: int) -> Iterator[tuple[Colours, list[tuple[Colours, np.ndarray]]]]:
    """Level by level: the hashes of the nodes at the depth reached; above it, each level's hashes and child counts."""
    from graphgdl.ops.refine import individualise, refine_rows, smallest_cells

    indptr, indices = graph.csr()
    colours = np.zeros((1, graph.n), np.uint64)
    levels: list[tuple[Colours, np.ndarray]] = []
    while True:
        own = refine_rows(indptr, indices, colours)
        yield own, levels
        if len(levels) == depth:
            return
        sizes, cells = smallest_cells(colours)
        if not sizes.any():
            return
        levels.append((own, sizes))
        colours = individualise(colours, sizes, cells)


def _invariant(own: Colours, levels: list[tuple[Colours, np.ndarray]]) -> int:
    """Fold the tree from the deepest level up: a node is hashed with the multiset of its children."""
    from graphgdl.ops.refine import mix, pair

    for parents, sizes in reversed(levels):
        total = np.zeros(len(own) + 1, np.uint64)
        np.cumsum(mix(own), out=total[1:])
        ends = np.cumsum(sizes)
        own = pair(parents, total[ends] - total[ends - sizes])
    return int(own[0])

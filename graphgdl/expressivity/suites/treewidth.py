"""Exact treewidth of small graphs.

The width of an elimination order is the largest degree at which a vertex is eliminated, and the treewidth the least
width of any order. What remains after eliminating a set of vertices does not depend on their order, so it is enough to
search over sets: a width w is possible if a path of sets leads from the empty one to one that leaves w + 1 vertices.
Before the search, vertices whose elimination costs nothing are removed: simplicial ones, and almost simplicial ones of
a degree that the treewidth is known to reach.

Source: Bodlaender, Fomin, Koster, Kratsch, Thilikos, "On exact algorithms for treewidth", ACM Trans. Algorithms 9, 2012
(the search over sets); Bodlaender, Koster, van den Eijkhof, "Preprocessing rules for triangulation of probabilistic
networks", Comput. Intell. 21, 2005 (the rules).
"""

from __future__ import annotations

from graphgdl.expressivity.graph import Graph

MAX_SETS = 2_000_000


def treewidth(graph: Graph, max_sets: int = MAX_SETS) -> int:
    """The treewidth of `graph`, exact; -1 for the graph without vertices.

    Time and memory grow with 2^n at worst, where n counts the vertices that the reduction rules leave: 16 take a
    second, about 20 are within `max_sets`; trees, cycles and series-parallel graphs of any size reduce to nothing.

    Raises:
        ValueError: the search would visit more than `max_sets` vertex sets.

    >>> from graphgdl.expressivity.suites.circulant import circulant
    >>> treewidth(circulant(100, (1,))), treewidth(circulant(5, (1, 2)))
    (2, 4)
    """
    if graph.n == 0:
        return -1
    neighbours = {v: set(row.nonzero()[0].tolist()) for v, row in enumerate(graph.adjacency())}
    low = _reduce(neighbours)
    budget = max_sets
    for component in _components(neighbours):
        index = {v: i for i, v in enumerate(sorted(component))}
        masks = [sum(1 << index[u] for u in neighbours[v]) for v in sorted(component)]
        while (visited := _search(masks, low, budget)) >= 0:
            budget -= visited
            low += 1
            if budget <= 0:
                raise ValueError(
                    f"`graph`: its treewidth, at least {low}, needs a search over more than {max_sets} vertex sets "
                    f"({len(masks)} vertices are left after reduction); raise `max_sets` or take a smaller graph"
                )
    return low


def _reduce(neighbours: dict[int, set[int]]) -> int:
    """Eliminates vertices in place while that keeps the treewidth; returns a lower bound of it."""
    low = 0
    changed = True
    while changed:
        changed = False
        if neighbours:
            low = max(low, min(map(len, neighbours.values())))  # the least degree
        for v in sorted(neighbours, key=lambda u: len(neighbours[u])):
            ring = neighbours[v]
            simplicial = _is_clique(neighbours, ring)
            if simplicial or (len(ring) <= low and any(_is_clique(neighbours, ring - {u}) for u in ring)):
                low = max(low, len(ring)) if simplicial else low
                for u in ring:
                    neighbours[u] |= ring
                    neighbours[u] -= {u, v}
                del neighbours[v]
                changed = True
                break
    return low


def _is_clique(neighbours: dict[int, set[int]], vertices: set[int]) -> bool:
    return all(vertices - {v} <= neighbours[v] for v in vertices)


def _components(neighbours: dict[int, set[int]]) -> list[set[int]]:
    components, seen = [], set[int]()
    for start in neighbours:
        if start not in seen:
            component, stack = {start}, [start]
            while stack:
                new = neighbours[stack.pop()] - component
                component |= new
                stack.extend(new)
            seen |= component
            components.append(component)
    return components


def _search(masks: list[int], width: int, budget: int) -> int:
    """-1 if some elimination order has at most `width`, else how many sets were visited; stops past `budget`."""
    everything, n = (1 << len(masks)) - 1, len(masks)
    if n <= width + 1:
        return -1
    layer = {0}
    visited = 0
    for _ in range(n - width - 1):
        following = set()
        for gone in layer:
            left = everything & ~gone
            while left:
                bit = left & -left
                left ^= bit
                if gone | bit not in following and _degree(masks, gone, bit) <= width:
                    following.add(gone | bit)
            if visited + len(following) > budget:
                return visited + len(following)
        visited += len(following)
        layer = following
    return -1 if layer else visited


def _degree(masks: list[int], gone: int, bit: int) -> int:
    """Degree of a vertex once `gone` are eliminated: the vertices left that it reaches through `gone`."""
    reached, frontier = bit, bit
    while frontier:
        nearest = frontier & -frontier
        frontier ^= nearest
        new = masks[nearest.bit_length() - 1] & ~reached
        reached |= new
        frontier |= new & gone
    return (reached & ~gone & ~bit).bit_count()

"""All graphs on one to seven vertices.

Source: Read, Wilson, "An atlas of graphs", Oxford 1998, as networkx ships it.
"""

from __future__ import annotations

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites.suite import Suite

COUNTS = (1, 2, 4, 11, 34, 156, 1044)  # graphs on 1, ..., 7 vertices, OEIS A000088


def atlas() -> Suite:
    """The 1252 graphs of the atlas that have a vertex; all pairs, those of different order as well."""
    import networkx as nx

    graphs = tuple(Graph.from_networkx(graph) for graph in nx.graph_atlas_g()[1:])
    orders = [graph.n for graph in graphs]
    if tuple(orders.count(n) for n in range(1, 8)) != COUNTS:
        raise ValueError(f"the atlas of networkx must hold {COUNTS} graphs on 1..7 vertices, got {len(graphs)} in all")
    return Suite("atlas", graphs, source="Read and Wilson 1998, through networkx", facts={"counts": COUNTS})

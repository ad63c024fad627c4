"""networkx graphs of every kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch_geometric.data import Data

from graphgdl.domains.assemble import as_float, assemble


def from_networkx(
    graph: Any,
    node_features: Sequence[str] = (),
    edge_features: Sequence[str] = (),
    weight: str | None = "weight",
) -> Data:
    """Return a networkx graph; node i is the i-th of `graph.nodes`.

    An edge of an undirected graph becomes two edges, a self-loop one; each of the parallel edges of a multigraph is kept.

    Args:
        graph: `Graph`, `DiGraph`, `MultiGraph` or `MultiDiGraph`; nodes of any type, isolated ones too.
        node_features: names of node attributes (a number or a sequence of numbers each), joined to `x` in this order.
        edge_features: names of edge attributes, joined to `edge_attr`.
        weight: edge attribute that becomes `edge_weight` if any edge has it; where missing it is 1, as in networkx. None
            for no weights.

    Returns:
        Data with `edge_index` int64 (2, e) sorted by destination, `num_nodes`, and where asked for `x` (n, c),
        `edge_attr` (e, d), `edge_weight` (e,).

    Raises:
        TypeError: `graph` is no networkx graph.
        ValueError: a node or an edge lacks an attribute, or holds no numbers, or of another length; it is named.

    Example:
        >>> import networkx as nx
        >>> data = from_networkx(nx.path_graph(["a", "b", "c"]))
        >>> data.edge_index.tolist(), data.num_nodes
        ([[1, 0, 2, 1], [0, 1, 1, 2]], 3)
    """
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise TypeError(f"`graph` must be a networkx graph, got {type(graph).__name__}")
    number = {node: i for i, node in enumerate(graph.nodes)}
    edges = list(graph.edges(data=True))
    ends = np.array([(number[u], number[v]) for u, v, _ in edges], dtype=np.int64).reshape(-1, 2)
    features = {}
    if edge_features:
        named = ((f"edge ({u!r}, {v!r})", attributes) for u, v, attributes in edges)
        features["edge_attr"] = _table(named, edge_features, "edge_features")
    if weight is not None and any(weight in attributes for _, _, attributes in edges):
        named = ((f"edge ({u!r}, {v!r})", {weight: 1.0, **attributes}) for u, v, attributes in edges)
        features["edge_weight"] = _table(named, [weight], "weight")[:, 0]
    data = assemble(len(number), ends[:, 0], ends[:, 1], not graph.is_directed(), **features)
    if node_features:
        named = ((f"node {node!r}", attributes) for node, attributes in graph.nodes(data=True))
        data.x = as_float(_table(named, node_features, "node_features"))
    return data


def _table(owners: Iterable[tuple[str, dict[str, Any]]], names: Sequence[str], argument: str) -> np.ndarray:
    """One row of numbers for each owner."""
    rows: list[np.ndarray] = []
    for owner, attributes in owners:
        missing = [name for name in names if name not in attributes]
        if missing:
            raise ValueError(
                f"`{argument}` {missing[0]!r} is missing on {owner}; it has {sorted(map(str, attributes))}"
            )
        try:
            row = np.concatenate([np.asarray(attributes[name], dtype=np.float64).reshape(-1) for name in names])
        except (TypeError, ValueError):
            values = [attributes[name] for name in names]
            raise ValueError(f"`{argument}` must hold numbers, got {values!r} on {owner}; encode it first") from None
        if rows and len(row) != len(rows[0]):
            raise ValueError(
                f"`{argument}` must have one length, got {len(row)} numbers on {owner} after {len(rows[0])}"
            )
        rows.append(row)
    table = np.array(rows) if rows else np.empty((0, len(names)))
    return table.astype(np.float32)

"""Edge lists: pairs of node numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from graphgdl.domains.assemble import assemble


def from_edge_list(
    edges: Iterable[Sequence[int]] | np.ndarray | Tensor,
    weights: Sequence[float] | np.ndarray | Tensor | None = None,
    num_nodes: int | None = None,
    undirected: bool = True,
) -> Data:
    """Return the graph of a list of pairs of node numbers.

    Args:
        edges: e pairs (u, v) of integers from 0, or an array or tensor (e, 2); a message flows from u to v.
        weights: one number for each pair, in the same order.
        num_nodes: n; default: the largest number plus one. Give it where the last nodes have no edge.
        undirected: each pair is listed once and stands for both directions. With False each pair is one directed edge,
            and a pair listed twice is two parallel edges.

    Returns:
        Data with `edge_index` int64 (2, e') sorted by destination, `num_nodes`, and with weights `edge_weight` (e',).

    Raises:
        TypeError: a node number is no integer.
        ValueError: a row is no pair, a number is out of range, an undirected edge is listed twice, weights of another
            length; the message names the row.

    Example:
        >>> from_edge_list([(0, 1), (1, 2)]).edge_index.tolist()
        [[1, 0, 2, 1], [0, 1, 1, 2]]
    """
    pairs = _pairs(edges)
    if num_nodes is None:
        num_nodes = int(pairs.max()) + 1 if len(pairs) else 0
    bad = np.flatnonzero(((pairs < 0) | (pairs >= num_nodes)).any(axis=1))
    if bad.size:
        raise ValueError(
            f"`edges` must hold node numbers in 0 .. {num_nodes - 1}, got {tuple(pairs[bad[0]].tolist())} in row {bad[0]}; "
            f"number the nodes from 0, or raise `num_nodes`"
        )
    if undirected:
        _refuse_repeats(pairs)
    features = {}
    if weights is not None:
        values = np.asarray(weights)
        if values.shape != (len(pairs),):
            raise ValueError(f"`weights` must have one number for each of the {len(pairs)} edges, got {values.shape}")
        features["edge_weight"] = values
    return assemble(num_nodes, pairs[:, 0], pairs[:, 1], undirected, **features)


def _pairs(edges: Any) -> np.ndarray:
    if not isinstance(edges, np.ndarray | Tensor):
        edges = list(edges)
        for row, edge in enumerate(edges):
            if not hasattr(edge, "__len__") or len(edge) != 2:
                raise ValueError(
                    f"`edges` must hold pairs (u, v), got {edge!r} in row {row}; pass `weights` separately"
                )
    array = np.asarray(edges)
    if array.size == 0:
        return np.empty((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2:
        hint = "; transpose it?" if array.ndim == 2 and array.shape[0] == 2 else ""
        raise ValueError(f"`edges` must have shape (e, 2), got {array.shape}{hint}")
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(
            f"`edges` must hold integer node numbers, got {array.dtype}; number named nodes, or use `from_networkx`"
        )
    return array.astype(np.int64)


def _refuse_repeats(pairs: np.ndarray) -> None:
    _, first, inverse = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True, return_inverse=True)
    repeat = np.flatnonzero(first[inverse.reshape(-1)] != np.arange(len(pairs)))
    if repeat.size:
        row = repeat[0]
        raise ValueError(
            f"`edges` of an undirected graph must list each edge once, got {tuple(pairs[row].tolist())} in row {row} after "
            f"row {first[inverse.reshape(-1)[row]]}; pass undirected=False if both directions are listed"
        )

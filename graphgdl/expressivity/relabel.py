"""Relabelled copies of graphs, collated into PyG batches in a few vectorised steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import Module
from torch_geometric.data import Batch, Data

from graphgdl.expressivity.graph import Graph


def relabelled_arcs(graph: Graph, copies: int, rng: np.random.Generator) -> np.ndarray:
    """(copies, 2, 2m) int64: source and destination of every arc in `copies` random relabellings.

    Each copy is sorted by destination, then source, so that nothing but the numbering tells the copies apart.

    >>> path = Graph.from_edges(3, [(0, 1), (1, 2)])
    >>> relabelled_arcs(path, 5, np.random.default_rng(0)).shape
    (5, 2, 4)
    """
    n = graph.n
    order = rng.permuted(np.tile(np.arange(n), (copies, 1)), axis=1)
    u, v = graph.edges.T
    key = order[:, np.concatenate([v, u])] * n + order[:, np.concatenate([u, v])]
    key.sort(axis=1)
    return np.stack([key % n, key // n], axis=1) if n else key.reshape(copies, 2, 0)


def interleave(first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Arcs of couples in the order G, H, G, H, ...: the rows 0::2 and 1::2 of a model's output face each other."""
    return [arcs for couple in zip(first, second) for arcs in couple]


def collate(arcs: Sequence[np.ndarray], sizes: Sequence[int], dtype: torch.dtype = torch.float32) -> Batch:
    """The PyG batch that `Batch.from_data_list` would build from graphs with constant features.

    Args:
        arcs: (2, e_i) int64 for each graph.
        sizes: number of nodes of each graph.
        dtype: of the features.

    Returns:
        Batch with `x` ones (n, 1), `edge_index` (2, e), `batch` (n,), `ptr` (g + 1,).
    """
    ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    lengths = np.array([a.shape[1] for a in arcs], dtype=np.int64)
    edge_index = np.concatenate(arcs, axis=1) + np.repeat(ptr[:-1], lengths)
    nodes = torch.from_numpy(ptr)
    batch = Batch(
        x=torch.ones(int(ptr[-1]), 1, dtype=dtype),
        edge_index=torch.from_numpy(edge_index),
        batch=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        ptr=nodes,
    )
    batch._num_graphs = len(sizes)
    edges = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
    batch._slice_dict = {"x": nodes, "edge_index": edges}
    batch._inc_dict = {"x": torch.zeros(len(sizes), dtype=torch.int64), "edge_index": nodes[:-1]}
    return batch


class Copies:
    """Relabelled copies on their way into batches; a model's own transform is applied once to each.

    Args:
        model: its attribute `transform(data)`, if there is one, maps `Data` to `Data`.
        arcs: (2, e_i) int64 for each copy.
        sizes: number of nodes of each copy.
        dtype: of the constant features.

    Raises:
        TypeError: the transform returned something else than a `Data`.
    """

    def __init__(
        self, model: Module, arcs: list[np.ndarray], sizes: list[int], dtype: torch.dtype = torch.float32
    ) -> None:
        self.arcs, self.sizes, self.dtype = arcs, sizes, dtype
        self.items: list[Data] | None = None
        transform = getattr(model, "transform", None)
        if transform is not None:
            self.items = [transformed(transform, a, n, dtype) for a, n in zip(arcs, sizes)]
            self.sizes = [item.num_nodes for item in self.items]

    def chunks(self, first: int, last: int, group: int, max_nodes: int) -> list[Batch]:
        """Batches of the copies first ... last - 1: whole groups, as many as fit into `max_nodes` nodes, at least one."""
        cuts, nodes = [first], 0
        for low in range(first, last, group):
            size = sum(self.sizes[low : low + group])
            if nodes and nodes + size > max_nodes:
                cuts.append(low)
                nodes = 0
            nodes += size
        return [self._batch(slice(low, high)) for low, high in zip(cuts, [*cuts[1:], last])]

    def _batch(self, part: slice) -> Batch:
        if self.items is not None:
            return Batch.from_data_list(self.items[part])
        return collate(self.arcs[part], self.sizes[part], self.dtype)


def transformed(transform: Callable[[Data], Data], arcs: np.ndarray, n: int, dtype: torch.dtype) -> Data:
    """One copy as `Data` with constant features, lifted by a model's own transform."""
    lifted = transform(Data(x=torch.ones(n, 1, dtype=dtype), edge_index=torch.from_numpy(arcs)))
    if not isinstance(lifted, Data):
        raise TypeError(f"`transform` of the model must return a torch_geometric Data, got {type(lifted).__name__}")
    return lifted

"""A simple undirected graph, as the expressivity benchmark needs it: a vertex count and a sorted edge list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graphgdl.expressivity import graph6

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, eq=False)
class Graph:
    """Simple undirected graph on the vertices 0 .. n-1.

    Args:
        n: number of vertices.
        edges: (m, 2) int64, each edge once with u < v, in lexicographic order, without repetition. Kept read-only.
            `Graph.from_edges` takes them in any order and direction.

    Raises:
        TypeError: `n` is not an int or `edges` are not integers.
        ValueError: wrong shape, a vertex out of range, a self-loop, edges not sorted.

    Two graphs are equal if they have the same vertices and edges; isomorphic graphs need not be equal.

    >>> path = Graph.from_edges(3, [(2, 1), (0, 1)])
    >>> path.edges.tolist(), path.degrees().tolist(), path.graph6()
    ([[0, 1], [1, 2]], [1, 2, 1], 'Bg')
    """

    n: int
    edges: np.ndarray

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, (int, np.integer)):
            raise TypeError(f"`n` must be an int, got {type(self.n).__name__}")
        if self.n < 0:
            raise ValueError(f"`n` must not be negative, got {self.n}")
        edges = _integer_pairs(self.edges)
        u, v = edges[:, 0], edges[:, 1]
        if edges.size:
            if edges.min() < 0 or edges.max() >= self.n:
                raise ValueError(f"`edges` must lie in 0..{self.n - 1}, got {edges.min()}..{edges.max()}")
            if (u == v).any():
                raise ValueError(f"`edges` must hold no self-loop, got one at vertex {u[u == v][0]}")
            if (u > v).any() or (np.diff(u * self.n + v) <= 0).any():
                raise ValueError("`edges` must be sorted, each edge once with u < v; use Graph.from_edges")
        edges = np.array(edges, dtype=np.int64, order="C")
        edges.flags.writeable = False
        object.__setattr__(self, "n", int(self.n))
        object.__setattr__(self, "edges", edges)

    @classmethod
    def from_edges(cls, n: int, edges: Any) -> Graph:
        """From pairs in any order and direction; an edge listed twice, or in both directions, counts once."""
        pairs = np.sort(_integer_pairs(edges), axis=1)
        return cls(n, np.unique(pairs, axis=0))

    @classmethod
    def from_graph6(cls, text: str | bytes) -> Graph:
        """From one graph6 line, with or without the header; raises ValueError on anything corrupt."""
        return cls(*graph6.decode(text))

    @classmethod
    def from_adjacency(cls, a: Any) -> Graph:
        """From a symmetric (n, n) matrix of zeros and ones with an empty diagonal."""
        a = np.asarray(a)
        if a.ndim != 2 or a.shape[0] != a.shape[1]:
            raise ValueError(f"`a` must have shape (n, n), got {a.shape}")
        if not ((a == 0) | (a == 1)).all():
            raise ValueError("`a` must hold zeros and ones only")
        if (a != a.T).any():
            raise ValueError("`a` must be symmetric; for a directed graph decide what its edges mean first")
        if a.diagonal().any():
            raise ValueError("`a` must have an empty diagonal: the graph is simple")
        return cls(a.shape[0], np.argwhere(np.triu(a)))

    @classmethod
    def from_networkx(cls, g: Any) -> Graph:
        """From an undirected networkx graph without self-loops; vertices are numbered in its node order."""
        if g.is_directed() or g.is_multigraph():
            raise TypeError(f"`g` must be an undirected networkx.Graph, got {type(g).__name__}; use nx.Graph(g)")
        index = {node: i for i, node in enumerate(g)}
        return cls.from_edges(len(index), [(index[u], index[v]) for u, v in g.edges()])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return self.n == other.n and np.array_equal(self.edges, other.edges)

    def __hash__(self) -> int:
        return hash((self.n, self.edges.tobytes()))

    def __repr__(self) -> str:
        return f"Graph(n={self.n}, m={len(self.edges)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Graph, (self.n, self.edges)

    def adjacency(self) -> np.ndarray:
        """(n, n) uint8, symmetric."""
        a = np.zeros((self.n, self.n), dtype=np.uint8)
        u, v = self.edges.T
        a[u, v] = a[v, u] = 1
        return a

    def csr(self) -> tuple[np.ndarray, np.ndarray]:
        """Row pointer (n + 1,) and neighbours (2m,), int64; both directions, each row sorted."""
        u, v = self.edges.T
        row, column = np.concatenate([u, v]), np.concatenate([v, u])
        indptr = np.zeros(self.n + 1, dtype=np.int64)
        np.cumsum(self.degrees(), out=indptr[1:])
        return indptr, column[np.lexsort((column, row))]

    def degrees(self) -> np.ndarray:
        """(n,) int64."""
        return np.bincount(self.edges.ravel(), minlength=self.n).astype(np.int64, copy=False)

    def is_connected(self) -> bool:
        """Whether every vertex is reached from every other; true for one vertex and none."""
        root = list(range(self.n))
        parts = self.n
        for u, v in self.edges.tolist():
            while root[u] != u:
                root[u] = u = root[root[u]]
            while root[v] != v:
                root[v] = v = root[root[v]]
            if u != v:
                root[u] = v
                parts -= 1
        return parts <= 1

    def permute(self, perm: Any) -> Graph:
        """The relabelled graph in which vertex v has become perm[v]."""
        perm = np.asarray(perm)
        if perm.shape != (self.n,) or not np.array_equal(np.sort(perm), np.arange(self.n)):
            raise ValueError(f"`perm` must be a permutation of 0..{self.n - 1}, got shape {perm.shape}")
        return Graph.from_edges(self.n, perm.astype(np.int64)[self.edges])

    def graph6(self) -> str:
        """The graph6 line, without header and line end."""
        return graph6.encode(self.n, self.edges)

    def to_data(self) -> Data:
        """PyG Data: `x` ones (n, 1) float32, `edge_index` (2, 2m) int64 in both directions, sorted by destination."""
        import torch
        from torch_geometric.data import Data

        indptr, neighbours = self.csr()
        target = np.repeat(np.arange(self.n), np.diff(indptr))
        return Data(x=torch.ones(self.n, 1), edge_index=torch.from_numpy(np.stack([neighbours, target])))


def _integer_pairs(edges: Any) -> np.ndarray:
    edges = np.asarray(edges)
    if edges.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise ValueError(f"`edges` must have shape (m, 2), got {edges.shape}; transpose it?")
    if edges.dtype.kind not in "iu":
        raise TypeError(f"`edges` must be integers, got {edges.dtype}")
    return edges.astype(np.int64, copy=False)

"""The rows of a graph as compiled loops read them: bounds, other ends, edge ids, tiles. Remembered per edge index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from torch import Tensor

from graphgdl.ops.rows import Plan, Rows, plan

from .tiles import Tile

PIECE = 4096  # edges of a piece of a row, where rows are cut
_SPACES = {"E": None, "N": "dst", "S": "src", "D": "dst"}
AXES = {"src": 0, "dst": 1}


@dataclass(frozen=True, eq=False)
class Loops:
    """Arrays of one row loop: the header of a kernel, and bounds of parts that do not depend on the number of threads."""

    ptr: np.ndarray
    col: np.ndarray
    edge: np.ndarray
    rid: np.ndarray
    pos: np.ndarray
    first: int
    start: int
    stop: int
    load: int = field(init=False)
    """Number of edges and rows."""
    header: list[int] = field(init=False)
    """What a kernel takes first: addresses, and the first position of the tile."""
    _parts: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    _blocks: dict[int, tuple[np.ndarray, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = (self.ptr, self.col, self.edge, self.rid, self.pos)
        edges = int(self.ptr[self.stop] - self.ptr[self.start])
        object.__setattr__(self, "load", edges + self.stop - self.start)
        object.__setattr__(self, "header", [*(a.ctypes.data for a in arrays), self.first])

    def parts(self, count: int) -> list[tuple[int, int]]:
        """Return at most `count` ranges of rows with about equally many edges and rows in each."""
        if count == 1 and self.start < self.stop:
            return [(self.start, self.stop)]
        found = self._parts.get(count)
        if found is None:
            load = self.ptr[self.start : self.stop + 1] + np.arange(self.stop - self.start + 1)
            bounds = self.start + np.searchsorted(load, np.linspace(load[0], load[-1], count + 1))
            bounds[0], bounds[-1] = self.start, self.stop
            found = self._parts[count] = list(pairwise(np.unique(bounds).tolist()))
        return found

    @cached_property
    def cut(self) -> list[tuple[int, int]]:
        """The first piece and the last, exclusive, of each row that has several."""
        rows = np.flatnonzero(np.bincount(self.rid) > 1)
        return list(zip(*(np.searchsorted(self.rid, rows, side).tolist() for side in ("left", "right"))))

    def blocks(self, edges: int) -> tuple[np.ndarray, int]:
        """Return the row bounds of blocks of about so many edges, and the edges of the longest block."""
        found = self._blocks.get(edges)
        if found is None:
            ptr = self.ptr[self.start : self.stop + 1]
            number = (ptr[:-1] - ptr[0]) // edges
            bounds = np.append(np.flatnonzero(np.diff(number, prepend=-1)), len(number)) + self.start
            longest = int(np.diff(self.ptr[bounds]).max(initial=0))
            found = self._blocks[edges] = bounds.astype(np.int64), longest
        return found


class Topology:
    """One graph: numbers of nodes and edges, and its rows by either end, sorted when first asked for."""

    def __init__(self, edge_index: Tensor, num_src: int, num_dst: int) -> None:
        known = plan(edge_index)
        known.check(0, num_src)
        known.check(1, num_dst)
        self._plan: Plan = known
        self.num_edges = edge_index.size(1)
        self.sizes = {"src": num_src, "dst": num_dst}
        self._loops: dict[tuple[str, bool], Loops] = {}
        self._tiles: dict[tuple[str, int, bool], list[Tile]] = {}
        self._hubs: dict[str, bool] = {}

    def rows(self, space: str) -> int:
        """Return the number of rows of a space."""
        end = _SPACES[space]
        return self.num_edges if end is None else self.sizes[end]

    def has_hub(self, ends: Iterable[str] = AXES) -> bool:
        """Whether some node has so many edges at one of `ends` that its row would keep one thread busy alone."""
        if self.num_edges <= 4 * PIECE:
            return False
        for end in ends:
            if end not in self._hubs:
                longest = int(np.diff(self._sorted(end).ptr).max(initial=0))
                self._hubs[end] = longest > max(4 * PIECE, self.num_edges // 32)
        return any(self._hubs[end] for end in ends)

    def loops(self, end: str, pieces: bool = False) -> Loops:
        """Return the rows of one end, or pieces of rows of at most `PIECE` edges; `rid` says of which."""
        found = self._loops.get((end, pieces))
        if found is None:
            rows = self._sorted(end)
            empty = rows.ptr[:0]
            ptr, rid = _pieces(rows.ptr) if pieces else (rows.ptr, empty)
            found = Loops(ptr, rows.col, self._edges(rows), rid, empty, 0, 0, len(ptr) - 1)
            self._loops[end, pieces] = found
        return found

    def _sorted(self, end: str) -> Rows:
        rows = self._plan.rows(AXES[end], self.sizes[end])
        if rows.col.dtype != np.int32:
            raise ValueError("`edge_index` must hold less than 2**31 edges and nodes")
        return rows

    def _edges(self, rows: Rows) -> np.ndarray:
        return rows.edge if len(rows.edge) else np.arange(len(rows.col), dtype=np.int32)

    def tiles(self, end: str, size: int, pieces: bool = False) -> list[Tile]:
        """Cut the rows of `end`, or pieces of rows, into tiles of about `size` edges, each sorted by the other end too."""
        found = self._tiles.get((end, size, pieces))
        if found is None:
            found = self._tiles[end, size, pieces] = list(self._cut(end, size, pieces))
        return found

    def _cut(self, end: str, size: int, pieces: bool) -> Iterator[Tile]:
        whole, loops = self._sorted(end), self.loops(end, pieces)
        ptr, col, edge = loops.ptr, loops.col, loops.edge
        bounds = np.searchsorted(ptr, np.arange(size, len(col), size))
        bounds = np.unique([0, *bounds.tolist(), loops.stop])
        owner = np.repeat(np.arange(whole.num_rows, dtype=np.int32), np.diff(whole.ptr))
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
            first, last = int(ptr[start]), int(ptr[stop])
            order = np.argsort(col[first:last], kind="stable") + first
            rid, count = np.unique(col[order], return_counts=True)
            bound = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
            others = (owner[order], edge[order], rid.astype(np.int32), order.astype(np.int32))
            yield Tile(
                first,
                last,
                Loops(ptr, col, edge, loops.rid, loops.pos, first, start, stop),
                Loops(bound, *others, first, 0, len(rid)),
            )


def _pieces(ptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut rows into pieces: the bounds of the pieces, and the row of each; every row has one at least."""
    count = np.maximum(-(-np.diff(ptr) // PIECE), 1)
    rid = np.repeat(np.arange(len(count), dtype=np.int32), count)
    number = np.arange(len(rid)) - np.repeat(np.cumsum(count) - count, count)
    return np.append(ptr[rid] + number * PIECE, ptr[-1:]).astype(np.int64), rid


def topology(edge_index: Tensor, num_src: int, num_dst: int) -> Topology:
    """Return the topology of `edge_index`, made once per tensor and version (see `graphgdl.ops.rows.plan`)."""
    known = plan(edge_index)
    kept = known.derived
    found = kept.get((num_src, num_dst))
    if found is None:
        found = kept[num_src, num_dst] = Topology(edge_index, num_src, num_dst)
    return found

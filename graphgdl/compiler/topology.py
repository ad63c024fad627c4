"""The rows of a graph as compiled loops read them: bounds, other ends, edge ids, tiles. Remembered per edge index."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphgdl.ops.rows import Plan, Rows, plan

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
    parts: dict[int, list[int]] = field(default_factory=dict)

    def header(self) -> list[int]:
        """Return the addresses a kernel takes first."""
        arrays = (self.ptr, self.col, self.edge, self.rid, self.pos)
        return [*(a.ctypes.data for a in arrays), self.first]

    def cuts(self, count: int) -> list[int]:
        """Return at most `count` + 1 row bounds with about equally many edges and rows between them."""
        if count not in self.parts:
            load = self.ptr[self.start : self.stop + 1] + np.arange(self.stop - self.start + 1)
            bounds = self.start + np.searchsorted(load, np.linspace(load[0], load[-1], count + 1))
            bounds[0], bounds[-1] = self.start, self.stop
            self.parts[count] = np.unique(bounds).tolist()
        return self.parts[count]


@dataclass(frozen=True, eq=False)
class Tile:
    """Whole rows of the row end, and the same edges sorted by the other end; `ids` are their edge ids, None if in order."""

    first: int
    last: int
    rows: Loops
    others: Loops
    ids: Tensor | None


class Topology:
    """One graph: numbers of nodes and edges, and its rows by either end, sorted when first asked for."""

    def __init__(self, edge_index: Tensor, num_src: int, num_dst: int) -> None:
        known = plan(edge_index)
        known.check(0, num_src)
        known.check(1, num_dst)
        self._plan: Plan = known
        self.num_edges = edge_index.size(1)
        self.sizes = {"src": num_src, "dst": num_dst}
        self._loops: dict[str, Loops] = {}
        self._tiles: dict[tuple[str, int], list[Tile]] = {}

    def rows(self, space: str) -> int:
        """Return the number of rows of a space."""
        end = _SPACES[space]
        return self.num_edges if end is None else self.sizes[end]

    def loops(self, end: str) -> Loops:
        """Return the rows of one end."""
        found = self._loops.get(end)
        if found is None:
            rows = self._sorted(end)
            empty = rows.ptr[:0]
            found = Loops(rows.ptr, rows.col, self._edges(rows), empty, empty, 0, 0, rows.num_rows)
            found.header()
            self._loops[end] = found
        return found

    def _sorted(self, end: str) -> Rows:
        rows = self._plan.rows(AXES[end], self.sizes[end])
        if rows.col.dtype != np.int32:
            raise ValueError("`edge_index` must hold less than 2**31 edges and nodes")
        return rows

    def _edges(self, rows: Rows) -> np.ndarray:
        return rows.edge if len(rows.edge) else np.arange(len(rows.col), dtype=np.int32)

    def tiles(self, end: str, size: int) -> list[Tile]:
        """Cut the rows of `end` into tiles of about `size` edges, each sorted by the other end too."""
        found = self._tiles.get((end, size))
        if found is None:
            found = self._tiles[end, size] = list(self._cut(end, size))
        return found

    def _cut(self, end: str, size: int) -> Any:
        rows = self._sorted(end)
        edge = self._edges(rows)
        total = len(rows.col)
        bounds = np.searchsorted(rows.ptr, np.arange(size, total, size))
        bounds = np.unique([0, *bounds.tolist(), rows.num_rows])
        empty = rows.ptr[:0]
        owner = np.repeat(np.arange(rows.num_rows, dtype=np.int32), np.diff(rows.ptr))
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
            first, last = int(rows.ptr[start]), int(rows.ptr[stop])
            order = np.argsort(rows.col[first:last], kind="stable") + first
            others = rows.col[order]
            rid, count = np.unique(others, return_counts=True)
            ptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
            yield Tile(
                first,
                last,
                Loops(rows.ptr, rows.col, edge, empty, empty, first, start, stop),
                Loops(
                    ptr,
                    owner[order],
                    edge[order],
                    rid.astype(np.int32),
                    order.astype(np.int32),
                    first,
                    0,
                    len(rid),
                ),
                torch.from_numpy(edge[first:last]) if len(rows.edge) else None,
            )


def topology(edge_index: Tensor, num_src: int, num_dst: int) -> Topology:
    """Return the topology of `edge_index`, made once per tensor and version (see `graphgdl.ops.rows.plan`)."""
    known = plan(edge_index)
    kept = known.derived
    found = kept.get((num_src, num_dst))
    if found is None:
        found = kept[num_src, num_dst] = Topology(edge_index, num_src, num_dst)
    return found

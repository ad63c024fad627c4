"""The rows of a graph as kernels on a device read them, sorted there. Remembered per edge index.

The rows are dealt into lanes by their number of edges: short ones side by side, long ones one to a program, the longest
cut into pieces that are reduced a second time. Which lane a row gets depends on the graph alone, so sums are made in the
same order in each run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from .tiles import Tile

LONG = 32  # edges from which a row has a program for itself
PIECE = 2048  # edges of one piece of a row with more than twice as many
AXES = {"src": 0, "dst": 1}
_SPACES = {"N": "dst", "S": "src", "D": "dst"}


@dataclass(frozen=True, eq=False)
class Lanes:
    """Row (int32), first and last + 1 position of the edges of each lane; `long` if each takes a program."""

    row: Tensor
    begin: Tensor
    end: Tensor
    long: bool

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, eq=False)
class Hubs:
    """The rows that are cut: their pieces as lanes, the rows as lanes, and as the rows of a graph whose edges are pieces."""

    pieces: Lanes
    rows: Lanes
    joins: Loops


@dataclass(frozen=True, eq=False)
class Loops:
    """Arrays of one row loop: other end and edge id of each position, position in the tile's row order, lanes."""

    col: Tensor
    edge: Tensor
    pos: Tensor
    first: int
    lanes: list[Lanes]
    hubs: Hubs | None


class DeviceTopology:
    """One graph on the device of `edge_index` (2, e): numbers of nodes and edges, and its rows by either end.

    Raises:
        ValueError: an index lies outside its nodes, or the graph has 2**31 edges or nodes.
    """

    def __init__(self, edge_index: Tensor, num_src: int, num_dst: int) -> None:
        self.num_edges, self.device = edge_index.size(1), edge_index.device
        self.sizes = {"src": num_src, "dst": num_dst}
        if max(self.num_edges, num_src, num_dst) >= 2**31 - 1:
            raise ValueError("`edge_index` must hold less than 2**31 - 1 edges and nodes")
        if self.num_edges:
            low, high = (t.tolist() for t in edge_index.aminmax(dim=1))
            for axis, bound in enumerate((num_src, num_dst)):
                if low[axis] < 0 or high[axis] >= bound:
                    bad = low[axis] if low[axis] < 0 else high[axis]
                    raise ValueError(
                        f"`edge_index`[{axis}] ({('source', 'destination')[axis]}) must hold values in [0, {bound}), "
                        f"got {bad}; number the nodes from 0, or pass the right number of rows"
                    )
        self.ends = edge_index.to(torch.int32)  # a copy if anything: later changes make a new topology
        if self.ends is edge_index:
            self.ends = edge_index.clone()
        self._sorted: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        self._loops: dict[str, Loops] = {}
        self._tiles: dict[tuple[str, int], list[Tile]] = {}

    def rows(self, space: str) -> int:
        """Return the number of rows of a space."""
        return self.num_edges if space == "E" else self.sizes[_SPACES[space]]

    def loops(self, end: str) -> Loops:
        """Return the rows of one end."""
        found = self._loops.get(end)
        if found is None:
            ptr, col, edge = self._sort(end)
            row = torch.arange(self.sizes[end], dtype=torch.int32, device=self.device)
            lanes, hubs = dealt(row, ptr[:-1], ptr[1:])
            found = self._loops[end] = Loops(col, edge, edge, 0, lanes, hubs)
        return found

    def _sort(self, end: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return (ptr, col, edge), all int32."""
        found = self._sorted.get(end)
        if found is None:
            axis = AXES[end]
            key, edge = torch.sort(self.ends[axis], stable=True)
            ptr = torch.searchsorted(key, torch.arange(self.sizes[end] + 1, dtype=torch.int32, device=self.device))
            found = (ptr.int(), self.ends[1 - axis][edge], edge.int())
            self._sorted[end] = found
        return found

    def tiles(self, end: str, size: int) -> list[Tile]:
        """Cut the rows of `end` into tiles of about `size` edges, each sorted by the other end too."""
        found = self._tiles.get((end, size))
        if found is None:
            found = self._tiles[end, size] = self._cut(end, size)
        return found

    def _cut(self, end: str, size: int) -> list[Tile]:
        ptr, col, edge = self._sort(end)
        goals = torch.arange(size, max(self.num_edges, size), size, dtype=torch.int32, device=self.device)
        bounds = [0, *torch.searchsorted(ptr, goals).tolist(), self.sizes[end]]
        bounds = sorted(set(bounds))
        edges_at = ptr[bounds].tolist()
        row = torch.arange(self.sizes[end], dtype=torch.int32, device=self.device)
        owner = torch.repeat_interleave(row, ptr.diff().long())
        tiles = []
        for start, stop, first, last in zip(bounds, bounds[1:], edges_at, edges_at[1:]):
            lanes, hubs = dealt(row[start:stop], ptr[start:stop], ptr[start + 1 : stop + 1])
            rows = Loops(col, edge, edge, first, lanes, hubs)
            key, order = torch.sort(col[first:last], stable=True)
            order += first
            others, count = torch.unique_consecutive(key, return_counts=True)
            stops = count.cumsum(0).int()
            lanes, hubs = dealt(others, stops - count.int(), stops)
            tiles.append(
                Tile(
                    first,
                    last,
                    rows,
                    Loops(owner[order], edge[order], order.int(), first, lanes, hubs),
                    edge[first:last],
                )
            )
        return tiles


def dealt(row: Tensor, begin: Tensor, end: Tensor) -> tuple[list[Lanes], Hubs | None]:
    """Deal rows into lanes; neighbouring lanes have about equally many edges, and else keep the rows' order."""
    powers = [*(1 << k for k in range(LONG.bit_length()) if 1 << k < LONG), LONG, 2 * PIECE]
    kind = torch.bucketize(end - begin, torch.tensor(powers, device=row.device))
    kind, order = torch.sort(kind, stable=True)
    row, begin, end = row[order], begin[order], end[order]
    limits = torch.tensor([len(powers) - 1, len(powers)], device=row.device)
    short, cut = torch.searchsorted(kind, limits).tolist()
    lanes = [
        Lanes(row[a:b].clone(), begin[a:b].clone(), end[a:b].clone(), long)
        for a, b, long in ((0, short, False), (short, cut, True))
        if b > a
    ]
    if cut == len(row):
        return lanes, None
    row, begin, end = row[cut:].clone(), begin[cut:].clone(), end[cut:].clone()
    count = (end - begin + PIECE - 1) // PIECE
    ptr = torch.cat([count.new_zeros(1), count.cumsum(0).int()])
    lane = torch.repeat_interleave(torch.arange(len(row), device=row.device), count.long())
    start = begin[lane] + (torch.arange(len(lane), device=row.device).int() - ptr[lane]) * PIECE
    stop = torch.minimum(start + PIECE, end[lane])
    pieces = Lanes(row[lane], start.int(), stop.int(), True)
    ids = torch.arange(len(lane), dtype=torch.int32, device=row.device)
    joined = Lanes(ids[: len(row)].clone(), ptr[:-1].clone(), ptr[1:].clone(), True)
    return lanes, Hubs(pieces, Lanes(row, begin, end, False), Loops(ids, ids, ids, 0, [joined], None))


_known = WeakTensorKeyDictionary()


def device_topology(edge_index: Tensor, num_src: int, num_dst: int) -> DeviceTopology:
    """Return the topology of `edge_index`, made once per tensor and version.

    Changes made in place by torch are seen. Inference tensors have no version and are sorted in each call.
    """
    if edge_index.is_inference():
        return DeviceTopology(edge_index, num_src, num_dst)
    entry = _known.get(edge_index)
    if entry is None or entry[0] != edge_index._version:
        entry = _known[edge_index] = (edge_index._version, {})
    kept = entry[1]
    if (num_src, num_dst) not in kept:
        with torch.inference_mode(False):
            kept[num_src, num_dst] = DeviceTopology(edge_index, num_src, num_dst)
    return kept[num_src, num_dst]

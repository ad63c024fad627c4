"""Edges sorted into rows, remembered per `edge_index` tensor."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Edges grouped by one end (CSR over destinations, or over sources).

    Attributes:
        ptr: (num_rows + 1,) int64; row i owns positions ptr[i] to ptr[i + 1].
        col: (e,) the other end of the edge at each position; empty where rows come from a 1-D index.
        edge: (e,) the caller's edge id at each position; empty where the edges came sorted.
    """

    ptr: np.ndarray
    col: np.ndarray
    edge: np.ndarray
    _cuts: dict[int, list[int]] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.ptr) - 1

    def resize(self, num_rows: int) -> Rows:
        """Return the same edges with more empty rows, or fewer, at the end."""
        import numpy as np

        missing = max(num_rows - self.num_rows, 0)
        ptr = np.concatenate([self.ptr[: num_rows + 1], np.full(missing, self.ptr[-1])])
        return Rows(ptr, self.col, self.edge)

    def cuts(self, parts: int) -> list[int]:
        """Return at most `parts` + 1 ascending row bounds with about equally many edges between them."""
        if parts not in self._cuts:
            import numpy as np

            load = self.ptr + np.arange(len(self.ptr))
            bounds = np.searchsorted(load, np.linspace(0, load[-1], parts + 1))
            self._cuts[parts] = np.unique(bounds).tolist()
        return self._cuts[parts]


class Plan:
    """What is known of one index tensor: the range of each of its rows, and the sorted edges.

    A plan copies what it needs and holds neither the tensor nor its memory.
    """

    def __init__(self, index: Tensor, name: str) -> None:
        from .cpu.sort import scan

        keys = index.detach().numpy()
        self.name = name
        self.range = [scan(key) for key in (keys if keys.ndim == 2 else keys[None])]
        self._rows: dict[tuple[int, int], Rows] = {}

    def check(self, axis: int, bound: int) -> None:
        """Raise unless all entries of `index[axis]` lie in [0, bound)."""
        low, high, _ = self.range[axis]
        if low < 0 or high >= bound:
            bad = low if low < 0 else high
            part = "" if len(self.range) == 1 else f"[{axis}] ({('source', 'destination')[axis]})"
            raise ValueError(
                f"`{self.name}`{part} must hold values in [0, {bound}), got {bad}; "
                "number the nodes from 0, or pass the right number of rows"
            )

    def rows(self, index: Tensor, axis: int, num_rows: int) -> Rows:
        """Return the edges grouped by `index[axis]`, sorted at the first call."""
        rows = self._rows.get((axis, num_rows))
        if rows is None:
            sorted_once = next((r for (a, _), r in self._rows.items() if a == axis), None)
            rows = self._sort(index, axis, num_rows) if sorted_once is None else sorted_once.resize(num_rows)
            self._rows[axis, num_rows] = rows
        return rows

    def _sort(self, index: Tensor, axis: int, num_rows: int) -> Rows:
        import numpy as np

        from .cpu.sort import count, place

        keys = index.detach().numpy()
        key = keys if keys.ndim == 1 else keys[axis]
        other = key[:0] if keys.ndim == 1 else keys[1 - axis]
        largest = max(len(key), *(high for _, high, _ in self.range))
        small = np.int32 if largest <= np.iinfo(np.int32).max else np.int64
        ptr = np.empty(num_rows + 1, np.int64)
        count(key, ptr)
        if self.range[axis][2]:
            return Rows(ptr, other.astype(small), np.empty(0, small))
        edge = np.empty(len(key), small)
        place(key, ptr, edge)
        return Rows(ptr, other[edge].astype(small) if len(other) else other.astype(small), edge)


_plans: dict[int, tuple[weakref.ref[Tensor], int, Plan]] = {}


def plan(index: Tensor, name: str = "edge_index") -> Plan:
    """Return the plan of `index`, made at its first use and remembered as long as the tensor lives and stays the same.

    Args:
        index: (2, e) or (e,) integer tensor on the CPU.
        name: what to call it in an error.

    Changes made in place by torch are seen. Inference tensors have no version to see them by, so they are sorted in
    each call. A write through a NumPy array or another alias outside torch cannot be seen: clone the tensor instead.
    """
    if index.is_inference():
        return Plan(index, name)
    key, version = id(index), index._version
    entry = _plans.get(key)
    if entry is not None and entry[0]() is index and entry[1] == version:
        return entry[2]
    made = Plan(index, name)

    def forget(dead: Any) -> None:
        latest = _plans.get(key)
        if latest is not None and latest[0] is dead:
            del _plans[key]

    _plans[key] = (weakref.ref(index, forget), version, made)
    return made

"""Edges sorted into rows, remembered per `edge_index` tensor."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .cpu import sort


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
        missing = max(num_rows - self.num_rows, 0)
        ptr = np.concatenate([self.ptr[: num_rows + 1], np.full(missing, self.ptr[-1])])
        return Rows(ptr, self.col, self.edge)

    def cuts(self, parts: int) -> list[int]:
        """Return at most `parts` + 1 ascending row bounds with about equally many edges between them."""
        if parts not in self._cuts:
            load = self.ptr + np.arange(len(self.ptr))
            bounds = np.searchsorted(load, np.linspace(0, load[-1], parts + 1))
            self._cuts[parts] = np.unique(bounds).tolist()
        return self._cuts[parts]


class Plan:
    """What is known of one index tensor: the range of each of its rows, and the sorted edges.

    A plan copies the indices and checks the copy, so that a kernel reads nothing unchecked; it holds neither the
    tensor nor its memory.
    """

    def __init__(self, index: Tensor, name: str) -> None:
        if index.device.type != "cpu":
            raise ValueError(f"`{name}` must be on the CPU to be sorted there, got {index.device}; call `.cpu()`")
        values = index.detach().to(torch.int64).contiguous()
        values = values if values.dim() == 2 else values[None]
        self.name = name
        keys, self.range = sort.copy_and_scan(values)
        whole = len(self.range) == 2 and all(low >= 0 for low, _, _ in self.range)
        self._least = tuple(high + 1 for _, high, _ in self.range) if whole else None  # numbers of nodes
        too_large = max(values.size(1), *(high for _, high, _ in self.range)) >= 2**31
        self._keys = (values.clone() if too_large else keys).unbind()
        self._rows: dict[tuple[int, int], Rows] = {}
        self.derived: dict[Any, Any] = {}  # what others keep for as long as the plan

    def fits(self, num_src: int, num_dst: int) -> bool:
        """Return whether these are edges between so many nodes."""
        return self._least is not None and self._least[0] <= num_src and self._least[1] <= num_dst

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

    def rows(self, axis: int, num_rows: int) -> Rows:
        """Return the edges grouped by `index[axis]`, which `check` has passed; sorted at the first call."""
        rows = self._rows.get((axis, num_rows))
        if rows is None:
            sorted_once = next((r for (a, _), r in list(self._rows.items()) if a == axis), None)
            rows = self._sort(axis, num_rows) if sorted_once is None else sorted_once.resize(num_rows)
            self._rows[axis, num_rows] = rows
        return rows

    def _sort(self, axis: int, num_rows: int) -> Rows:
        key = self._keys[axis]
        other = self._keys[1 - axis] if len(self._keys) == 2 else key[:0]
        ptr = sort.count(key, num_rows)
        if self.range[axis][2]:
            return Rows(ptr, other.numpy(), key[:0].numpy())
        return Rows(ptr, *sort.place(key, other, ptr))


_plans: dict[int, tuple[weakref.ref[Tensor], int, Plan]] = {}


def plan(index: Tensor, name: str = "edge_index") -> Plan:
    """Return the plan of `index`, made at its first use and remembered as long as the tensor lives and stays the same.

    Args:
        index: (2, e) or (e,) integer tensor on the CPU.
        name: what to call it in an error.

    Changes made in place by torch are seen. Inference tensors have no version to see them by, so they are sorted in
    each call. A write through a NumPy array or another alias outside torch cannot be seen: clone the tensor instead.
    """
    known = seen(index)
    if known is not None:
        return known
    if index.is_inference():
        return Plan(index, name)
    key, version = id(index), index._version
    made = Plan(index, name)

    def forget(dead: Any) -> None:
        latest = _plans.get(key)
        if latest is not None and latest[0] is dead:
            _plans.pop(key, None)

    _plans[key] = (weakref.ref(index, forget), version, made)
    return made


def seen(index: Tensor) -> Plan | None:
    """Return the plan of `index` if one was made and the tensor is the same still."""
    entry = _plans.get(id(index))
    return entry[2] if entry is not None and entry[0]() is index and entry[1] == index._version else None

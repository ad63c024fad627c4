"""Stable counting sort of edges into rows, O(n + e), in LLVM IR: it comes before everything else, and starts at once."""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import addressof, c_int64
from functools import cache

import numpy as np
import torch
from torch import Tensor

from .machine_code import Function, compiled

_Words = c_int64 * 5

# copies int64 values to int32; the result is the least, the greatest, and whether they ascend
_SCAN = """\
define void @scan(ptr %arguments, i64 %start, i64 %stop, i64 %part) {
entry:
  %values = load ptr, ptr %arguments
  %copy.at = getelementptr i64, ptr %arguments, i64 1
  %copy = load ptr, ptr %copy.at
  %first = load i64, ptr %values
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %k.next, %loop ]
  %low = phi i64 [ %first, %entry ], [ %low.next, %loop ]
  %high = phi i64 [ %first, %entry ], [ %high.next, %loop ]
  %previous = phi i64 [ %first, %entry ], [ %value, %loop ]
  %ascending = phi i1 [ true, %entry ], [ %ascending.next, %loop ]
  %value.at = getelementptr i64, ptr %values, i64 %k
  %value = load i64, ptr %value.at
  %short = trunc i64 %value to i32
  %short.at = getelementptr i32, ptr %copy, i64 %k
  store i32 %short, ptr %short.at
  %low.next = call i64 @llvm.smin.i64(i64 %low, i64 %value)
  %high.next = call i64 @llvm.smax.i64(i64 %high, i64 %value)
  %up = icmp sge i64 %value, %previous
  %ascending.next = and i1 %ascending, %up
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k.next, %stop
  br i1 %more, label %loop, label %end, !llvm.loop !0
end:
  store i64 %low.next, ptr %arguments
  store i64 %high.next, ptr %copy.at
  %wide = zext i1 %ascending.next to i64
  %ascending.at = getelementptr i64, ptr %arguments, i64 2
  store i64 %wide, ptr %ascending.at
  ret void
}
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
!0 = distinct !{!0, !1}
!1 = !{!"llvm.loop.vectorize.enable", i1 true}
"""

# entry %k, of row %row, takes position %slot; KEY is the type of keys and entries
_PLACE = """\
define void @place(ptr %arguments, i64 %start, i64 %stop, i64 %part) {
entry:
  %key = load ptr, ptr %arguments
  %slots.at = getelementptr i64, ptr %arguments, i64 1
  %slots = load ptr, ptr %slots.at
  %edge.at = getelementptr i64, ptr %arguments, i64 2
  %edge = load ptr, ptr %edge.at
  %other.at = getelementptr i64, ptr %arguments, i64 3
  %other = load ptr, ptr %other.at
  %col.at = getelementptr i64, ptr %arguments, i64 4
  %col = load ptr, ptr %col.at
  %any = icmp sgt i64 %stop, 0
  br i1 %any, label %loop, label %end
loop:
  %k = phi i64 [ 0, %entry ], [ %k.next, %loop ]
  %row.at = getelementptr KEY, ptr %key, i64 %k
  %row.short = load KEY, ptr %row.at
  %row = WIDEN KEY %row.short to i64
  %slot.at = getelementptr i64, ptr %slots, i64 %row
  %slot = load i64, ptr %slot.at
  %slot.next = add i64 %slot, 1
  store i64 %slot.next, ptr %slot.at
WRITE
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k.next, %stop
  br i1 %more, label %loop, label %end
end:
  ret void
}
"""
_EDGE = """\
  %id = NARROW i64 %k to KEY
  %id.at = getelementptr KEY, ptr %edge, i64 %slot
  store KEY %id, ptr %id.at
"""
_COL = """\
  %end.from = getelementptr KEY, ptr %other, i64 %k
  %end.value = load KEY, ptr %end.from
  %end.to = getelementptr KEY, ptr %col, i64 %slot
  store KEY %end.value, ptr %end.to
"""


def copy_and_scan(values: Tensor) -> tuple[Tensor, list[tuple[int, int, bool]]]:
    """Copy int64 values (k, e) to int32; return for each row the least, the greatest, and whether it ascends.

    Without values these are (0, -1, True).
    """
    keys = torch.empty(values.shape, dtype=torch.int32)
    rows, size = values.shape
    if not size:
        return keys, [(0, -1, True)] * rows
    source, copy, found = values.data_ptr(), keys.data_ptr(), []
    for row in range(rows):
        low, high, ascending, *_ = _run(_scan(), size, source + 8 * row * size, copy + 4 * row * size)
        found.append((low, high, bool(ascending)))
    return keys, found


def count(key: Tensor, num_rows: int) -> np.ndarray:
    """Return where the rows begin and end once the keys are sorted, int64 (num_rows + 1,)."""
    ptr = torch.zeros(num_rows + 1, dtype=torch.int64)
    _run(_loop(key.dtype, ""), len(key), key.data_ptr(), ptr.data_ptr() + ptr.element_size())
    bounds = ptr.numpy()
    return np.cumsum(bounds, out=bounds)


def place(key: Tensor, other: Tensor, ptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the `other` ends, none if there are none, and the entries in row order, equal keys in the caller's order."""
    slots, edge, col = torch.from_numpy(ptr.copy()), torch.empty_like(key), torch.empty_like(other)
    write = _loop(key.dtype, _EDGE + _COL if len(other) else _EDGE)
    _run(write, len(key), key.data_ptr(), slots.data_ptr(), edge.data_ptr(), other.data_ptr(), col.data_ptr())
    return col.numpy(), edge.numpy()


def _run(function: Function, stop: int, *words: int) -> Iterable[int]:
    arguments = _Words(*words)
    function(addressof(arguments), 0, stop, 0)
    return arguments


@cache
def _scan() -> Function:
    return compiled(_SCAN, ["scan"])[0]


@cache
def _loop(dtype: torch.dtype, write: str) -> Function:
    text = _PLACE.replace("WRITE\n", write)
    kinds = ("i32", "zext", "trunc") if dtype == torch.int32 else ("i64", "bitcast", "bitcast")
    for name, kind in zip(("KEY", "WIDEN", "NARROW"), kinds):
        text = text.replace(name, kind)
    return compiled(text, ["place"])[0]

"""Stable counting sort of edges into rows, O(n + e)."""

from __future__ import annotations

from typing import Any

from .jit import jit


@jit
def copy_and_scan(key: Any, copy: Any) -> tuple[int, int, bool]:
    """Copy the keys; return the least, the greatest, and whether they ascend; (0, -1, True) without keys."""
    if key.shape[0] == 0:
        return 0, -1, True
    low = high = previous = key[0]
    ascending = True
    for k in range(key.shape[0]):
        value = key[k]
        copy[k] = value
        low = min(low, value)
        high = max(high, value)
        ascending = ascending and value >= previous
        previous = value
    return low, high, ascending


@jit
def count(key: Any, ptr: Any) -> None:
    """Turn the zeros in `ptr` (rows + 1) into bounds: row i owns positions ptr[i] to ptr[i + 1]."""
    for k in range(key.shape[0]):
        ptr[key[k] + 1] += 1
    for i in range(1, ptr.shape[0]):
        ptr[i] += ptr[i - 1]


@jit
def place(key: Any, other: Any, ptr: Any, edge: Any, col: Any) -> None:
    """Fill `edge` with edge ids and `col` with their `other` ends in row order, equal keys in the caller's order."""
    slot = ptr.copy()
    paired = other.shape[0] > 0
    for k in range(key.shape[0]):
        row = key[k]
        position = slot[row]
        slot[row] = position + 1
        edge[position] = k
        if paired:
            col[position] = other[k]

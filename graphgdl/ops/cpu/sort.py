"""Stable counting sort of edges into rows, O(n + e)."""

from __future__ import annotations

from typing import Any

from .jit import jit


@jit
def scan(key: Any) -> tuple[int, int, bool]:
    """Return the least key, the greatest key, and whether the keys ascend; (0, -1, True) without keys."""
    if key.shape[0] == 0:
        return 0, -1, True
    low = high = previous = key[0]
    ascending = True
    for k in range(key.shape[0]):
        value = key[k]
        low = min(low, value)
        high = max(high, value)
        ascending = ascending and value >= previous
        previous = value
    return low, high, ascending


@jit
def count(key: Any, ptr: Any) -> None:
    """Fill `ptr` (rows + 1) so that row i owns positions ptr[i] to ptr[i + 1]."""
    ptr[:] = 0
    for k in range(key.shape[0]):
        ptr[key[k] + 1] += 1
    for i in range(1, ptr.shape[0]):
        ptr[i] += ptr[i - 1]


@jit
def place(key: Any, ptr: Any, edge: Any) -> None:
    """Fill `edge` with the edge ids in row order, equal keys in the caller's order."""
    slot = ptr.copy()
    for k in range(key.shape[0]):
        row = key[k]
        edge[slot[row]] = k
        slot[row] += 1

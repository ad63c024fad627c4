"""Row sums: each kernel owns rows `start` to `stop`, adds in row order, and writes nothing else.

`ptr` bounds the rows, `col` holds the neighbour and `edge` the caller's edge id of each position; an empty `edge`
means that positions are edge ids.
"""

from __future__ import annotations

from typing import Any

from .jit import AHEAD, jit, prefetch


@jit
def gather_sum(out: Any, x: Any, ptr: Any, col: Any, start: int, stop: int) -> None:
    """Sum the neighbours of each row: out (n, c), x (m, c)."""
    channels = x.shape[1]
    last = ptr[stop] - 1
    for i in range(start, stop):
        out[i] = 0
        for k in range(ptr[i], ptr[i + 1]):
            j = col[k]
            prefetch(x, col[min(k + AHEAD, last)])
            for b in range(channels):
                out[i, b] += x[j, b]


@jit
def weighted_gather_sum(out: Any, x: Any, w: Any, ptr: Any, col: Any, edge: Any, start: int, stop: int) -> None:
    """Sum the weighted neighbours of each row: out (n, h, c), x (m, h, c), w (e, h)."""
    heads, channels = x.shape[1], x.shape[2]
    ordered = edge.shape[0] == 0
    last = ptr[stop] - 1
    for i in range(start, stop):
        out[i] = 0
        for k in range(ptr[i], ptr[i + 1]):
            j = col[k]
            prefetch(x, col[min(k + AHEAD, last)])
            e = k if ordered else edge[k]
            for a in range(heads):
                s = w[e, a]
                for b in range(channels):
                    out[i, a, b] += s * x[j, a, b]


@jit
def edge_dot(out: Any, x: Any, y: Any, ptr: Any, col: Any, edge: Any, start: int, stop: int) -> None:
    """Dot the two ends of each edge: out (e, h), x (m, h, c) at the neighbour, y (n, h, c) at the row."""
    heads, channels = x.shape[1], x.shape[2]
    ordered = edge.shape[0] == 0
    last = ptr[stop] - 1
    for i in range(start, stop):
        for k in range(ptr[i], ptr[i + 1]):
            j = col[k]
            prefetch(x, col[min(k + AHEAD, last)])
            e = k if ordered else edge[k]
            for a in range(heads):
                total = x.dtype.type(0)
                for b in range(channels):
                    total += x[j, a, b] * y[i, a, b]
                out[e, a] = total


@jit
def segment_sum(out: Any, src: Any, ptr: Any, edge: Any, start: int, stop: int) -> None:
    """Sum the entries of each row: out (n, c), src (e, c)."""
    channels = src.shape[1]
    ordered = edge.shape[0] == 0
    for i in range(start, stop):
        out[i] = 0
        for k in range(ptr[i], ptr[i + 1]):
            e = k if ordered else edge[k]
            for b in range(channels):
                out[i, b] += src[e, b]

"""Row extremes: the edge id of each row's greatest or least value, -1 in an empty row.

Of equal values the first in row order wins, which is the smallest edge id; nan wins over every number, as in torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import jit


@jit
def _wins(value: Any, best: Any, largest: bool) -> bool:
    better = value > best if largest else value < best
    return better or (value != value and best == best)


@jit
def gather_arg(arg: Any, x: Any, ptr: Any, col: Any, edge: Any, largest: bool, start: int, stop: int) -> None:
    """Find the extreme neighbour of each row: arg (n, c), x (m, c)."""
    channels = x.shape[1]
    ordered = edge.shape[0] == 0
    best = np.empty(channels, x.dtype)
    for i in range(start, stop):
        arg[i] = -1
        for k in range(ptr[i], ptr[i + 1]):
            j = col[k]
            e = k if ordered else edge[k]
            first = k == ptr[i]
            for b in range(channels):
                value = x[j, b]
                if first or _wins(value, best[b], largest):
                    best[b] = value
                    arg[i, b] = e


@jit
def weighted_gather_arg(
    arg: Any, x: Any, w: Any, ptr: Any, col: Any, edge: Any, largest: bool, start: int, stop: int
) -> None:
    """Find the extreme weighted neighbour of each row: arg (n, h, c), x (m, h, c), w (e, h)."""
    heads, channels = x.shape[1], x.shape[2]
    ordered = edge.shape[0] == 0
    best = np.empty((heads, channels), x.dtype)
    for i in range(start, stop):
        arg[i] = -1
        for k in range(ptr[i], ptr[i + 1]):
            j = col[k]
            e = k if ordered else edge[k]
            first = k == ptr[i]
            for a in range(heads):
                s = w[e, a]
                for b in range(channels):
                    value = s * x[j, a, b]
                    if first or _wins(value, best[a, b], largest):
                        best[a, b] = value
                        arg[i, a, b] = e


@jit
def segment_arg(arg: Any, src: Any, ptr: Any, edge: Any, largest: bool, start: int, stop: int) -> None:
    """Find the extreme entry of each row: arg (n, c), src (e, c)."""
    channels = src.shape[1]
    ordered = edge.shape[0] == 0
    best = np.empty(channels, src.dtype)
    for i in range(start, stop):
        arg[i] = -1
        for k in range(ptr[i], ptr[i + 1]):
            e = k if ordered else edge[k]
            first = k == ptr[i]
            for b in range(channels):
                value = src[e, b]
                if first or _wins(value, best[b], largest):
                    best[b] = value
                    arg[i, b] = e

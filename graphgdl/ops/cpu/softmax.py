"""Softmax over the entries of each row, in three sweeps of the row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .jit import jit


@jit
def segment_softmax(out: Any, src: Any, ptr: Any, edge: Any, start: int, stop: int) -> None:
    """Normalise exp(src) within each row and channel: out (e, c), src (e, c)."""
    channels = src.shape[1]
    ordered = edge.shape[0] == 0
    peak = np.empty(channels, src.dtype)
    total = np.empty(channels, src.dtype)
    for i in range(start, stop):
        total[:] = 0
        for k in range(ptr[i], ptr[i + 1]):
            e = k if ordered else edge[k]
            first = k == ptr[i]
            for b in range(channels):
                value = src[e, b]
                if first or value > peak[b] or value != value:
                    peak[b] = value
        for k in range(ptr[i], ptr[i + 1]):
            e = k if ordered else edge[k]
            for b in range(channels):
                value = math.exp(src[e, b] - peak[b])
                out[e, b] = value
                total[b] += value
        for k in range(ptr[i], ptr[i + 1]):
            e = k if ordered else edge[k]
            for b in range(channels):
                out[e, b] /= total[b]

"""Softmax over the entries of each row."""

from __future__ import annotations

from functools import cache

import numpy as np

from .machine_code import Function, compiled
from .row_code import Type, Vector
from .row_kernel import TYPES, blocks, key_of, run_rows
from .softmax_code import softmax

_VECTORS = 4  # peaks and sums that stay in registers: more take another walk over the rows


def segment_softmax(out: np.ndarray, src: np.ndarray, ptr: np.ndarray, edge: np.ndarray, start: int, stop: int) -> None:
    """Normalise exp(src) within each row and channel: out (e, c), src (e, c)."""
    channels = src.shape[1]
    for offset, _, vectors in blocks(1, channels, src.itemsize, _VECTORS):
        function = _function(TYPES[src.dtype], key_of(edge), len(edge) > 0, vectors)
        arrays = ((out, offset), (src, offset), (src, 0), (ptr, 0), (edge, 0), (edge, 0))
        run_rows(function, arrays, channels, 1, start, stop)


@cache
def _function(element: Type, key: str, permuted: bool, vectors: tuple[Vector, ...]) -> Function:
    return compiled(softmax(element, key, permuted, vectors), ["rows"])[0]

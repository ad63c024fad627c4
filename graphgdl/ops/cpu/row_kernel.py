"""Call a function of `row_code` with NumPy arrays, block by block of features."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from ctypes import addressof, c_char
from functools import cache

import numpy as np

from .machine_code import Function, register_bits
from .row_code import IDS, Type, Vector

TYPES = {
    np.dtype(np.float32): Type("float", "f32", 4),
    np.dtype(np.float64): Type("double", "f64", 8),
    np.dtype(np.int64): IDS,
}


def key_of(col: np.ndarray) -> str:
    """Return the type of ids."""
    return f"i{8 * col.itemsize}"


@cache
def blocks(heads: int, channels: int, itemsize: int, most: int) -> list[tuple[int, int, tuple[Vector, ...]]]:
    """Cut the features into vectors of one head each, at most `most` in a block: its first feature and head, and they."""
    lanes = register_bits() // (8 * itemsize)
    starts = [(head, at) for head in range(heads) for at in range(0, channels, lanes)]
    found = []
    for k in range(0, len(starts), most):
        first, offset = starts[k][0], starts[k][0] * channels + starts[k][1]
        vectors = (
            Vector(head * channels + at - offset, min(lanes, channels - at), head - first, at > 0)
            for head, at in starts[k : k + most]
        )
        found.append((offset, first, tuple(vectors)))
    return found


def run_rows(
    function: Function, arrays: Sequence[tuple[np.ndarray, int]], stride: int, heads: int, start: int, stop: int
) -> None:
    """Run over the rows; each array begins so many elements later."""
    (ptr, _), addresses = arrays[3], (_address(a) + first * a.itemsize for a, first in arrays)
    table = array("q", [*addresses, stride, heads, int(ptr[stop]) - 1])
    function(table.buffer_info()[0], start, stop, 0)


def _address(a: np.ndarray) -> int:
    """Return where the entries lie: `a.ctypes.data`, at a third of the time."""
    return addressof(c_char.from_buffer(a)) if a.size else 0  # type: ignore[arg-type]

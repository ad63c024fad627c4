"""Row sums, and dot products of the two ends of each edge.

Each kernel owns rows `start` to `stop`, adds in row order, and writes nothing else. `ptr` bounds the rows, `col` holds
the neighbour and `edge` the caller's edge id of each position; an empty `edge` means that positions are edge ids.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache

import numpy as np

from . import sums_code
from .machine_code import Function, compiled, register_bits
from .sums_code import Type, Vector

_TYPES = {
    np.dtype(np.float32): Type("float", "f32", 4),
    np.dtype(np.float64): Type("double", "f64", 8),
    np.dtype(np.int64): Type("i64", "i64", 8),
}
_SUMS = 8  # registers that hold sums at a time: more features take another walk over the rows
_FACTORS = 64  # registers of a row that one walk multiplies


def gather_sum(out: np.ndarray, x: np.ndarray, ptr: np.ndarray, col: np.ndarray, start: int, stop: int) -> None:
    """Sum the neighbours of each row: out (n, c), x (m, c)."""
    _sum(out[:, None], x[:, None], None, ptr, col, col[:0], start, stop)


def segment_sum(out: np.ndarray, src: np.ndarray, ptr: np.ndarray, edge: np.ndarray, start: int, stop: int) -> None:
    """Sum the entries of each row: out (n, c), src (e, c)."""
    _sum(out[:, None], src[:, None], None, ptr, edge, edge[:0], start, stop)


def weighted_gather_sum(
    out: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    ptr: np.ndarray,
    col: np.ndarray,
    edge: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Sum the weighted neighbours of each row: out (n, h, c), x (m, h, c), w (e, h)."""
    _sum(out, x, w, ptr, col, edge, start, stop)


def edge_dot(
    out: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    ptr: np.ndarray,
    col: np.ndarray,
    edge: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Dot the two ends of each edge: out (e, h), x (m, h, c) at the neighbour, y (n, h, c) at the row."""
    _, heads, channels = x.shape
    for offset, head, vectors in _blocks(heads, channels, x.itemsize, _FACTORS):
        function = _dot(_TYPES[x.dtype], _key(col), len(edge) > 0, vectors)
        arrays = ((out, head), (x, offset), (y, offset), (ptr, 0), (col, 0), (edge, 0))
        _run(function, arrays, heads * channels, heads, start, stop)


def _sum(
    out: np.ndarray,
    x: np.ndarray,
    w: np.ndarray | None,
    ptr: np.ndarray,
    col: np.ndarray,
    edge: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Sum the rows `col` of x, those of the positions themselves if it is empty, with weights if there are some."""
    _, heads, channels = x.shape
    if w is None:
        heads, channels = 1, heads * channels
    for offset, head, vectors in _blocks(heads, channels, x.itemsize, _SUMS):
        function = _summed(_TYPES[x.dtype], _key(col), len(col) > 0, w is not None, len(edge) > 0, vectors)
        weights = (x, 0) if w is None else (w, head)
        arrays = ((out, offset), (x, offset), weights, (ptr, 0), (col, 0), (edge, 0))
        _run(function, arrays, heads * channels, heads, start, stop)


def _key(col: np.ndarray) -> str:
    return f"i{8 * col.itemsize}"


@cache
def _blocks(heads: int, channels: int, itemsize: int, most: int) -> list[tuple[int, int, tuple[Vector, ...]]]:
    """Cut the features into vectors of one head each, at most `most` in a block: its first feature and head, and they."""
    lanes = register_bits() // (8 * itemsize)
    starts = [(head, at) for head in range(heads) for at in range(0, channels, lanes)]
    blocks = []
    for k in range(0, len(starts), most):
        first, offset = starts[k][0], starts[k][0] * channels + starts[k][1]
        vectors = (
            Vector(head * channels + at - offset, min(lanes, channels - at), head - first, at > 0)
            for head, at in starts[k : k + most]
        )
        blocks.append((offset, first, tuple(vectors)))
    return blocks


@cache
def _summed(
    element: Type, key: str, indexed: bool, weighted: bool, permuted: bool, vectors: tuple[Vector, ...]
) -> Function:
    text = sums_code.row_sum(element, key, indexed, weighted, permuted, vectors)
    return compiled(text, ["rows"])[0]


@cache
def _dot(element: Type, key: str, permuted: bool, vectors: tuple[Vector, ...]) -> Function:
    return compiled(sums_code.edge_dot(element, key, permuted, vectors), ["rows"])[0]


def _run(
    function: Function, arrays: Sequence[tuple[np.ndarray, int]], stride: int, heads: int, start: int, stop: int
) -> None:
    """Run over the rows; each array begins so many elements later."""
    (ptr, _), addresses = arrays[3], (a.ctypes.data + first * a.itemsize for a, first in arrays)
    table = array("q", [*addresses, stride, heads, int(ptr[stop]) - 1])
    function(table.buffer_info()[0], start, stop, 0)

"""Row sums and row extremes, and dot products of the two ends of each edge.

Each kernel owns rows `start` to `stop`, adds in row order, and writes nothing else. `ptr` bounds the rows, `col` holds
the neighbour and `edge` the caller's edge id of each position; an empty `edge` means that positions are edge ids.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from . import reductions_code
from .machine_code import Function, compiled
from .row_code import Type, Vector
from .row_kernel import TYPES, blocks, key_of, run_rows

_RESULTS = {"sum": 8, "greatest": 4, "least": 4}  # vectors that stay in registers: more take another walk over the rows
_FACTORS = 64  # registers of a row that one walk multiplies


def gather(
    op: str,
    out: np.ndarray,
    x: np.ndarray,
    w: np.ndarray | None,
    ptr: np.ndarray,
    col: np.ndarray,
    edge: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Reduce the neighbours of each row, weighted if there are weights: out (n, h, c), x (m, h, c), w (e, h).

    `op` is 'sum', or 'greatest' or 'least': then out holds the edge id where the value is, -1 in an empty row. Of equal
    values the first in row order wins, which is the smallest edge id; nan wins over every number, as in torch. Without
    columns `col` the rows of x are those of the positions.
    """
    _, heads, channels = x.shape
    permuted = len(edge) > 0 and (w is not None or op != "sum")
    for offset, head, vectors in blocks(heads, channels, x.itemsize, _RESULTS[op]):
        function = _reduction(op, TYPES[x.dtype], key_of(col), len(col) > 0, w is not None, permuted, vectors)
        weights = (x, 0) if w is None else (w, head)
        arrays = ((out, offset), (x, offset), weights, (ptr, 0), (col, 0), (edge, 0))
        run_rows(function, arrays, heads * channels, heads, start, stop)


def segment(
    op: str, out: np.ndarray, src: np.ndarray, ptr: np.ndarray, edge: np.ndarray, start: int, stop: int
) -> None:
    """Reduce the entries of each row: out (n, c), src (e, c)."""
    gather(op, out[:, None], src[:, None], None, ptr, edge, edge, start, stop)


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
    for offset, head, vectors in blocks(heads, channels, x.itemsize, _FACTORS):
        function = _dot(TYPES[x.dtype], key_of(col), len(edge) > 0, vectors)
        arrays = ((out, head), (x, offset), (y, offset), (ptr, 0), (col, 0), (edge, 0))
        run_rows(function, arrays, heads * channels, heads, start, stop)


@cache
def _reduction(
    op: str, element: Type, key: str, indexed: bool, weighted: bool, permuted: bool, vectors: tuple[Vector, ...]
) -> Function:
    text = reductions_code.reduction(op, element, key, indexed, weighted, permuted, vectors)
    return compiled(text, ["rows"])[0]


@cache
def _dot(element: Type, key: str, permuted: bool, vectors: tuple[Vector, ...]) -> Function:
    return compiled(reductions_code.edge_dot(element, key, permuted, vectors), ["rows"])[0]

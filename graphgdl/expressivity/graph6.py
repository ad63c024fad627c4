"""graph6, the text format of B. McKay's nauty: one simple graph in one line of printable ASCII.

Every byte holds six bits, offset by 63. First the order n (1, 4 or 8 bytes, the shortest that fits), then the upper
triangle of the adjacency matrix column by column, (0,1), (0,2), (1,2), (0,3), ..., padded with zeros: the pair u < v
is bit v(v-1)/2 + u. Reading is strict: a line that nauty would not have written is refused, not repaired.

Source: B. D. McKay, "Description of graph6, sparse6 and digraph6 encodings" (formats.txt of nauty).
"""

from __future__ import annotations

import numpy as np

HEADER = ">>graph6<<"
MAX_ORDER = 2**36 - 1


def encode(n: int, edges: np.ndarray) -> str:
    """The graph6 line of the graph on `n` vertices with `edges` (m, 2), u < v; no header, no line end.

    >>> encode(5, np.array([[0, 2], [0, 4], [1, 3], [3, 4]]))
    'DQc'
    """
    order = _order_values(n)
    u, v = np.asarray(edges, dtype=np.int64).reshape(-1, 2).T
    position = v * (v - 1) // 2 + u
    values = np.zeros(_body_length(n), dtype=np.uint8)
    np.bitwise_or.at(values, position // 6, np.left_shift(1, 5 - position % 6).astype(np.uint8))
    return ((order + 63).tobytes() + (values + 63).tobytes()).decode("ascii")


def decode(text: str | bytes) -> tuple[int, np.ndarray]:
    """Order and edges (m, 2) int64, u < v, sorted, of one graph6 line; the header and a line end are accepted.

    Raises:
        ValueError: empty line, sparse6 or digraph6, a byte outside 63..126, an order not in its shortest form, a body
            too short or too long, padding bits that are not zero.

    >>> n, edges = decode(">>graph6<<DQc")
    >>> n, edges.tolist()
    (5, [[0, 2], [0, 4], [1, 3], [3, 4]])
    """
    try:
        raw = text.encode("ascii") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"graph6: bytes must lie in 63..126, got {text[error.start]!r} at {error.start}") from None
    raw = raw.rstrip(b"\r\n").removeprefix(HEADER.encode())
    if not raw:
        raise ValueError("graph6: expected a graph, got an empty line")
    if raw[:1] in (b":", b"&") or raw[:2] == b">>":
        raise ValueError(f"graph6: got {raw[:12]!r}..., which is another format; convert it with nauty's copyg -g")
    values = np.frombuffer(raw, dtype=np.uint8) - np.uint8(63)  # wraps around below 63
    if (bad := np.flatnonzero(values > 63)).size:
        raise ValueError(f"graph6: bytes must lie in 63..126, got {raw[bad[0]]} at position {bad[0]}")
    n, start = _read_order(values)
    body = values[start:]
    if body.size != (length := _body_length(n)):
        raise ValueError(f"graph6: order {n} needs {length} bytes of adjacency, got {body.size}")
    filled = np.flatnonzero(body)
    bits = np.unpackbits(body[filled][:, None], axis=1)[:, 2:]
    row, column = np.nonzero(bits)
    position = filled[row] * 6 + column
    if position.size and position[-1] >= n * (n - 1) // 2:
        raise ValueError(f"graph6: padding bits of order {n} must be zero, got bit {position[-1]} set")
    v = (1 + np.sqrt(1 + 8.0 * position)).astype(np.int64) // 2  # the floor is exact while n < 2^25
    u = position - v * (v - 1) // 2
    order = np.lexsort((v, u))
    return n, np.stack([u[order], v[order]], axis=1)


def _body_length(n: int) -> int:
    return (n * (n - 1) // 2 + 5) // 6


def _order_values(n: int) -> np.ndarray:
    """The six-bit values that spell the order `n`."""
    if not 0 <= n <= MAX_ORDER:
        raise ValueError(f"graph6: the order must lie in 0..{MAX_ORDER}, got {n}")
    if n <= 62:
        digits, mark = 1, 0
    elif n <= 258047:
        digits, mark = 3, 1
    else:
        digits, mark = 6, 2
    return np.array([63] * mark + [n >> 6 * (digits - 1 - i) & 63 for i in range(digits)], dtype=np.uint8)


def _read_order(values: np.ndarray) -> tuple[int, int]:
    """Order and the number of values that spelt it."""
    if values[0] != 63:
        return int(values[0]), 1
    start, stop, least = (1, 4, 63) if values[1:2].tolist() != [63] else (2, 8, 258048)
    if values.size < stop:
        raise ValueError(f"graph6: the order is cut off, expected {stop} bytes, got {values.size}")
    n = 0
    for value in values[start:stop].tolist():
        n = n << 6 | value
    if n < least:
        raise ValueError(f"graph6: order {n} must be written in its shortest form, got {stop} bytes")
    return n, stop

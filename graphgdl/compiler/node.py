"""The values of a loop program: nodes of a closed op set, and what can be told of them.

A value lives in a space: `E` (one row per edge), `S` or `D` (one row per source or destination node; both are `N` where
the graph is square), or `C` (no rows: parameters and constants). Its `shape` counts the features of one row. Only
`gather` and `reduce` move data between edges and nodes; each is the other's adjoint, so derivatives of a program are
programs. `total` and `mmt` sum over rows into constants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


def _names(text: str) -> list[str]:
    return text.split()


POINTWISE = {
    **dict.fromkeys(
        _names("neg exp log log1p expm1 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh sigmoid erf"), 1
    ),
    **dict.fromkeys(_names("abs sign floor not cast stop"), 1),
    **dict.fromkeys(_names("add sub mul div maximum minimum pow atan2 lt le eq ne gt ge and or"), 2),
    "where": 3,
}
COMPARISONS = set(_names("lt le eq ne gt ge and or not"))
HEAVY = set(_names("exp log log1p expm1 sin cos tan asin acos atan sinh cosh tanh sigmoid erf pow atan2"))
REDUCTIONS = ("reduce", "rmax", "rarg")
SUMS_TO_CONSTANT = ("total", "mmt")


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One value of a program; see `Program` for what each op means."""

    op: str
    args: tuple[Node, ...]
    attr: Any
    space: str
    shape: Shape
    dtype: str
    id: int

    @property
    def numel(self) -> int:
        """Number of features in one row."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        args = " ".join(f"%{a.id}" for a in self.args)
        attr = "" if self.attr is None else f" {self.attr}"
        return f"%{self.id} = {self.op} {args}{attr} : {self.space}{list(self.shape)} {self.dtype}"


def is_zero(x: Node) -> bool:
    """Whether `x` is 0 everywhere by construction."""
    if x.op in ("expand", "view"):
        return is_zero(x.args[0])
    return x.op == "const" and x.attr == 0


def is_tiled(x: Node) -> bool:
    """Whether `x` is a product per edge that is too large to be made in a row loop."""
    return x.space == "E" and x.op == "mm" and x.attr != "inline"


def is_factor(x: Node, of: Node) -> bool:
    """Whether one number of `x` serves many features of `of`: cheaper to read at each edge than to multiply in before."""
    return 16 * (x.args[0] if x.op == "expand" else x).numel <= of.numel


def hoistable(x: Node) -> bool:
    """Whether a product with `x` can be made per node, or need not be made."""
    return x.op == "gather" or is_zero(x) or (x.op in ("add", "sub") and all(hoistable(a) for a in x.args))


def covers(args: Sequence[Node]) -> bool:
    """Whether the first of two arguments adds neither rows nor features to the second."""
    first, second = args
    return broadcast(first.shape, second.shape) == second.shape and join(args) == second.space


def broadcast(*shapes: Shape) -> Shape:
    """Return the common shape, aligned at the right."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    out = tuple(next((d for d in dims if d != 1), 1) for dims in zip(*padded))
    for shape in padded:
        if any(d not in (1, o) for d, o in zip(shape, out)):
            raise ValueError(f"shapes {shapes} do not broadcast")
    return out


def join(args: Iterable[Node]) -> str:
    """Return the common space; constants fit into any."""
    spaces = {a.space for a in args} - {"C"}
    if len(spaces) > 1:
        raise ValueError(f"values of the spaces {sorted(spaces)} meet without a gather or a reduction")
    return spaces.pop() if spaces else "C"


def topological(outputs: Iterable[Node], known: Iterable[Node] = ()) -> list[Node]:
    """Return the nodes that `outputs` need, arguments first; `known` ones are listed, what they need is not."""
    order: list[Node] = []
    seen: set[Node] = set()
    stop = set(known)
    stack = [(n, False) for n in reversed(list(outputs))]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            if node not in stop:
                stack += [(a, False) for a in reversed(node.args)]
    return order

"""The builder of loop programs: nodes are hash-consed, and rewritten when they are made."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

from .node import COMPARISONS, POINTWISE, Node, Shape, broadcast, covers, hoistable, is_factor, is_zero, join

_ARITHMETIC = {  # what it does to numbers, and the number that changes nothing
    "add": (operator.add, 0),
    "sub": (operator.sub, 0),
    "mul": (operator.mul, 1),
    "div": (operator.truediv, 1),
}
_REASSOCIABLE = ("add", "mul", "maximum", "minimum", "and", "or", "eq", "ne")


def same(x: Node) -> float | bool | None:
    """Return the number that `x` is everywhere by construction, None if there is none."""
    if x.op == "expand":
        return same(x.args[0])
    return x.attr if x.op == "const" else None


class Program:
    """Builder and owner of the nodes of one program; equal nodes are the same object.

    `inline` is the number of entries of a matrix up to which products per edge are made inside row loops; `keep` says
    whether the other products per edge are kept for the derivative instead of being made again.

    Ops, besides the pointwise ones (features broadcast as in torch):
        input(attr name), const(attr value), table(attr values), eid (edge id, i32), rand(seed;
        attr stream): uniform in [0, 1) per row and feature;
        view(attr shape), expand(attr shape), permute(attr perm), take(attr (axis, positions)), cat(attr axis);
        sum(attr axes; they disappear), amax(attr axes);
        gather(attr end), reduce(attr end), rmax(attr end): 0 in a row without edges, rarg(attr end): edge id of the
        first greatest value, -1 in a row without edges; total: sum over rows;
        mm(x, w; attr 'inline' if a row loop makes it): contract the last feature axis of x with the first of w;
        mmt(x, y): sum over rows and leading features of x^T y.
    """

    def __init__(self, inline: int = 0, keep: bool = False) -> None:
        self.inline, self.keep = inline, keep
        self._table: dict[Hashable, Node] = {}
        self.inputs: list[Node] = []

    def node(self, op: str, args: tuple[Node, ...], attr: Any, space: str, shape: Shape, dtype: str) -> Node:
        """Return the node, made at its first mention."""
        ids = tuple(a.id for a in args)
        if op in _REASSOCIABLE and len(ids) == 2 and ids[1] < ids[0]:
            args, ids = args[::-1], ids[::-1]
        # 0.0 == -0.0 and 1 == True, so a constant is told by how it prints
        key = (op, ids, repr(attr) if op == "const" else attr, space, shape, dtype)
        found = self._table.get(key)
        if found is None:
            found = self._table[key] = Node(op, args, attr, space, tuple(shape), dtype, len(self._table))
        return found

    # --- leaves

    def input(self, name: str, space: str, shape: Shape, dtype: str) -> Node:
        """Return a new input of the program."""
        node = self.node("input", (), name, space, tuple(shape), dtype)
        if node not in self.inputs:
            self.inputs.append(node)
        return node

    def const(self, value: float | bool, dtype: str) -> Node:
        """Return a number."""
        return self.node("const", (), bool(value) if dtype == "bool" else float(value), "C", (), dtype)

    def table(self, numbers: Sequence[float], shape: Shape, dtype: str) -> Node:
        """Return a constant tensor."""
        return self.node("table", (), tuple(numbers), "C", tuple(shape), dtype)

    def eid(self) -> Node:
        """Return the edge ids, in the caller's order."""
        return self.node("eid", (), None, "E", (), "i32")

    def rand(self, seed: Node, stream: int, space: str, shape: Shape, dtype: str) -> Node:
        """Return uniform numbers in [0, 1), a function of seed, stream, row id and feature alone."""
        return self.node("rand", (seed,), stream, space, tuple(shape), dtype)

    # --- pointwise

    def pw(self, op: str, *args: Node, dtype: str | None = None) -> Node:
        """Apply a pointwise op; features broadcast, aligned at the right."""
        if len(args) != POINTWISE[op]:
            raise ValueError(f"`{op}` takes {POINTWISE[op]} arguments, got {len(args)}")
        if op == "mul":
            args = self._shared_quotient(*args)
        if op in _COMPOSED:
            return _COMPOSED[op](self, *args)
        folded = self._simplified(op, args, dtype)
        if folded is not None:
            return folded
        rank = max(len(a.shape) for a in args)
        args = tuple(a if a.op == "const" else self.view(a, (1,) * (rank - len(a.shape)) + a.shape) for a in args)
        shape = broadcast(*(a.shape for a in args))
        space = join(args)
        if dtype is None:
            dtype = (
                "bool" if op in COMPARISONS else next((a.dtype for a in args[::-1] if a.op != "const"), args[-1].dtype)
            )
        return self.node(op, args, None, space, shape, dtype)

    def _simplified(self, op: str, args: tuple[Node, ...], dtype: str | None) -> Node | None:
        """Return a simpler equal node (exactly equal for finite values), or None."""
        if op == "cast":
            return args[0] if args[0].dtype == dtype else None
        if op == "stop":
            return args[0] if args[0].op in ("stop", "const") else None
        numbers: list[Any] = [same(a) for a in args]
        if op == "neg":
            if numbers[0] is not None:
                return self.full(-numbers[0], args[0])
            return args[0].args[0] if args[0].op == "neg" else None
        if op not in _ARITHMETIC:
            return None
        compute, unit = _ARITHMETIC[op]
        if None not in numbers and args[0].dtype == args[1].dtype and not (op == "div" and numbers[1] == 0):
            return self.filled(compute(*numbers), join(args), broadcast(*(a.shape for a in args)), args[0].dtype)
        for x, y in (args, args[::-1]) if op in _REASSOCIABLE else (args,):
            if not covers((y, x)):
                continue
            if same(y) == unit:
                return x
            if op == "mul" and same(y) == -1:
                return self.pw("neg", x)
            # zeros from the derivative of a slice or of a constant branch: no number is lost but 0 * inf
            if op == "mul" and same(y) == 0:
                return self.full(0.0, x)
        if op == "add" and args[1].op == "neg":
            return self.pw("sub", args[0], args[1].args[0])
        return None

    def _shared_quotient(self, x: Node, y: Node) -> tuple[Node, Node]:
        """Return g / b and a / b for g and a / b / b: the derivative of a / b has both, and each is needed elsewhere."""
        for g, q in ((x, y), (y, x)):
            if q.op == "div" and q.args[0].op == "div" and q.args[0].args[1] is q.args[1] and g.shape == q.shape:
                return self.pw("div", g, q.args[1]), q.args[0]
        return x, y

    def full(self, value: float, like: Node) -> Node:
        """Return `value` in the shape and space of `like`."""
        return self.filled(value, like.space, like.shape, like.dtype)

    def filled(self, value: float, space: str, shape: Shape, dtype: str) -> Node:
        """Return a value that is the same number everywhere."""
        constant = self.const(value, dtype)
        return constant if space == "C" and not shape else self.node("expand", (constant,), shape, space, shape, dtype)

    # --- features

    def view(self, x: Node, shape: Shape) -> Node:
        """Reshape the features."""
        shape = tuple(shape)
        if x.op == "view":
            x = x.args[0]
        if x.shape == shape:
            return x
        if (number := same(x)) is not None:
            return self.filled(number, x.space, shape, x.dtype)
        if math.prod(shape) != x.numel:
            raise ValueError(f"`view` of {x} to {shape}")
        return self.node("view", (x,), shape, x.space, shape, x.dtype)

    def expand(self, x: Node, shape: Shape, space: str | None = None) -> Node:
        """Broadcast the features (same rank), and a constant over the rows of `space`."""
        shape, space = tuple(shape), space or x.space
        if x.shape == shape and x.space == space:
            return x
        if (number := same(x)) is not None:
            return self.filled(number, space, shape, x.dtype)
        if x.op == "expand":
            return self.expand(x.args[0], shape, space)
        x = self.view(x, (1,) * (len(shape) - len(x.shape)) + x.shape)
        return self.node("expand", (x,), shape, space, shape, x.dtype)

    def permute(self, x: Node, perm: Sequence[int]) -> Node:
        """Permute the feature axes."""
        if x.op == "permute":
            perm, x = tuple(x.attr[p] for p in perm), x.args[0]
        if tuple(perm) == tuple(range(len(perm))):
            return x
        if sum(d != 1 for d in x.shape) <= 1 or same(x) is not None:
            return self.view(x, tuple(x.shape[p] for p in perm))
        return self.node("permute", (x,), tuple(perm), x.space, tuple(x.shape[p] for p in perm), x.dtype)

    def take(self, x: Node, axis: int, positions: Iterable[int]) -> Node:
        """Return the features at constant `positions` of one axis."""
        positions = tuple(positions)
        shape = (*x.shape[:axis], len(positions), *x.shape[axis + 1 :])
        if positions == tuple(range(x.shape[axis])):
            return x
        if x.op == "take" and x.attr[0] == axis:
            return self.take(x.args[0], axis, (x.attr[1][p] for p in positions))
        if (number := same(x)) is not None:
            return self.filled(number, x.space, shape, x.dtype)
        if x.op == "gather":
            return self.gather(self.take(x.args[0], axis, positions), x.attr)
        if x.op == "mm" and axis == len(x.shape) - 1:
            return self.mm(x.args[0], self.take(x.args[1], 1, positions))
        if x.op == "cat" and x.attr == axis and positions:
            start = 0
            for part in x.args:
                stop = start + part.shape[axis]
                if min(positions) >= start and max(positions) < stop:
                    return self.take(part, axis, (p - start for p in positions))
                start = stop
        return self.node("take", (x,), (axis, positions), x.space, shape, x.dtype)

    def cat(self, parts: Sequence[Node], axis: int) -> Node:
        """Concatenate features along one axis; constants are spread over the rows."""
        parts = [p for p in parts if p.shape[axis]] or list(parts[:1])
        if len(parts) == 1:
            return parts[0]
        space = join(parts)
        parts = [self.expand(p, p.shape, space) for p in parts]
        shape = (*parts[0].shape[:axis], sum(p.shape[axis] for p in parts), *parts[0].shape[axis + 1 :])
        if all(is_zero(p) for p in parts):
            return self.filled(0.0, space, shape, parts[0].dtype)
        return self.node("cat", tuple(parts), axis, space, shape, parts[0].dtype)

    def sum(self, x: Node, axes: Iterable[int], keepdim: bool = False) -> Node:
        """Sum over feature axes."""
        axes = tuple(sorted(axes))
        if keepdim:
            kept = tuple(1 if a in axes else d for a, d in enumerate(x.shape))
            return self.view(self.sum(x, axes), kept)
        shape = tuple(d for a, d in enumerate(x.shape) if a not in axes)
        if all(x.shape[a] == 1 for a in axes):
            return self.view(x, shape)
        if is_zero(x):
            return self.filled(0.0, x.space, shape, x.dtype)
        return self.node("sum", (x,), axes, x.space, shape, x.dtype)

    def amax(self, x: Node, axes: Iterable[int]) -> Node:
        """Return the greatest value over feature axes."""
        axes = tuple(sorted(axes))
        return self.node("amax", (x,), axes, x.space, tuple(d for a, d in enumerate(x.shape) if a not in axes), x.dtype)

    # --- movers

    def gather(self, x: Node, end: str) -> Node:
        """Copy each node's row to its edges; `end` is 'src' or 'dst'."""
        if x.op == "view":
            return self.view(self.gather(x.args[0], end), x.shape)
        made_of = x.args[0] if x.op == "expand" else x
        if made_of.space == "C":
            return self.expand(made_of, x.shape, "E")
        if x.op == "expand":
            return self.expand(self.gather(made_of, end), x.shape)
        if x.op in ("mul", "div") and any(is_factor(a, x) for a in x.args):
            return self.pw(x.op, *(a if a.space == "C" else self.gather(a, end) for a in x.args))
        return self.node("gather", (x,), end, "E", x.shape, x.dtype)

    def reduce(self, x: Node, end: str, space: str) -> Node:
        """Sum the rows of each node's edges."""
        if x.op == "view":
            return self.view(self.reduce(x.args[0], end, space), x.shape)
        if is_zero(x):
            return self.filled(0.0, space, x.shape, x.dtype)
        if x.op == "neg":
            return self.pw("neg", self.reduce(x.args[0], end, space))
        if x.op == "mm":  # the sum first: one product per node instead of one per edge
            return self.mm(self.reduce(x.args[0], end, space), x.args[1])
        if x.op == "gather" and x.attr == end:  # the same row for each edge: count them
            ones = self.filled(1.0, "E", (1,) * len(x.shape), x.dtype)
            return self.pw("mul", x.args[0], self.reduce(ones, end, space))
        return self.node("reduce", (x,), end, space, x.shape, x.dtype)

    def rmax(self, x: Node, end: str, space: str) -> Node:
        """Return the greatest value over each node's edges, 0 where there is none."""
        return self.node("rmax", (x,), end, space, x.shape, x.dtype)

    def rarg(self, x: Node, end: str, space: str) -> Node:
        """Return the edge id of the first greatest value over each node's edges, -1 where there is none."""
        return self.node("rarg", (x,), end, space, x.shape, "i32")

    def total(self, x: Node) -> Node:
        """Sum over the rows."""
        if x.op == "view":
            return self.view(self.total(x.args[0]), x.shape)
        if is_zero(x):
            return self.filled(0.0, "C", x.shape, x.dtype)
        if x.op == "neg":
            return self.pw("neg", self.total(x.args[0]))
        return self.node("total", (x,), None, "C", x.shape, x.dtype)

    # --- products

    def mm(self, x: Node, w: Node) -> Node:
        """Contract the last feature axis of x (..., k) with a constant w (k, m)."""
        k, m = w.shape
        if x.space == "E" and x.op == "gather":  # one product per node instead of one per edge
            return self.gather(self.mm(x.args[0], w), x.attr)
        if is_zero(x):
            return self.filled(0.0, x.space, (*x.shape[:-1], m), x.dtype)
        if x.space == "E":
            last = len(x.shape) - 1
            if x.op == "cat" and x.attr == last and any(hoistable(p) for p in x.args):
                bounds = pairwise(accumulate((part.shape[-1] for part in x.args), initial=0))
                return self._added(self.mm(p, self.take(w, 0, range(*bound))) for p, bound in zip(x.args, bounds))
            if x.op in ("add", "sub") and all(a.shape == x.shape and hoistable(a) for a in x.args):
                return self.pw(x.op, self.mm(x.args[0], w), self.mm(x.args[1], w))
            if k <= 4:
                rows = (self.view(self.take(w, 0, [a]), (m,)) for a in range(k))
                return self._added(self.pw("mul", self.take(x, last, [a]), row) for a, row in enumerate(rows))
            if m <= 2:
                columns = [
                    self.sum(self.pw("mul", x, self.view(self.take(w, 1, [b]), (k,))), [last], keepdim=True)
                    for b in range(m)
                ]
                return self.cat(columns, last)
        attr = "inline" if x.space == "E" and w.numel <= self.inline else None
        return self.node("mm", (x, w), attr, x.space, (*x.shape[:-1], m), x.dtype)

    def _added(self, terms: Iterable[Node]) -> Node:
        return reduce(lambda a, b: self.pw("add", a, b), terms)

    def mmt(self, x: Node, y: Node) -> Node:
        """Sum x^T y over rows and leading features: x (..., k), y (..., m) -> C (k, m)."""
        if is_zero(x) or is_zero(y):
            return self.filled(0.0, "C", (x.shape[-1], y.shape[-1]), x.dtype)
        if len(x.shape) == 1 and x.space == "E":
            for swap, (a, b) in ((False, (x, y)), (True, (y, x))):
                if a.op == "gather":
                    found = self.mmt(a.args[0], self.reduce(b, a.attr, a.args[0].space))
                elif a.op == "cat" and any(hoistable(p) for p in a.args):
                    found = self.cat([self.mmt(p, b) for p in a.args], 0)
                elif a.op in ("add", "sub") and all(p.shape == a.shape and hoistable(p) for p in a.args):
                    found = self.pw(a.op, self.mmt(a.args[0], b), self.mmt(a.args[1], b))
                else:
                    continue
                return self.permute(found, (1, 0)) if swap else found
            if min(x.numel, y.numel) <= 2 or x.numel * y.numel <= self.inline:
                outer = self.pw("mul", self.view(x, (x.shape[-1], 1)), self.view(y, (1, y.shape[-1])))
                return self.total(outer)
        return self.node("mmt", (x, y), None, "C", (x.shape[-1], y.shape[-1]), x.dtype)


def _sign(p: Program, x: Node) -> Node:
    above, below = (p.pw(op, x, p.const(0.0, x.dtype)) for op in ("gt", "lt"))
    return p.pw("sub", p.pw("cast", above, dtype=x.dtype), p.pw("cast", below, dtype=x.dtype))


_COMPOSED: dict[str, Callable[[Program, Node], Node]] = {  # pointwise ops of others, which printers need not know
    "not": lambda p, x: p.pw("eq", x, p.const(False, "bool")),
    "rsqrt": lambda p, x: p.pw("div", p.const(1.0, x.dtype), p.pw("sqrt", x)),
    "sign": _sign,
}

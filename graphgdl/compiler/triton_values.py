"""The tensors of a printed Triton kernel: each value of the loop program at an index, computed where its operands allow.

All tensors of a kernel have the same rank: the lanes (rows or edges), then the feature axes of `triton_index.Axes`, each
padded to a power of two and masked, and of size 1 in tensors that do not vary along it. Each is computed at the kernel's
entry, once per row, or once per edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .node import POINTWISE, REDUCTIONS, Node
from .steps import Kernel
from .tape import Refused
from .triton_index import (
    Axes,
    Digit,
    Digits,
    Guard,
    Guards,
    Index,
    broadcast,
    flat,
    merged,
    number,
    power_of_two,
    spread,
    viewed,
)

TYPES = {"f32": "tl.float32", "f64": "tl.float64", "i32": "tl.int32", "bool": "tl.int1"}
ENTRY, ROW, EDGE = 0, 1, 2
MAX_ELEMENTS = 16384  # of one tensor with one lane
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|"}
_INFIX |= {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_BUILTIN = {"exp", "log", "sin", "cos", "erf", "sqrt", "floor", "abs", "sigmoid", "where"}  # the rest: triton_device
_TEXTS = {op: f"{'tl' if op in _BUILTIN else 'device'}.{op}({', '.join(['{}'] * n)})" for op, n in POINTWISE.items()}
_TEXTS |= {op: f"{{}} {sign} {{}}" for op, sign in _INFIX.items()} | {"neg": "-{}", "stop": "{}"}
_VIEWS = ("view", "expand", "permute", "take")


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the kernel: how often it is computed, and the axes along which it is not of size 1."""

    text: str
    kind: str
    level: int
    axes: frozenset[int]


class Values:
    """Prints the values of one kernel.

    Args:
        kernel: what is printed.
        axes: the feature axes; they outlive a failed attempt.

    Attributes:
        arrays: nodes whose arrays the kernel takes, in order.
        lines: what was printed and not yet taken, by level.
        written: what the kernel itself has stored, and in which sweep.
        fences: the sweeps whose stores are read again.
        widest: elements per lane of the greatest tensor.
        wide: bytes of the greatest kind of number.
    """

    def __init__(self, kernel: Kernel, axes: Axes) -> None:
        self.kernel, self.axes = kernel, axes
        self.arrays: list[Node] = []
        self.lines: list[list[str]] = [[], [], []]
        self.written: dict[Node, int] = {}
        self.fences: set[int] = set()
        self.widest, self.wide = 1, 4
        self._memo: dict[Any, Value] = {}
        self._count = 0

    def value(self, node: Node, index: Index, guards: Guards = ()) -> Value:
        """Return `node` at an index; guards only matter where it is loaded."""
        found = self._memo.get((node, index, ())) or self._memo.get((node, index, guards))
        if found is None:
            found = self._memo[node, index, guards] = self._compute(node, index, guards)
        return found

    def _compute(self, node: Node, index: Index, guards: Guards) -> Value:
        op = node.op
        if op == "const":
            return self._const(node)
        if node in self.kernel.memory or node in self.written or op in ("input", "table"):
            return self._read(node, index, guards)
        if op in _VIEWS:
            return self.value(node.args[0], viewed(node, index, self.axes, self._entry), guards)
        if op == "gather":
            x = node.args[0]
            if node.attr == self.kernel.end:
                return self.value(x, index, guards)
            return self.load(x, "col", index, guards, EDGE)
        if op == "eid":
            return self.edge_id()
        if op == "cat":
            return self._cat(node, index, guards)
        if op in ("sum", "amax"):
            return self._fold(node, index, guards)
        if op == "rand":
            return self._rand(node, index)
        if op == "mm" and node.space == "E":
            return self._product(node, index, guards)
        if op in REDUCTIONS or op in ("mm", "mmt", "total"):
            raise AssertionError(f"{node} is not at hand")
        args = [self.value(a, broadcast(index, a.shape), guards) for a in node.args]
        level = max(a.level for a in args)
        axes = frozenset().union(*(a.axes for a in args))
        text = self._instruction(node, [a.text for a in args], args)
        value = Value(text if op == "stop" else self.let(level, text), node.dtype, level, axes)
        self.note(axes, node.dtype)
        return value

    def _const(self, node: Node) -> Value:
        key = ("const", node)
        if key not in self._memo:
            literal = repr(node.attr) if math.isfinite(node.attr) else f"float('{node.attr}')"
            literal = str(int(node.attr)) if node.dtype == "i32" else literal
            text = f"tl.full({self.shape('1')}, {literal}, {TYPES[node.dtype]})"
            self._memo[key] = Value(self.let(ENTRY, text), node.dtype, ENTRY, frozenset())
        return self._memo[key]

    def _instruction(self, node: Node, args: list[str], values: list[Value]) -> str:
        op, kind = node.op, node.dtype
        if op == "cast":
            return f"{args[0]} != 0" if kind == "bool" else f"{args[0]}.to({TYPES[kind]})"
        if op in ("eq", "ne") and values[0].kind == "bool":
            return f"({' ^ '.join(args)}) {'==' if op == 'eq' else '!='} 0"
        return _TEXTS[op].format(*args)

    def _cat(self, node: Node, index: Index, guards: Guards) -> Value:
        """Join the pieces of a concatenation, each read only where it is."""
        axis, start, result = node.attr, 0, None
        place = number(index[axis])
        if not place.axes:
            place = replace(place, text=self._entry(f"{place.text} + o"))
        for part in node.args:
            size = part.shape[axis]
            inside = self._once(ENTRY, f"({place.text} >= {start}) & ({place.text} < {start + size})")
            shifted = Digit(size, f"({place.text} - {start})", place.axes)
            at = (*index[:axis], (shifted,) if size > 1 else (), *index[axis + 1 :])
            value = self.value(part, at, (*guards, Guard(inside, place.axes)))
            if result is None:
                result = value
            else:
                level = max(result.level, value.level)
                axes = result.axes | value.axes | place.axes
                text = self.let(level, f"tl.where({inside}, {value.text}, {result.text})")
                result = Value(text, node.dtype, level, axes)
                self.note(axes, node.dtype)
            start += size
        assert result is not None
        return result

    def _fold(self, node: Node, index: Index, guards: Guards) -> Value:
        """Sum or maximise over feature axes."""
        x = node.args[0]
        taken = set(spread(index, guards))
        owner = dict(self.axes.owner)
        inner: list[Digits] = []
        folded: list[int] = []
        outer = iter(index)
        for dim, size in enumerate(x.shape):
            if dim not in node.attr:
                inner.append(next(outer))
                continue
            digits = self.axes.assign((node, -1 - dim), size, taken)
            inner.append(digits)
            folded += [d.axis for d in digits if d.axis is not None]
        value = self.value(x, tuple(inner), guards)
        self.axes.owner = owner
        return self._along(node.op, value, folded)

    def _product(self, node: Node, index: Index, guards: Guards) -> Value:
        """Multiply the features of each edge by a small matrix."""
        x, w = node.args
        owner = dict(self.axes.owner)
        inner = self.axes.assign((node, -1), w.shape[0], set(spread(index, guards)))
        left, right = self.value(x, (*index[:-1], inner), guards), self.value(w, (inner, index[-1]), guards)
        self.axes.owner = owner
        level, axes = max(left.level, right.level), left.axes | right.axes
        self.note(axes, node.dtype)
        terms = Value(self.let(level, f"{left.text} * {right.text}"), node.dtype, level, axes)
        return self._along("sum", terms, [d.axis for d in inner if d.axis is not None])

    def _along(self, op: str, value: Value, folded: list[int]) -> Value:
        """Sum or maximise along axes."""
        text, axes = value.text, value.axes
        for axis in folded:
            size = self.axes.sizes[axis]
            if axis not in axes:
                text = text if op == "amax" else self.let(value.level, f"{text} * {size}")
                continue
            if power_of_two(size) != size:
                fill = "0" if op == "sum" else "float('-inf')"
                text = self.let(value.level, f"tl.where(b{axis}, {text}, {fill})")
            call = f"tl.sum({text}, {axis + 1}, keep_dims=True)"
            text = self.let(value.level, call if op == "sum" else f"device.greatest({text}, {axis + 1})")
            axes = axes - {axis}
        return replace(value, text=text, axes=axes)

    def _rand(self, node: Node, index: Index) -> Value:
        """Uniform numbers of the counter-based generator; the same arithmetic as `interpret.uniform`."""
        seed = self.value(node.args[0], ())
        place = number(merged(index))
        level = EDGE if node.space == "E" else ROW
        row = self.edge_id().text if node.space == "E" else "row_"
        feature = f"({place.text} + o)"
        text = self.let(level, f"device.uniform({seed.text}, {node.attr}, {row}, {feature}).to({TYPES[node.dtype]})")
        self.note(place.axes, node.dtype)
        return Value(text, node.dtype, level, place.axes)

    # --- memory

    def array(self, node: Node) -> str:
        """Return the name of the array of a node."""
        if node not in self.arrays:
            self.arrays.append(node)
        return f"A{self.arrays.index(node)}"

    def _read(self, node: Node, index: Index, guards: Guards) -> Value:
        """Load a value that is in memory."""
        if node in self.written:
            self.fences.add(self.written[node])
        if node.space == "C":
            return self.load(node, "", index, guards, ENTRY)
        if node.space == "E":
            return self.load(node, "edge", index, guards, EDGE)
        return self.load(node, "row", index, guards, ROW)

    def load(self, node: Node, where: str, index: Index, guards: Guards, level: int) -> Value:
        """Load a value of a row, lane, edge or neighbour, or a constant."""
        along = spread(index, guards)
        array = self.array(node)
        mask = self.mask(along, guards, level)
        text = f"tl.load({array} + {self.offset(node, where, index)}{mask}{', other=0' if mask else ''})"
        if node.dtype in ("f32", "f64"):
            text += f".to({TYPES[node.dtype]})"
        elif node.dtype == "bool":
            text += " != 0"
        self.note(along, node.dtype)
        return Value(self.let(level, text), node.dtype, level, along)

    def store(self, node: Node, where: str, index: Index, value: Value, level: int) -> None:
        """Store a value at a row, lane or edge."""
        axes = spread(index)
        offset = self.offset(node, where, index)
        self.lines[level].append(f"tl.store({self.array(node)} + {offset}, {value.text}{self.mask(axes, (), level)})")

    def offset(self, node: Node, where: str, index: Index) -> str:
        """Return the text of an offset into the array of a node."""
        place = flat(index, node.shape)
        if not where:
            return f"{place} + o"
        name = {"row": "row_", "lane": "lane_"}.get(where) or self._place(where, node)
        return f"({name} * {node.numel} + {place})"

    def _place(self, where: str, node: Node) -> str:
        """Return the row of an edge value, or of the other end's value, at this edge."""
        if where == "col":
            return self._header("col")
        if node not in self.kernel.tile:
            return self._header("edge")
        if self.kernel.adds:
            return f"({self._header('pos')} - first)"
        return f"({self._once(EDGE, 'q.to(INDEX)')} - first)"

    def _header(self, name: str) -> str:
        return self._once(EDGE, f"{self._once(EDGE, f'tl.load({name} + q, mask=m, other=0)')}.to(INDEX)")

    def edge_id(self) -> Value:
        """Return the id of the edge."""
        text = self._once(EDGE, "tl.load(edge + q, mask=m, other=0)")
        return Value(text, "i32", EDGE, frozenset())

    def mask(self, axes: Iterable[int], guards: Guards = (), level: int = ENTRY) -> str:
        """Return the argument of a load or store that keeps padding out."""
        parts = {ENTRY: [], ROW: ["live"], EDGE: ["m"]}[level][:]
        parts += [f"b{a}" for a in sorted(axes) if power_of_two(self.axes.sizes[a]) != self.axes.sizes[a]]
        parts += [g.text for g in guards]
        return f", mask={' & '.join(parts)}" if parts else ""

    # --- text

    def name(self, stem: str) -> str:
        """Return a new name."""
        self._count += 1
        return f"{stem}{self._count}"

    def let(self, level: int, text: str) -> str:
        """Name a computed tensor."""
        name = self.name("v")
        self.lines[level].append(f"{name} = {text}")
        return name

    def _once(self, level: int, text: str) -> str:
        """Name a number that does not depend on features, or on features alone."""
        key = (level, text)
        if key not in self._memo:
            self._memo[key] = Value(self.let(level, text), "i32", level, frozenset())
        return self._memo[key].text

    def _entry(self, text: str) -> str:
        return self._once(ENTRY, text)

    def shape(self, lanes: str, axes: frozenset[int] = frozenset()) -> str:
        """Return the text of the shape of a tensor that varies along `axes`."""
        sizes = [str(power_of_two(d)) if a in axes else "1" for a, d in enumerate(self.axes.sizes)]
        return f"[{', '.join([lanes, *sizes])}]"

    def take(self, level: int) -> list[str]:
        """Return the lines of a level, and begin it anew."""
        lines, self.lines[level] = self.lines[level], []
        return lines

    def next_sweep(self) -> None:
        """Forget what was computed per edge."""
        self._memo = {k: v for k, v in self._memo.items() if v.level < EDGE}

    def keep(self, node: Node, index: Index, value: Value) -> None:
        """Remember a value that is at hand."""
        self._memo[node, index, ()] = value

    def note(self, axes: Iterable[int], kind: str) -> None:
        """Keep the size of the greatest tensor."""
        size = self.axes.elements(frozenset(axes))
        if size > MAX_ELEMENTS:
            raise Refused(f"a tensor of {size} numbers per edge")
        self.widest = max(self.widest, size)
        self.wide = max(self.wide, 8 if kind == "f64" else 4)

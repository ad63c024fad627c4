"""Print a row loop as a Triton kernel: lanes are rows or edges, features are the other axes of each tensor.

A program of the grid works on `L` lanes: on as many short rows side by side, one edge of each per turn (R = L), or on
one long row, as many of its edges per turn (R = 1). All tensors of a kernel have the same rank: the lanes, then one axis
for each size of feature that is in use, padded to a power of two and masked.

A value is asked for at an index: for each of its feature axes the digits of a mixed-radix number, a digit being an axis
of the tensor or a number computed from some. Views, slices and broadcasts only change the index. A view that cuts through
an axis makes the printer start again with that axis split in two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

from .ir import REDUCTIONS, Node
from .schedule import Kernel
from .tape import Refused

TYPES = {"f32": "tl.float32", "f64": "tl.float64", "i32": "tl.int32", "bool": "tl.int1"}
_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
}
_LOGIC = {"and": "&", "or": "|"}
_BUILTIN = {"exp": "tl.exp", "log": "tl.log", "sin": "tl.sin", "cos": "tl.cos", "erf": "tl.erf", "sqrt": "tl.sqrt"}
_BUILTIN |= {"rsqrt": "tl.rsqrt", "floor": "tl.floor", "abs": "tl.abs", "sigmoid": "tl.sigmoid", "where": "tl.where"}
_DEVICE = {
    "log1p",
    "expm1",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "pow",
    "atan2",
    "sign",
    "maximum",
    "minimum",
}
_VIEWS = ("view", "expand", "permute", "take")
ENTRY, ROW, EDGE = 0, 1, 2
MAX_ELEMENTS = 16384  # of one tensor with one lane
MAX_RUNS = 32  # pieces of one irregular slice
HEADER = ("row", "begin", "end", "col", "edge", "pos")


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit of an index: its base, its text, and which axes of the tensor it varies along; `axis` if it is one."""

    size: int
    text: str
    axes: frozenset[int]
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """Where a piece of a concatenation is read."""

    text: str
    axes: frozenset[int]


Digits = tuple[Digit, ...]
Index = tuple[Digits, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the kernel: how often it is computed, and the axes along which it is not of size 1."""

    text: str
    kind: str
    level: int
    axes: frozenset[int]


@dataclass(frozen=True)
class Source:
    """One printed kernel.

    Attributes:
        text: a module with the function `kernel`.
        arrays: nodes whose arrays the function takes after the header, in order.
        stored: those of them that it writes.
        totals: those of them that hold one row per program.
        widest: elements per lane of its greatest tensor.
        held: elements per lane of all its accumulators.
        wide: bytes of its greatest kind of number.
        peaks: for each `rarg` of pieces of rows, the stand-in for the greatest values that it stores too.
    """

    text: str
    arrays: list[Node]
    stored: list[Node]
    totals: list[Node]
    peaks: dict[Node, Node]
    widest: int
    held: int
    wide: int


class _Split(Exception):
    """An axis must be cut in two digits."""


def power_of_two(size: int) -> int:
    """Return the least power of two that is not less than `size`."""
    return 1 << (size - 1).bit_length()


class Printer:
    """Prints one kernel.

    Args:
        kernel: what to print.
        memory: values that are in memory when the kernel starts.
        tile: the edge values, read or written, that lie by position in the tile and not by edge id.
        pieces: whether lanes are pieces of rows: reductions are then stored by piece, to be combined afterwards.
    """

    def __init__(self, kernel: Kernel, memory: set[Node], tile: set[Node], pieces: bool = False) -> None:
        self.kernel, self.memory, self.tile, self.pieces = kernel, memory, tile, pieces
        # (root, dimension) or (node that folds, -1 - dimension it folds) -> sizes of the digits of that dimension
        self.splits: dict[tuple[Node, int], list[int]] = {}
        self.dims: list[int] = []  # size of each feature axis

    def print(self) -> Source:
        """Return the kernel's text.

        Raises:
            Refused: an op has no kernel, or a tensor would be too large for the registers.
        """
        for _ in range(64):
            dims = list(self.dims)
            try:
                source = self._attempt()
            except _Split:
                self.dims = []
                continue
            if dims == self.dims:
                return source
        raise Refused("its views cut each other's axes")

    def _attempt(self) -> Source:
        self.arrays: list[Node] = []
        self.memo: dict[Any, Value] = {}
        self.written: dict[Node, int] = {}  # stored by this kernel, in which sweep
        self.fences: set[int] = set()
        self.owner: dict[int, tuple[Node, int, int]] = {}
        self.lines: list[list[str]] = [[], [], []]
        self.count = 0
        self.widest, self.held, self.wide = 1, 0, 4
        self.peaks: dict[Node, Node] = {}
        self.total_starts: list[str] = []
        self.total_ends: list[str] = []
        self.sweep = 0
        body: list[str] = []
        chunks = []
        stored = [r for sweep in self.kernel.sweeps for r in sweep] + self.kernel.rows
        for number, sweep in enumerate(self.kernel.sweeps):
            self.sweep = number
            chunks.append(self._sweep(sweep))
        for node in self.kernel.rows:
            index = self._axes_of(node, node.shape)
            value = self.value(node, index)
            self._store(node, "row", index, value, ROW)
        chunks.append(self.lines[ROW])
        for number, chunk in enumerate(chunks):
            body += chunk
            if number in self.fences:
                body.append("tl.debug_barrier()")
        totals = [r for r in stored if r.op == "total"]
        return Source(
            self._frame(body, totals), self.arrays, stored, totals, self.peaks, self.widest, self.held, self.wide
        )

    # --- the frame

    def _frame(self, body: list[str], totals: list[Node]) -> str:
        rank = 1 + len(self.dims)

        def along(axis: int) -> str:
            return "[" + ", ".join(":" if a == axis else "None" for a in range(rank)) + "]"

        arguments = [*HEADER, *(f"A{n}" for n in range(len(self.arrays))), "first", "count"]
        arguments += ["L: tl.constexpr", "R: tl.constexpr", "INDEX: tl.constexpr"]
        head = [f"o = tl.zeros({self._shape('1', frozenset())}, tl.int32)"]
        for axis, size in enumerate(self.dims):
            head.append(f"a{axis} = tl.arange(0, {power_of_two(size)}){along(axis + 1)}")
            if power_of_two(size) != size:
                head.append(f"b{axis} = a{axis} < {size}")
        rows = [
            f"lane = block * R + tl.arange(0, R){along(0)}",
            "live = lane < count",
            "begin_ = tl.load(begin + lane, mask=live, other=0)",
            "end_ = tl.load(end + lane, mask=live, other=0)",
            "row_ = tl.load(row + lane, mask=live, other=0)",
            "row_ = row_.to(INDEX)",
            "lane_ = lane.to(INDEX)",
            "most = tl.max(end_ - begin_)",
            f"turn = tl.arange(0, L // R){along(0)}",
        ]
        head += self.lines[ENTRY]
        if totals:
            head += [*self.total_starts, "for block in range(tl.program_id(0), tl.cdiv(count, R), tl.num_programs(0)):"]
            head += [f"    {line}" for line in [*rows, *body]] + self.total_ends
        else:
            head += ["block = tl.program_id(0)", *rows, *body]
        lines = [
            "import triton",
            "import triton.language as tl",
            "from graphgdl.compiler import triton_device as device",
            "",
            "",
            '@triton.jit(do_not_specialize=["first", "count"])',
            f"def kernel({', '.join(arguments)}):",
            *(f"    {line}" for line in head),
        ]
        return "\n".join(lines) + "\n"

    def _shape(self, lanes: str, axes: frozenset[int]) -> str:
        sizes = [str(power_of_two(d)) if a in axes else "1" for a, d in enumerate(self.dims)]
        return f"[{', '.join([lanes, *sizes])}]"

    def _sweep(self, roots: list[Node]) -> list[str]:
        """Return the lines of one pass over the edges of the rows."""
        self.memo = {k: v for k, v in self.memo.items() if v.level < EDGE}
        self.lines[ROW], self.lines[EDGE] = [], []
        starts: list[str] = []
        after: list[str] = []
        self.finished: list[tuple[Node, Index, Value]] = []
        for root in sorted(roots, key=lambda r: -len([d for d in r.shape if d > 1])):
            if root.space == "E":
                for part, index, place in self._parts(root, root):
                    self._store(root, "edge", place, self.value(part, index), EDGE)
            elif not _counts(root):
                for part, index, place in self._parts(root, root.args[0]):
                    after += self._reduction(root, part, index, place, starts)
        loop = self.lines[EDGE]
        before, self.lines[ROW] = starts + self.lines[ROW], after
        for root in (r for r in roots if r.space != "E" and _counts(r)):
            index = self._axes_of(root, root.shape)
            text = f"(end_ - begin_).to({TYPES[root.dtype]}) * {self.value(root.args[0], index).text}"
            self.finished.append((root, index, Value(self._let(ROW, text), root.dtype, ROW, frozenset())))
        for root, place, value in self.finished:
            self._finish(root, place, value)
        self.written |= {r: self.sweep for r in roots if r.op != "total"}
        out = list(before)
        if loop:
            out += [
                "for k in range(0, most, L // R):",
                "    q = begin_ + k + turn",
                "    m = q < end_",
                *(f"    {line}" for line in loop),
            ]
        out += self.lines[ROW]
        self.lines[ROW], self.lines[EDGE] = [], []
        return out

    # --- reductions

    def _parts(self, root: Node, x: Node) -> list[tuple[Node, Index, Index]]:
        """Return what is computed for a root apart: the value, at which index, and where that lies in the root."""
        if x.op != "cat" or x in self.memory or x in self.written:
            index = self._axes_of(root, x.shape)
            return [(x, index, index)]
        found, start = [], 0
        for part in x.args:
            index = place = self._axes_of(part, part.shape)
            if start:
                number = self._number(index[x.attr])
                shifted = Digit(x.shape[x.attr], f"({number.text} + {start})", number.axes)
                place = (*index[: x.attr], (shifted,), *index[x.attr + 1 :])
            found.append((part, index, place))
            start += part.shape[x.attr]
        return found

    def _reduction(self, root: Node, x: Node, index: Index, place: Index, starts: list[str]) -> list[str]:
        """Print the accumulation of one part of a reduction, and return what finishes it after the loop."""
        value = self.value(x, index)
        axes = frozenset(d.axis for digits in index for d in digits if d.axis is not None)
        self._note(axes, value.kind)
        self.held += math.prod(power_of_two(self.dims[a]) for a in axes)
        name, kind = self._name("acc"), TYPES[x.dtype]
        into = self.total_starts if root.op == "total" else starts
        fill = "0" if root.op in ("reduce", "total") else "float('-inf')"
        into.append(f"{name} = tl.full({self._shape('L', axes)}, {fill}, {kind})")
        edge = self.lines[EDGE]
        if root.op in ("reduce", "total"):
            edge.append(f"{name} += tl.where(m, {value.text}, 0)")
            done = [f"{name} = tl.sum({name}, 0, keep_dims=True)"]
            if root.op == "total":
                self.total_ends += done
                offset = f"o + tl.program_id(0) * {root.numel} + {self._flat(root, place)}"
                self.total_ends.append(f"tl.store({self._array(root)} + {offset}, {name}{self._mask(axes, ())})")
                return []
        elif root.op == "rmax":
            edge.append(f"{name} = tl.where(m, device.maximum({name}, {value.text}), {name})")
            done = [f"{name} = device.greatest({name}, 0)"]
        else:
            into.append(f"{name}_id = tl.full({self._shape('L', axes)}, device.NONE, tl.int32)")
            edge.append(f"{name}, {name}_id = device.later({name}, {name}_id, {value.text}, {self._edge_id().text}, m)")
            done = [f"{name}, {name}_id = device.first({name}, {name}_id, 0)"]
        lines = ["if R == 1:", *(f"    {line}" for line in done)]
        if root.op == "rmax" and not self.pieces:
            lines.append(f"{name} = tl.where(begin_ < end_, {name}, 0)")
        if root.op == "rarg":
            if self.pieces:  # to combine pieces takes their greatest values too
                peak = self.peaks.setdefault(root, replace(root, op="rmax", dtype=x.dtype))
                offset = self._offset(peak, "lane", place, ROW)
                lines.append(f"tl.store({self._array(peak)} + {offset}, {name}{self._mask(axes, (), ROW)})")
            name = f"{name}_id"
            if not self.pieces:
                lines.append(f"{name} = tl.where({name} == device.NONE, -1, {name})")
        self.finished.append((root, place, Value(name, root.dtype, ROW, axes)))
        return lines

    def _finish(self, root: Node, place: Index, value: Value) -> None:
        """Store a finished reduction; it stays at hand for the sweeps and row values that follow."""
        self.memo[root, place, ()] = value
        if self.kernel.adds and not self.pieces:
            old = self._load(root, "row", place, (), ROW)
            value = replace(value, text=f"{value.text} + {old.text}")
        self._store(root, "lane" if self.pieces else "row", place, value, ROW)

    # --- values

    def value(self, node: Node, index: Index, guards: tuple[Guard, ...] = ()) -> Value:
        """Return `node` at an index; guards only matter where it is loaded."""
        found = self.memo.get((node, index, ())) or self.memo.get((node, index, guards))
        if found is None:
            found = self.memo[node, index, guards] = self._compute(node, index, guards)
        return found

    def _compute(self, node: Node, index: Index, guards: tuple[Guard, ...]) -> Value:
        op = node.op
        if op == "const":
            return self._const(node)
        if node in self.memory or node in self.written or op in ("input", "table"):
            return self._read(node, index, guards)
        if op in _VIEWS:
            return self.value(node.args[0], self._viewed(node, index), guards)
        if op == "gather":
            x = node.args[0]
            if node.attr == self.kernel.end:
                return self.value(x, index, guards)
            return self._const(x) if x.op == "const" else self._load(x, "col", index, guards, EDGE)
        if op == "eid":
            return self._edge_id()
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
        args = [self.value(a, self._broadcast(index, a), guards) for a in node.args]
        level = max(a.level for a in args)
        axes = frozenset().union(*(a.axes for a in args))
        text = self._instruction(node, [a.text for a in args], args)
        value = Value(text if op == "stop" else self._let(level, text), node.dtype, level, axes)
        self._note(axes, node.dtype)
        return value

    def _const(self, node: Node) -> Value:
        key = ("const", node)
        if key not in self.memo:
            number = {math.inf: "float('inf')", -math.inf: "float('-inf')"}.get(node.attr, repr(node.attr))
            number = "float('nan')" if node.attr != node.attr else number
            number = str(int(node.attr)) if node.dtype == "i32" else number
            text = f"tl.full({self._shape('1', frozenset())}, {number}, {TYPES[node.dtype]})"
            self.memo[key] = Value(self._let(ENTRY, text), node.dtype, ENTRY, frozenset())
        return self.memo[key]

    def _instruction(self, node: Node, args: list[str], values: list[Value]) -> str:
        op, kind = node.op, node.dtype
        if op == "stop":
            return args[0]
        if op in _INFIX:
            left, right = args
            if values[0].kind == "bool" and op in ("eq", "ne"):
                return f"{left} ^ {right}" if op == "ne" else f"({left} ^ {right}) == 0"
            return f"{left} {_INFIX[op]} {right}"
        if op in _LOGIC:
            return f"{args[0]} {_LOGIC[op]} {args[1]}"
        if op == "not":
            return f"{args[0]} == 0"
        if op == "neg":
            return f"-{args[0]}"
        if op == "cast":
            return f"{args[0]} != 0" if kind == "bool" else f"{args[0]}.to({TYPES[kind]})"
        if op in _BUILTIN:
            return f"{_BUILTIN[op]}({', '.join(args)})"
        if op in _DEVICE:
            return f"device.{op}({', '.join(args)})"
        raise Refused(f"`{op}` on {kind} has no kernel")

    def _cat(self, node: Node, index: Index, guards: tuple[Guard, ...]) -> Value:
        """Join the pieces of a concatenation, each read only where it is."""
        axis, start, result = node.attr, 0, None
        place = self._number(index[axis])
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
                text = self._let(level, f"tl.where({inside}, {value.text}, {result.text})")
                result = Value(text, node.dtype, level, axes)
                self._note(axes, node.dtype)
            start += size
        assert result is not None
        return result

    def _fold(self, node: Node, index: Index, guards: tuple[Guard, ...]) -> Value:
        """Sum or maximise over feature axes."""
        x = node.args[0]
        taken = _axes(index, guards)
        owner = dict(self.owner)
        inner: list[Digits] = []
        folded: list[int] = []
        outer = iter(index)
        for dim, size in enumerate(x.shape):
            if dim not in node.attr:
                inner.append(next(outer))
                continue
            digits = self._assign((node, -1 - dim), size, taken)
            inner.append(digits)
            folded += [d.axis for d in digits if d.axis is not None]
        value = self.value(x, tuple(inner), guards)
        self.owner = owner
        return self._along(node.op, value, folded)

    def _product(self, node: Node, index: Index, guards: tuple[Guard, ...]) -> Value:
        """Multiply the features of each edge by a small matrix."""
        x, w = node.args
        owner = dict(self.owner)
        inner = self._assign((node, -1), w.shape[0], _axes(index, guards))
        left, right = self.value(x, (*index[:-1], inner), guards), self.value(w, (inner, index[-1]), guards)
        self.owner = owner
        level, axes = max(left.level, right.level), left.axes | right.axes
        self._note(axes, node.dtype)
        terms = Value(self._let(level, f"{left.text} * {right.text}"), node.dtype, level, axes)
        return self._along("sum", terms, [d.axis for d in inner if d.axis is not None])

    def _along(self, op: str, value: Value, folded: list[int]) -> Value:
        """Sum or maximise along axes."""
        text, axes = value.text, value.axes
        for axis in folded:
            size = self.dims[axis]
            if axis not in axes:
                text = text if op == "amax" else self._let(value.level, f"{text} * {size}")
                continue
            if power_of_two(size) != size:
                fill = "0" if op == "sum" else "float('-inf')"
                text = self._let(value.level, f"tl.where(b{axis}, {text}, {fill})")
            call = f"tl.sum({text}, {axis + 1}, keep_dims=True)"
            text = self._let(value.level, call if op == "sum" else f"device.greatest({text}, {axis + 1})")
            axes = axes - {axis}
        return replace(value, text=text, axes=axes)

    def _rand(self, node: Node, index: Index) -> Value:
        """Uniform numbers of the counter-based generator; the same arithmetic as `interpret.uniform`."""
        seed = self.value(node.args[0], ())
        place = self._number(_merged(index))
        level = EDGE if node.space == "E" else ROW
        row = self._edge_id().text if node.space == "E" else "row_"
        feature = f"({place.text} + o)"
        text = self._let(level, f"device.uniform({seed.text}, {node.attr}, {row}, {feature}).to({TYPES[node.dtype]})")
        self._note(place.axes, node.dtype)
        return Value(text, node.dtype, level, place.axes)

    # --- memory

    def _array(self, node: Node) -> str:
        if node not in self.arrays:
            self.arrays.append(node)
        return f"A{self.arrays.index(node)}"

    def _read(self, node: Node, index: Index, guards: tuple[Guard, ...]) -> Value:
        """Load a value that is in memory."""
        if node in self.written:
            self.fences.add(self.written[node])
        if node.space == "C":
            return self._load(node, "", index, guards, ENTRY)
        if node.space == "E":
            return self._load(node, "edge", index, guards, EDGE)
        return self._load(node, "row", index, guards, ROW)

    def _load(self, node: Node, where: str, index: Index, guards: tuple[Guard, ...], level: int) -> Value:
        spread = frozenset(_axes(index, guards))
        array = self._array(node)
        mask = self._mask(spread, guards, level)
        text = f"tl.load({array} + {self._offset(node, where, index, level)}{mask}{', other=0' if mask else ''})"
        if node.dtype in ("f32", "f64"):
            text += f".to({TYPES[node.dtype]})"
        elif node.dtype == "bool":
            text += " != 0"
        self._note(spread, node.dtype)
        return Value(self._let(level, text), node.dtype, level, spread)

    def _store(self, node: Node, where: str, index: Index, value: Value, level: int) -> None:
        axes = _axes(index, ())
        offset = self._offset(node, where, index, level)
        self.lines[level].append(f"tl.store({self._array(node)} + {offset}, {value.text}{self._mask(axes, (), level)})")

    def _offset(self, node: Node, where: str, index: Index, level: int) -> str:
        flat = self._flat(node, index)
        if not where:
            return f"{flat} + o"
        name = {"row": "row_", "lane": "lane_"}.get(where) or self._place(where, node)
        return f"({name} * {node.numel} + {flat})"

    def _place(self, where: str, node: Node) -> str:
        """Return the row of an edge value, or of the other end's value, at this edge."""
        if where == "col":
            return self._header("col")
        if node not in self.tile:
            return self._header("edge")
        if self.kernel.adds:
            return f"({self._header('pos')} - first)"
        return f"({self._once(EDGE, 'q.to(INDEX)')} - first)"

    def _header(self, name: str) -> str:
        return self._once(EDGE, f"{self._once(EDGE, f'tl.load({name} + q, mask=m, other=0)')}.to(INDEX)")

    def _edge_id(self) -> Value:
        text = self._once(EDGE, "tl.load(edge + q, mask=m, other=0)")
        return Value(text, "i32", EDGE, frozenset())

    def _mask(self, axes: Iterable[int], guards: tuple[Guard, ...], level: int = ENTRY) -> str:
        parts = {ENTRY: [], ROW: ["live"], EDGE: ["m"]}[level][:]
        parts += [f"b{a}" for a in sorted(axes) if power_of_two(self.dims[a]) != self.dims[a]]
        parts += [g.text for g in guards]
        return f", mask={' & '.join(parts)}" if parts else ""

    # --- indices

    def _axes_of(self, root: Node, shape: tuple[int, ...]) -> Index:
        """Give each feature axis of a root an axis of the tensor."""
        taken: set[int] = set()
        return tuple(self._assign((root, dim), size, taken) for dim, size in enumerate(shape))

    def _assign(self, key: tuple[Node, int], size: int, taken: set[int]) -> Digits:
        """Take for each digit an axis of its size that is not in use, or a new one."""
        digits = []
        for number, part in enumerate(self.splits.get(key, [size] if size > 1 else [])):
            free = [a for a, d in enumerate(self.dims) if d == part and a not in taken]
            if not free:
                self.dims.append(part)
                free = [len(self.dims) - 1]
            axis = free[0]
            taken.add(axis)
            self.owner[axis] = (*key, number)
            digits.append(Digit(part, f"a{axis}", frozenset({axis}), axis))
        return tuple(digits)

    def _broadcast(self, index: Index, arg: Node) -> Index:
        own = index[len(index) - len(arg.shape) :]
        return tuple(digits if size > 1 else () for digits, size in zip(own, arg.shape))

    def _flat(self, node: Node, index: Index) -> str:
        """Return the flat feature position as text."""
        stride, terms = node.numel, []
        for digits, size in zip(index, node.shape, strict=True):
            stride //= max(size, 1)
            number = self._number(digits)
            if number.text != "0":
                terms.append(number.text if stride == 1 else f"{number.text} * {stride}")
        return " + ".join(terms) or "0"

    def _number(self, digits: Digits) -> Digit:
        """Join digits into one."""
        if len(digits) == 1:
            return digits[0]
        size = math.prod(d.size for d in digits)
        rest, terms = size, []
        for d in digits:
            rest //= d.size
            terms.append(d.text if rest == 1 else f"{d.text} * {rest}")
        axes: frozenset[int] = frozenset().union(*(d.axes for d in digits))
        return Digit(size, f"({' + '.join(terms)})" if terms else "0", axes)

    def _viewed(self, node: Node, index: Index) -> Index:
        """Return the index into the argument of a view for an index into the view."""
        x = node.args[0]
        if node.op == "expand":
            return self._broadcast(index, x)
        if node.op == "permute":
            back: list[Digits] = [()] * len(index)
            for new, old in enumerate(node.attr):
                back[old] = index[new]
            return tuple(back)
        if node.op == "take":
            axis, positions = node.attr
            moved = self._taken(self._number(index[axis]), positions, x.shape[axis])
            return (*index[:axis], moved, *index[axis + 1 :])
        return self._regrouped(_merged(index), x.shape)

    def _taken(self, place: Digit, positions: tuple[int, ...], size: int) -> Digits:
        """Look up the position in a constant list, by runs of equal steps."""
        if size == 1:
            return ()
        steps = [b - a for a, b in pairwise(positions)]
        if len(set(steps)) <= 1:
            step = steps[0] if steps else 0
            moved = f"{place.text} * {step}" if step != 1 else place.text
            text = f"({moved} + {positions[0]})" if step and positions[0] else moved if step else str(positions[0])
            return (Digit(size, f"({text})" if " " in text and text[0] != "(" else text, place.axes),)
        runs = []
        for _, group in groupby(enumerate(positions), lambda pair: pair[1] - pair[0]):
            run = list(group)
            runs.append((run[0][0], run[0][1] - run[0][0]))
        if len(runs) > MAX_RUNS:
            raise Refused(f"a slice of {len(runs)} separate pieces")
        text = f"({place.text} + {runs[0][1]})"
        for start, shift in runs[1:]:
            text = f"tl.where({place.text} < {start}, {text}, {place.text} + {shift})"
        return (Digit(size, self._once(ENTRY, text), place.axes),)

    def _regrouped(self, digits: Digits, shape: tuple[int, ...]) -> Index:
        """Cut the digits of a flat position into those of each axis of a shape."""
        left = list(digits)
        groups: list[Digits] = []
        for size in reversed(shape):
            group: list[Digit] = []
            need = size
            while need > 1:
                last = left.pop()
                if need % last.size == 0:
                    group.insert(0, last)
                    need //= last.size
                    continue
                if last.size % need:
                    return self._divided(digits, shape)
                if last.axis is not None:
                    self._cut(last.axis, last.size // need, need)
                left.append(Digit(last.size // need, f"({last.text} // {need})", last.axes))
                group.insert(0, Digit(need, f"({last.text} % {need})", last.axes))
                need = 1
            groups.insert(0, tuple(group))
        return tuple(groups)

    def _cut(self, axis: int, high: int, low: int) -> None:
        """Start again with an axis split in two."""
        node, dim, number = self.owner[axis]
        sizes = self.splits.setdefault((node, dim), [self.dims[axis]])
        sizes[number : number + 1] = [high, low]
        raise _Split

    def _divided(self, digits: Digits, shape: tuple[int, ...]) -> Index:
        """Compute the position along each axis from the flat one."""
        flat = self._number(digits)
        place = Digit(flat.size, self._once(ENTRY, f"{flat.text} + o"), flat.axes)
        out: list[Digits] = []
        stride = flat.size
        for size in shape:
            stride //= size
            text = f"({place.text} // {stride} % {size})" if stride > 1 else f"({place.text} % {size})"
            out.append((Digit(size, text, place.axes),) if size > 1 else ())
        return tuple(out)

    # --- text

    def _name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def _let(self, level: int, text: str) -> str:
        name = self._name("v")
        self.lines[level].append(f"{name} = {text}")
        return name

    def _once(self, level: int, text: str) -> str:
        """Name a number that does not depend on features, or on features alone."""
        key = (level, text)
        if key not in self.memo:
            self.memo[key] = Value(self._let(level, text), "i32", level, frozenset())
        return self.memo[key].text

    def _note(self, axes: Iterable[int], kind: str) -> None:
        """Keep the size of the greatest tensor."""
        size = math.prod(power_of_two(self.dims[a]) for a in axes)
        if size > MAX_ELEMENTS:
            raise Refused(f"a tensor of {size} numbers per edge")
        self.widest = max(self.widest, size)
        self.wide = max(self.wide, 8 if kind == "f64" else 4)


def _merged(index: Index) -> Digits:
    """Return the digits of the flat position."""
    return tuple(d for digits in index for d in digits)


def _axes(index: Index, guards: tuple[Guard, ...]) -> set[int]:
    """Return the axes that an index and its guards vary along."""
    return {a for digits in index for d in digits for a in d.axes} | {a for g in guards for a in g.axes}


def _counts(root: Node) -> bool:
    """Whether the root sums a constant: a multiple of the row's number of edges."""
    x = root.args[0]
    return root.op == "reduce" and x.op == "expand" and x.args[0].op == "const"

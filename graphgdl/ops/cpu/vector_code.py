"""Explicit vectors as LLVM IR text: values of several lanes, memory, intrinsics, shuffles.

Each instruction goes where its operands allow: into the function's entry, once per row, or once per edge.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

TYPES = {"f32": "float", "f64": "double", "i32": "i32", "bool": "i1"}
MEMORY = {**TYPES, "bool": "i8", "f16": "half", "bf16": "bfloat"}  # in 16 bits only inputs are kept
ALIGN = {"f32": 4, "f64": 8, "i32": 4, "bool": 1, "f16": 2, "bf16": 2}
FAST = "reassoc nsz arcp contract afn"
# a single-precision division of finite numbers is an estimate and one step of Newton's, good to the last bit or two
ATTRIBUTES = 'attributes #0 = { "reciprocal-estimates"="vec-divf:1" }'
ENTRY, ROW, EDGE = 0, 1, 2

Lanes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Vector:
    """An SSA value of `lanes` lanes (a scalar if 1), and how often it is computed."""

    name: str
    lanes: int
    kind: str
    level: int

    @property
    def type(self) -> str:
        """The LLVM type."""
        return vector_type(self.kind, self.lanes)


def vector_type(kind: str, lanes: int) -> str:
    """Return the LLVM type of `lanes` values of a dtype."""
    return TYPES[kind] if lanes == 1 else f"<{lanes} x {TYPES[kind]}>"


def literal(value: float, kind: str, lanes: int = 1) -> str:
    """Return a constant in every lane as LLVM writes it."""
    if kind == "bool":
        text = "true" if value else "false"
    elif kind == "i32":
        text = str(int(value))
    else:
        number = float(np.float32(value)) if kind == "f32" else float(value)
        text = f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"
    return _repeated(text, kind, lanes)


def _repeated(text: str, kind: str, lanes: int) -> str:
    return text if lanes == 1 else "<" + ", ".join([f"{TYPES[kind]} {text}"] * lanes) + ">"


def opaque(pointer: str, clobbered: str = "") -> str:
    """Return the same pointer, of which LLVM knows nothing: what lies there stays in memory, not in registers."""
    return f'call ptr asm sideeffect "", "=r,0{clobbered}"(ptr {pointer})'


class Builder:
    """The instructions of one kernel, and what they need outside of it.

    Attributes:
        lines: instructions at entry, of each row, and of each edge.
        slots: instructions that make room on the stack.
        declarations: lines that declare intrinsics and functions of the C library.
        functions: name -> definition of each function that is called.
    """

    def __init__(self) -> None:
        self.lines: dict[int, list[str]] = {ENTRY: [], ROW: [], EDGE: []}
        self.slots: list[str] = []
        self.declarations: set[str] = set()
        self.functions: dict[str, str] = {}
        self._names: dict[int, dict[str, str]] = {ENTRY: {}, ROW: {}, EDGE: {}}
        self._spread: dict[tuple[str, int], Vector] = {}
        self._count = 0

    def take(self, level: int) -> list[str]:
        """Return the instructions of a level so far, and begin anew."""
        lines, self.lines[level] = self.lines[level], []
        return lines

    def forget_edge(self) -> None:
        """Compute again what was computed once for each edge: another loop over the edges begins."""
        self._names[EDGE].clear()
        self._spread = {k: v for k, v in self._spread.items() if v.level < EDGE}

    def let(self, level: int, text: str) -> str:
        """Append an instruction; the name of its result."""
        self._count += 1
        name = f"%v{self._count}"
        self.lines[level].append(f"{name} = {text}")
        return name

    def once(self, key: str, level: int, text: str) -> str:
        """Append an instruction unless there is one of this key; the name of its result."""
        names = self._names[level]
        if key not in names:
            names[key] = self.let(level, text)
        return names[key]

    # --- memory

    def prefetch(self, pointer: str, offset: str, start: int, kind: str) -> None:
        """Ask for the line of memory at a position, once for each edge."""
        where = self.once(f"{offset}+{start}", EDGE, f"add i64 {offset}, {start}") if start else offset
        key = f"{pointer}+{where}"
        if key not in self._names[EDGE]:
            place = self.once(key, EDGE, f"getelementptr {MEMORY[kind]}, ptr {pointer}, i64 {where}")
            self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
            self.lines[EDGE].append(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")

    def slot(self, type_: str) -> str:
        """Make room on the stack."""
        self._count += 1
        self.slots.append(f"%slot{self._count} = alloca {type_}")
        return f"%slot{self._count}"

    def put(self, level: int, slot: str, type_: str, name: str) -> None:
        """Write a slot."""
        self.lines[level].append(f"store {type_} {name}, ptr {slot}")

    def get(self, level: int, slot: str, kind: str, lanes: int) -> Vector:
        """Read a slot."""
        return Vector(self.let(level, f"load {vector_type(kind, lanes)}, ptr {slot}"), lanes, kind, level)

    def load(
        self, pointer: str, offset: str | None, lanes: Lanes, kind: str, level: int, changes: bool = False
    ) -> Vector:
        """Load ascending flat positions, 16 bits as float32; `changes` if the kernel writes there too."""
        span = lanes[-1] - lanes[0] + 1
        if span != len(lanes) and span <= 4 * len(lanes) and span <= 256:
            whole = self.load(pointer, offset, tuple(range(lanes[0], lanes[-1] + 1)), kind, level, changes)
            return self.shuffle([whole], [p - lanes[0] for p in lanes])
        pieces = []
        for _, run in groupby(enumerate(lanes), lambda pair: pair[1] - pair[0]):
            positions = [p for _, p in run]
            n = len(positions)
            address = self._address(pointer, offset, positions[0], kind, level)
            stored = MEMORY[kind] if n == 1 else f"<{n} x {MEMORY[kind]}>"
            constant = "" if changes else ", !invariant.load !0"
            name = self.let(level, f"load {stored}, ptr {address}, align {ALIGN[kind]}{constant}")
            if kind == "bool":
                name = self.let(level, f"icmp ne {stored} {name}, {'0' if n == 1 else 'zeroinitializer'}")
            wide = "f32" if kind in ("f16", "bf16") else kind
            if wide != kind:
                name = self.let(level, f"fpext {stored} {name} to {vector_type(wide, n)}")
            pieces.append(Vector(name, n, wide, level))
        return self.shuffle(pieces, list(range(len(lanes))))

    def store(self, pointer: str, offset: str | None, lanes: Lanes, value: Vector, level: int) -> None:
        """Store consecutive flat positions."""
        n = len(lanes)
        value = self.spread(value, n)
        address = self._address(pointer, offset, lanes[0], value.kind, level)
        name, type_ = value.name, value.type
        if value.kind == "bool":
            type_ = "i8" if n == 1 else f"<{n} x i8>"
            name = self.let(level, f"zext {value.type} {name} to {type_}")
        self.lines[level].append(f"store {type_} {name}, ptr {address}, align {ALIGN[value.kind]}")

    def _address(self, pointer: str, offset: str | None, start: int, kind: str, level: int) -> str:
        where = str(start)
        if offset is not None:
            where = offset if start == 0 else self.let(level, f"add i64 {offset}, {start}")
        return self.let(level, f"getelementptr {MEMORY[kind]}, ptr {pointer}, i64 {where}")

    # --- lanes

    def intrinsic(self, name: str, kind: str, lanes: int, level: int, *args: str) -> str:
        """Call `llvm.<name>` of vectors of one type."""
        type_ = vector_type(kind, lanes)
        symbol = f"@llvm.{name}.{'' if lanes == 1 else f'v{lanes}'}{kind}"
        self.declarations.add(f"declare {type_} {symbol}({', '.join([type_] * len(args))})")
        flags = FAST if name == "sqrt" else ""
        return self.let(level, f"call {flags} {type_} {symbol}({', '.join(f'{type_} {a}' for a in args)})")

    def choose(self, kind: str, lanes: int, level: int, mask: str, yes: str, no: str) -> str:
        """Take `yes` where the mask holds, else `no`."""
        type_ = vector_type(kind, lanes)
        return self.let(level, f"select {vector_type('bool', lanes)} {mask}, {type_} {yes}, {type_} {no}")

    def sum(self, a: Vector, b: Vector) -> Vector:
        """Add two vectors of reals."""
        level = max(a.level, b.level)
        return Vector(self.let(level, f"fadd {FAST} {a.type} {a.name}, {b.name}"), a.lanes, a.kind, level)

    def greatest(self, a: Vector, b: Vector) -> Vector:
        """The greater of two vectors of reals, lane by lane; nan wins."""
        level = max(a.level, b.level)
        return Vector(self.intrinsic("maximum", a.kind, a.lanes, level, a.name, b.name), a.lanes, a.kind, level)

    def across(self, how: str, x: Vector) -> Vector:
        """The `sum` or the greatest (`amax`) of the lanes."""
        if x.lanes == 1:
            return x
        name = {"sum": "fadd", "amax": "fmaximum"}[how]
        scalar, symbol = TYPES[x.kind], f"@llvm.vector.reduce.{name}.v{x.lanes}{x.kind}"
        flags, types, start = "", "", ""
        if how == "sum":
            flags, types, start = f"{FAST} ", f"{scalar}, ", f"{scalar} {literal(-0.0, x.kind)}, "
        self.declarations.add(f"declare {scalar} {symbol}({types}{x.type})")
        return Vector(self.let(x.level, f"call {flags}{scalar} {symbol}({start}{x.type} {x.name})"), 1, x.kind, x.level)

    def spread(self, x: Vector, lanes: int) -> Vector:
        """Repeat one lane."""
        if x.lanes == lanes:
            return x
        assert x.lanes == 1, (x, lanes)
        if not x.name.startswith("%"):
            return Vector(_repeated(x.name, x.kind, lanes), lanes, x.kind, x.level)
        if (x.name, lanes) not in self._spread:
            type_ = vector_type(x.kind, lanes)
            one = self.let(x.level, f"insertelement {type_} poison, {x.type} {x.name}, i32 0")
            zero = f"<{lanes} x i32> zeroinitializer"
            name = self.let(x.level, f"shufflevector {type_} {one}, {type_} poison, {zero}")
            self._spread[x.name, lanes] = Vector(name, lanes, x.kind, x.level)
        return self._spread[x.name, lanes]

    def shuffle(self, pieces: Sequence[Vector], order: list[int]) -> Vector:
        """Pick lanes from the concatenation of `pieces`."""
        starts = np.cumsum([0, *(p.lanes for p in pieces)])
        owner = np.searchsorted(starts, order, side="right") - 1
        used = sorted(set(owner.tolist()))
        pieces = [pieces[u] for u in used]
        parts = [(used.index(o), p - int(starts[o])) for o, p in zip(owner.tolist(), order)]
        level = max(p.level for p in pieces)
        kind, n = pieces[0].kind, len(order)
        type_ = vector_type(kind, n)
        if len(pieces) == 1:
            x = pieces[0]
            if [p for _, p in parts] == list(range(x.lanes)):
                return x
            if n == 1:
                return Vector(self.let(level, f"extractelement {x.type} {x.name}, i32 {parts[0][1]}"), 1, kind, level)
        result = "poison"
        for number, x in enumerate(pieces):
            mine = [p if o == number else None for o, p in parts]
            if x.lanes == 1:
                for lane, p in enumerate(mine):
                    if p is not None:
                        result = self.let(level, f"insertelement {type_} {result}, {x.type} {x.name}, i32 {lane}")
                continue
            mask = ", ".join("i32 poison" if p is None else f"i32 {p}" for p in mine)
            wide = self.let(level, f"shufflevector {x.type} {x.name}, {x.type} poison, <{n} x i32> <{mask}>")
            if result == "poison":
                result = wide
                continue
            blend = ", ".join(f"i32 {k if p is None else k + n}" for k, p in enumerate(mine))
            result = self.let(level, f"shufflevector {type_} {result}, {type_} {wide}, <{n} x i32> <{blend}>")
        return Vector(result, n, kind, level)

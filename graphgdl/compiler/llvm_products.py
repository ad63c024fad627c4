"""Products of the few rows of a block with a matrix, and sums of outer products over them, as LLVM IR.

A group of rows meets a panel of columns in registers: each step of the contraction takes a few loads of the panel, one
number of each row, and fills every fused multiply-add between them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .llvm_pointwise import ATTRIBUTES
from .llvm_vectors import ALIGN, FAST, TYPES, vector_type


def product(symbol: str, k: int, m: int, kind: str, register_bits: int) -> str:
    """Return the function `symbol(ptr x, ptr w, ptr y, i64 n)`: y (n, m) = x (n, k) w (k, m)."""
    code = _Function(symbol, kind, register_bits)

    def group(row: str, size: int, column: str, panel: Panel) -> None:
        starts = [code.offset("%x", code.add(row, r), k) for r in range(size)]
        sums = [[code.room(lanes, zero=True) for _, lanes in panel] for _ in starts]

        def step(inner: str) -> None:
            code.outer(starts, inner, code.at(code.offset("%w", inner, m), column), panel, sums)

        code.loop(str(k), 1, step)
        for r, slots in enumerate(sums):
            place = code.at(code.offset("%y", code.add(row, r), m), column)
            for (start, lanes), slot in zip(panel, slots):
                code.store(code.at(place, start), code.load(slot, lanes), lanes)

    code.tiles("%n", m, group)
    return code.text()


def outer_sum(symbol: str, k: int, m: int, kind: str, register_bits: int) -> str:
    """Return the function `symbol(ptr x, ptr w, ptr y, i64 n)`: y (k, m) += x^T w for x (n, k), w (n, m)."""
    code = _Function(symbol, kind, register_bits)

    def group(row: str, size: int, column: str, panel: Panel) -> None:
        places = [code.at(code.offset("%y", code.add(row, r), m), column) for r in range(size)]
        sums = [[code.room(lanes) for _, lanes in panel] for _ in places]

        def each(copy: Callable[[str, str, int], None]) -> None:
            for place, slots in zip(places, sums):
                for (start, lanes), slot in zip(panel, slots):
                    copy(code.at(place, start), slot, lanes)

        def step(n: str) -> None:
            left = code.at(code.offset("%x", n, k), row)
            code.outer(
                [code.at(left, r) for r in range(size)], "", code.at(code.offset("%w", n, m), column), panel, sums
            )

        each(lambda place, slot, lanes: code.store(slot, code.load(place, lanes), lanes))
        code.loop("%n", 1, step)
        each(lambda place, slot, lanes: code.store(place, code.load(slot, lanes), lanes))

    code.tiles(str(k), m, group)
    return code.text()


GROUPS = (6, 3, 1)  # rows that share the loads of a panel
Panel = list[tuple[int, int]]  # vectors: first column, lanes


class _Function:
    """Writes one function of three arrays and a number of rows."""

    def __init__(self, symbol: str, kind: str, register_bits: int) -> None:
        self.symbol, self.kind, self.type = symbol, kind, TYPES[kind]
        self.lanes = register_bits // (64 if kind == "f64" else 32)
        self.width = 4 if register_bits == 512 else 2  # vectors of a panel: of 32 registers, or of 16
        self.lines: list[str] = []
        self.slots: list[str] = ["%row = alloca i64"]
        self.count = 0

    def tiles(self, rows: str, m: int, group: Callable[..., None]) -> None:
        """Call `group(first row, number of rows, first column, panel)` inside loops over `rows` rows and m columns."""
        whole, rest = self._panels(m)

        def panel(column: str, vectors: Panel) -> None:
            self.line("store i64 0, ptr %row")
            for size in GROUPS:
                self.loop(rows, size, partial(group, size=size, column=column, panel=vectors), slot="%row")

        if whole:
            width = self.width * self.lanes
            vectors = [(v * self.lanes, self.lanes) for v in range(self.width)]
            self.loop(str(whole * width), width, lambda column: panel(column, vectors))
        if rest:
            panel("0", rest)

    def _panels(self, m: int) -> tuple[int, Panel]:
        """Cut m columns into whole panels, their number, and the vectors (first column, lanes) that are left."""
        whole, start = divmod(m, self.width * self.lanes)
        rest, lanes, start = [], self.lanes, m - start
        while start < m:
            while lanes > m - start:
                lanes //= 2
            rest.append((start, lanes))
            start += lanes
        return whole, rest

    def outer(self, rows: list[str], inner: str, columns: str, panel: Panel, sums: list[list[str]]) -> None:
        """Add to `sums` one number of each row times a row of columns."""
        vectors = [self.load(self.at(columns, start), lanes) for start, lanes in panel]
        for row, slots in zip(rows, sums):
            number = self.load(self.at(row, inner), 1)
            for (_, lanes), vector, slot in zip(panel, vectors, slots):
                self.multiply_add(slot, number, vector, lanes)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def let(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def add(self, a: str, b: int) -> str:
        return self.let(f"add i64 {a}, {b}") if b else a

    def at(self, pointer: str, index: str | int = 0) -> str:
        return (
            self.let(f"getelementptr {self.type}, ptr {pointer}, i64 {index}") if index not in ("", "0", 0) else pointer
        )

    def offset(self, pointer: str, row: str, width: int) -> str:
        return self.at(pointer, self.let(f"mul i64 {row}, {width}"))

    def load(self, place: str, lanes: int) -> str:
        return self.let(f"load {vector_type(self.kind, lanes)}, ptr {place}, align {ALIGN[self.kind]}")

    def store(self, place: str, value: str, lanes: int) -> None:
        self.line(f"store {vector_type(self.kind, lanes)} {value}, ptr {place}, align {ALIGN[self.kind]}")

    def room(self, lanes: int, zero: bool = False) -> str:
        """Return a place on the stack, of which LLVM makes a register."""
        self.count += 1
        type_ = vector_type(self.kind, lanes)
        self.slots.append(f"%s{self.count} = alloca {type_}")
        if zero:
            self.store(f"%s{self.count}", "zeroinitializer" if lanes > 1 else "0.0", lanes)
        return f"%s{self.count}"

    def multiply_add(self, slot: str, number: str, column: str, lanes: int) -> None:
        type_ = vector_type(self.kind, lanes)
        if lanes > 1:
            one = self.let(f"insertelement {type_} poison, {self.type} {number}, i32 0")
            number = self.let(f"shufflevector {type_} {one}, {type_} poison, <{lanes} x i32> zeroinitializer")
        times = self.let(f"fmul {FAST} {type_} {number}, {column}")
        old = self.load(slot, lanes)
        self.store(slot, self.let(f"fadd {FAST} {type_} {old}, {times}"), lanes)

    def loop(self, stop: str, step: int, body: Callable[[str], None], slot: str = "") -> None:
        """Let `body` work for each `step` numbers below `stop`, from 0, or from what is in `slot`, where it leaves off."""
        self.count += 1
        label = f"l{self.count}"
        if not slot:
            slot = f"%l{self.count}"
            self.slots.append(f"{slot} = alloca i64")
            self.line(f"store i64 0, ptr {slot}")
        self.line(f"br label %{label}.head")
        self.line(f"{label}.head:")
        now = self.let(f"load i64, ptr {slot}")
        last = self.add(now, step)
        more = self.let(f"icmp sle i64 {last}, {stop}")
        self.line(f"br i1 {more}, label %{label}.body, label %{label}.end")
        self.line(f"{label}.body:")
        body(now)
        self.line(f"store i64 {last}, ptr {slot}")
        self.line(f"br label %{label}.head")
        self.line(f"{label}.end:")

    def text(self) -> str:
        """Return the function."""
        head = f"define void @{self.symbol}(ptr noalias %x, ptr noalias %w, ptr noalias %y, i64 %n) #0 {{"
        return "\n".join([head, "entry:", *self.slots, *self.lines, "ret void", "}", ATTRIBUTES, ""])

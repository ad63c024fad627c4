"""Products of rows with a small matrix, and sums of outer products over rows, as LLVM IR.

A group of rows meets a panel of columns in registers: each step of the contraction takes a few loads of the panel, one
number of each row, and fills every fused multiply-add between them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .vector_code import ATTRIBUTES, ENTRY, FAST, Builder, Lanes, Vector, literal, vector_type


def product(symbol: str, k: int, m: int, kind: str, register_bits: int, start: str = "zero") -> str:
    """Return the function `symbol(ptr x, ptr w, ptr y, i64 n, ptr z)`: y (n, m) = z + x (n, k) w (k, m).

    `start` says what z is: 'zero', and it is not given; 'row' (m,), for all rows; 'rows' (n, m).
    """
    code = _Function(symbol, kind, register_bits, ", ptr noalias %z" if start != "zero" else "")

    def group(row: str, size: int, column: str, panel: Panel) -> None:
        rows = [code.add(row, r) for r in range(size)]
        starts = [code.times(r, k) for r in rows]
        places = [code.add(code.times(r, m), column) for r in rows]
        begin = {"zero": [""] * size, "row": [column] * size, "rows": places}[start]
        sums = [[code.sum_of(lanes, "%z", place) for lanes in panel] for place in begin]

        def step(inner: str) -> None:
            code.outer([code.add(s, inner) for s in starts], code.add(code.times(inner, m), column), panel, sums)

        code.loop(str(k), 1, step)
        for place, slots in zip(places, sums):
            code.write(place, panel, slots)

    code.tiles("%n", m, group)
    return code.text()


def outer_sum(symbol: str, k: int, m: int, kind: str, register_bits: int) -> str:
    """Return the function `symbol(ptr x, ptr w, ptr y, i64 n)`: y (k, m) += x^T w for x (n, k), w (n, m)."""
    code = _Function(symbol, kind, register_bits)

    def group(row: str, size: int, column: str, panel: Panel) -> None:
        places = [code.add(code.times(code.add(row, r), m), column) for r in range(size)]
        sums = [[code.sum_of(lanes, "%y", place) for lanes in panel] for place in places]

        def step(n: str) -> None:
            left = code.add(code.times(n, k), row)
            code.outer([code.add(left, r) for r in range(size)], code.add(code.times(n, m), column), panel, sums)

        code.loop("%n", 1, step)
        for place, slots in zip(places, sums):
            code.write(place, panel, slots)

    code.tiles(str(k), m, group)
    return code.text()


GROUPS = (6, 3, 1)  # rows that share the loads of a panel
Panel = list[Lanes]  # vectors of columns that lie side by side


class _Function(Builder):
    """Writes one function of three arrays, a number of rows and what else is said, all of it in nested loops."""

    def __init__(self, symbol: str, kind: str, register_bits: int, more: str = "") -> None:
        super().__init__()
        self.symbol, self.kind, self.more = symbol, kind, more
        self.most = register_bits // (64 if kind == "f64" else 32)  # lanes
        self.width = 4 if register_bits == 512 else 2  # vectors of a panel: of 32 registers, or of 16
        self.slots.append("%row = alloca i64")

    def tiles(self, rows: str, m: int, group: Callable[..., None]) -> None:
        """Call `group(first row, number of rows, first column, panel)` inside loops over `rows` rows and m columns."""
        whole, rest = self._panels(m)

        def panel(column: str, vectors: Panel) -> None:
            self.lines[ENTRY].append("store i64 0, ptr %row")
            for size in GROUPS:
                self.loop(rows, size, partial(group, size=size, column=column, panel=vectors), slot="%row")

        if whole:
            width = self.width * self.most
            vectors = [tuple(range(start, start + self.most)) for start in range(0, width, self.most)]
            self.loop(str(whole * width), width, lambda column: panel(column, vectors))
        if rest:
            panel("0", rest)

    def _panels(self, m: int) -> tuple[int, Panel]:
        """Cut m columns into whole panels, their number, and the vectors that are left."""
        whole, start = divmod(m, self.width * self.most)
        rest, lanes, start = [], self.most, m - start
        while start < m:
            while lanes > m - start:
                lanes //= 2
            rest.append(tuple(range(start, start + lanes)))
            start += lanes
        return whole, rest

    def outer(self, numbers: list[str], columns: str, panel: Panel, sums: list[list[str]]) -> None:
        """Add to `sums` one number of each row times a row of columns."""
        vectors = [self._read("%w", columns, lanes) for lanes in panel]
        for place, slots in zip(numbers, sums):
            number = self._read("%x", place, (0,))
            for vector, slot in zip(vectors, slots):
                factor = self.spread(number, vector.lanes)
                name = self.let(ENTRY, f"fmul {FAST} {vector.type} {factor.name}, {vector.name}")
                old = self.get(ENTRY, slot, self.kind, vector.lanes)
                self.put(ENTRY, slot, vector.type, self.sum(old, Vector(name, vector.lanes, self.kind, ENTRY)).name)

    def sum_of(self, lanes: Lanes, array: str, place: str) -> str:
        """Return a slot for a sum that begins with what is at a place in an array, or with zero if there is no place."""
        type_ = vector_type(self.kind, len(lanes))
        slot = self.slot(type_)
        begin = self._read(array, place, lanes).name if place else literal(0, self.kind, len(lanes))
        self.put(ENTRY, slot, type_, begin)
        return slot

    def write(self, place: str, panel: Panel, slots: list[str]) -> None:
        """Store sums at a place in y."""
        for lanes, slot in zip(panel, slots):
            self.store("%y", place, lanes, self.get(ENTRY, slot, self.kind, len(lanes)), ENTRY)

    def _read(self, array: str, place: str, lanes: Lanes) -> Vector:
        return self.load(array, place, lanes, self.kind, ENTRY, changes=True)

    def add(self, a: str, b: str | int) -> str:
        return self.let(ENTRY, f"add i64 {a}, {b}") if b not in (0, "0") else a

    def times(self, a: str, b: int) -> str:
        return self.let(ENTRY, f"mul i64 {a}, {b}")

    def loop(self, stop: str, step: int, body: Callable[[str], None], slot: str = "") -> None:
        """Let `body` work for each `step` numbers below `stop`, from 0, or from what is in `slot`, where it leaves off."""
        lines = self.lines[ENTRY]
        if not slot:
            slot = self.slot("i64")
            lines.append(f"store i64 0, ptr {slot}")
        now = f"%at{len(lines)}"
        label = now[1:]
        lines += [f"br label %{label}.head", f"{label}.head:", f"{now} = load i64, ptr {slot}"]
        last = self.add(now, step)
        more = self.let(ENTRY, f"icmp sle i64 {last}, {stop}")
        lines += [f"br i1 {more}, label %{label}.body, label %{label}.end", f"{label}.body:"]
        body(now)
        lines += [f"store i64 {last}, ptr {slot}", f"br label %{label}.head", f"{label}.end:"]

    def text(self) -> str:
        """Return the function."""
        head = f"define void @{self.symbol}(ptr noalias %x, ptr noalias %w, ptr noalias %y, i64 %n{self.more}) #0 {{"
        return "\n".join([head, "entry:", *self.slots, *self.lines[ENTRY], "ret void", "}", ATTRIBUTES, ""])

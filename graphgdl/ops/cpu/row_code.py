"""LLVM IR of a function that walks over rows, and over the edges of each: what its kernels are written in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

_AHEAD = 8  # edges on: about as long as the memory takes
_LINE = 64  # bytes that memory moves at once
_ARGUMENTS = {
    **dict.fromkeys(("out", "x", "other", "ptr", "col", "edge"), "ptr"),
    **dict.fromkeys(("stride", "heads", "last"), "i64"),
}

# ROW is done for each row %i, whose features begin at %i.first and whose edges lie from %begin to %end
_ROWS = """\
define void @rows(ptr %arguments, i64 %start, i64 %stop, i64 %part) {
entry:
ENTRY
  br label %row.head
row.head:
  %i = phi i64 [ %start, %entry ], [ %i.next, %row.end ]
  %row.more = icmp slt i64 %i, %stop
  br i1 %row.more, label %row.body, label %finish
row.body:
  %begin.at = getelementptr i64, ptr %ptr, i64 %i
  %begin = load i64, ptr %begin.at
  %i.next = add i64 %i, 1
  %end.at = getelementptr i64, ptr %ptr, i64 %i.next
  %end = load i64, ptr %end.at
  %i.first = mul i64 %i, %stride
ROW
  br label %row.end
row.end:
  br label %row.head
finish:
  ret void
}
declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
"""
_EDGES = """\
  br label %NAME.enter
NAME.enter:
  br label %NAME.head
NAME.head:
  %NAME.k = phi i64 [ %begin, %NAME.enter ], [ %NAME.next, %NAME.body ]
  %NAME.more = icmp slt i64 %NAME.k, %end
  br i1 %NAME.more, label %NAME.body, label %NAME.end
NAME.body:"""
_NEXT = """\
  %NAME.next = add i64 %NAME.k, 1
  br label %NAME.head
NAME.end:"""


class Type(NamedTuple):
    """A type of elements."""

    name: str
    suffix: str
    bytes: int


IDS = Type("i64", "i64", 8)


class Vector(NamedTuple):
    """Features of one head that one register holds: `lanes` from `offset`; `continued` if the head began before."""

    offset: int
    lanes: int
    head: int
    continued: bool


class Code:
    """LLVM IR on elements of one type, with ids of type `key`; most methods return the name of a value."""

    def __init__(self, element: Type, key: str) -> None:
        self.element, self.key, self.float = element, key, element.suffix[0] == "f"
        self.lines: list[str] = []
        self.outside: set[str] = set()  # functions and declarations
        self._names = 0

    def line(self, text: str) -> None:
        """Append a line."""
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        """Append a line that makes a value."""
        self._names += 1
        self.line(f"%v{self._names} = {text}")
        return f"%v{self._names}"

    @contextmanager
    def edges(self) -> Iterator[str]:
        """Do what is appended inside for each edge of the row, at the position that is given."""
        self._names += 1
        name = f"e{self._names}"
        self.lines.append(_EDGES.replace("NAME", name))
        yield f"%{name}.k"
        self.lines.append(_NEXT.replace("NAME", name))

    def function(self, slots: Iterable[str]) -> str:
        """Return the text of the function `rows`; `slots` are where rows keep what they have so far."""
        row, self.lines = self.lines, []
        for place, (name, kind) in enumerate(_ARGUMENTS.items()):
            at = self.value(f"getelementptr i64, ptr %arguments, i64 {place}")
            self.line(f"%{name} = load {kind}, ptr {at}")
        for slot in slots:
            self.line(slot)
        text = _ROWS.replace("ENTRY", "\n".join(self.lines)).replace("ROW", "\n".join(row))
        return "\n".join([text, *sorted(self.outside)])

    def row(self, array: str | None, position: str, stride: str) -> str:
        """Return where the row begins that `array` names at `position`, or the row of this number."""
        return self.value(f"mul i64 {self.entry(array, position)}, %{stride}")

    def entry(self, array: str | None, position: str) -> str:
        """Read a node or an edge id; without an array it is the position."""
        if array is None:
            return position
        place = self.value(f"getelementptr {self.key}, ptr %{array}, i64 {position}")
        short = self.value(f"load {self.key}, ptr {place}")
        return short if self.key == "i64" else self.value(f"zext {self.key} {short} to i64")

    def place(self, array: str, first: str, offset: int, element: Type | None = None) -> str:
        """Return the address of an element."""
        at = self.value(f"add i64 {first}, {offset}")
        return self.value(f"getelementptr {(element or self.element).name}, ptr %{array}, i64 {at}")

    def later(self, position: str) -> str:
        """Return the position some edges on."""
        at = self.value(f"add i64 {position}, {_AHEAD}")
        return self.value(f"call i64 @llvm.smin.i64(i64 {at}, i64 %last)")

    def prefetch(self, array: str, first: str, vectors: Sequence[Vector]) -> None:
        """Ask for these features of the row that begins at `first`."""
        stop = vectors[-1].offset + vectors[-1].lanes
        for offset in range(vectors[0].offset, stop, _LINE // self.element.bytes):
            self.line(f"call void @llvm.prefetch.p0(ptr {self.place(array, first, offset)}, i32 0, i32 3, i32 1)")

    def kind(self, vector: Vector, element: Type | None = None) -> str:
        """Return the type of a vector."""
        return f"<{vector.lanes} x {(element or self.element).name}>"

    def load(self, vector: Vector, array: str, first: str) -> str:
        """Read these features of the row that begins at `first`."""
        place = self.place(array, first, vector.offset)
        return self.value(f"load {self.kind(vector)}, ptr {place}, align {self.element.bytes}")

    def store(self, vector: Vector, value: str, first: str, element: Type | None = None) -> None:
        """Write these features of the row of `out` that begins at `first`."""
        place, size = self.place("out", first, vector.offset, element), (element or self.element).bytes
        self.line(f"store {self.kind(vector, element)} {value}, ptr {place}, align {size}")

    def op(self, name: str, kind: str, a: str, b: str) -> str:
        """Return `a` and `b` added, subtracted, multiplied or divided."""
        return self.value(f"f{name} contract {kind} {a}, {b}" if self.float else f"{name} {kind} {a}, {b}")

    def spread(self, scalar: str, vector: Vector, element: Type) -> str:
        """Return a scalar in all lanes."""
        kind = self.kind(vector, element)
        one = self.value(f"insertelement {kind} poison, {element.name} {scalar}, i32 0")
        return self.value(f"shufflevector {kind} {one}, {kind} poison, <{vector.lanes} x i32> zeroinitializer")

    def wins(self, vector: Vector, value: str, best: str, greatest: bool, first: str) -> str:
        """Return where `value` takes the place of `best`: it is better, or nan, or the first of the row."""
        kind, bits, name = self.kind(vector), self.kind(vector, _BIT), "gt" if greatest else "lt"
        better = self.value(f"{'fcmp u' if self.float else 'icmp s'}{name} {kind} {value}, {best}")
        if self.float:  # "u": or one of them is nan; if it is the one that stands, it stays
            better = self.value(f"and {bits} {better}, {self.value(f'fcmp ord {kind} {best}, {best}')}")
        return self.value(f"or {bits} {better}, {self.spread(first, vector, _BIT)}")


_BIT = Type("i1", "i1", 1)

"""LLVM IR of row sums and dot products, made for the number of heads and channels: what is summed stays in registers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

_AHEAD = 8  # edges on: about as long as the memory takes
_LINE = 64  # bytes that memory moves at once
_ARGUMENTS = {
    **dict.fromkeys(("out", "x", "other", "ptr", "col", "edge"), "ptr"),
    **dict.fromkeys(("stride", "heads", "last"), "i64"),
}

# BEFORE is done for each row %i, EACH for each of its edges, at position %k, and AFTER for the row again
_LOOP = f"""\
define void @rows(ptr %arguments, i64 %start, i64 %stop, i64 %part) {{
entry:
ARGUMENTS
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
BEFORE
  br label %edge.head
edge.head:
  %k = phi i64 [ %begin, %row.body ], [ %k.next, %edge.body ]
  %more = icmp slt i64 %k, %end
  br i1 %more, label %edge.body, label %row.end
edge.body:
  %later = add i64 %k, {_AHEAD}
  %ahead = call i64 @llvm.smin.i64(i64 %later, i64 %last)
EACH
  %k.next = add i64 %k, 1
  br label %edge.head
row.end:
AFTER
  br label %row.head
finish:
  ret void
}}
declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
"""


class Type(NamedTuple):
    """A type of elements."""

    name: str
    suffix: str
    bytes: int


class Vector(NamedTuple):
    """Features of one head that one register holds: `lanes` from `offset`; `continued` if the head began before."""

    offset: int
    lanes: int
    head: int
    continued: bool


class _Code:
    """Lines of LLVM IR on elements of one type, with ids of type `key`; most methods return the name of a value."""

    def __init__(self, element: Type, key: str) -> None:
        self.element, self.key, self.float = element, key, element.suffix[0] == "f"
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self.count = 0

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        self.count += 1
        self.line(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def take(self) -> str:
        """Return the lines so far, and begin anew."""
        text, self.lines = "\n".join(self.lines), []
        return text

    def entry(self, array: str, position: str) -> str:
        """Read a node or an edge id."""
        place = self.value(f"getelementptr {self.key}, ptr %{array}, i64 {position}")
        short = self.value(f"load {self.key}, ptr {place}")
        return short if self.key == "i64" else self.value(f"zext {self.key} {short} to i64")

    def row(self, array: str | None, position: str, stride: str) -> str:
        """Return where the row begins that `array` names at `position`, or the row of this number."""
        return self.value(f"mul i64 {self.entry(array, position) if array else position}, %{stride}")

    def place(self, array: str, first: str, offset: int) -> str:
        at = self.value(f"add i64 {first}, {offset}")
        return self.value(f"getelementptr {self.element.name}, ptr %{array}, i64 {at}")

    def prefetch(self, place: str) -> None:
        self.line(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")

    def ahead(self, vectors: Sequence[Vector]) -> None:
        """Ask for these features of the neighbour some edges on."""
        first = self.row("col", "%ahead", "stride")
        stop = vectors[-1].offset + vectors[-1].lanes
        for offset in range(vectors[0].offset, stop, _LINE // self.element.bytes):
            self.prefetch(self.place("x", first, offset))

    def kind(self, vector: Vector) -> str:
        return f"<{vector.lanes} x {self.element.name}>"

    def load(self, vector: Vector, array: str, first: str) -> str:
        place = self.place(array, first, vector.offset)
        return self.value(f"load {self.kind(vector)}, ptr {place}, align {self.element.bytes}")

    def op(self, name: str, kind: str, a: str, b: str) -> str:
        return self.value(f"f{name} contract {kind} {a}, {b}" if self.float else f"{name} {kind} {a}, {b}")

    def sum(self, kind: str, terms: list[str]) -> str:
        return reduce(lambda a, b: self.op("add", kind, a, b), terms)

    def spread(self, scalar: str, vector: Vector) -> str:
        kind = self.kind(vector)
        one = self.value(f"insertelement {kind} poison, {self.element.name} {scalar}, i32 0")
        return self.value(f"shufflevector {kind} {one}, {kind} poison, <{vector.lanes} x i32> zeroinitializer")

    def total(self, vector: Vector, name: str) -> str:
        """Add up the lanes."""
        kind, result = self.kind(vector), self.element.name
        function = f"@llvm.vector.reduce.{'fadd' if self.float else 'add'}.v{vector.lanes}{self.element.suffix}"
        self.declared.add(f"declare {result} {function}({f'{result}, ' * self.float}{kind})\n")
        start = f"{result} -0.0, " * self.float
        return self.value(f"call {'reassoc ' * self.float}{result} {function}({start}{kind} {name})")

    def loop(self, vectors: Sequence[Vector], before: str, each: str, after: str) -> str:
        for place, (name, kind) in enumerate(_ARGUMENTS.items()):
            at = self.value(f"getelementptr i64, ptr %arguments, i64 {place}")
            self.line(f"%{name} = load {kind}, ptr {at}")
        for k, vector in enumerate(vectors):
            self.line(f"%sum{k} = alloca {self.kind(vector)}")
        parts = {"ARGUMENTS": self.take(), "BEFORE": before, "EACH": each, "AFTER": after}
        text = _LOOP
        for name, lines in parts.items():
            text = text.replace(name, lines)
        return text + "".join(sorted(self.declared))


def row_sum(element: Type, key: str, indexed: bool, weighted: bool, permuted: bool, vectors: tuple[Vector, ...]) -> str:
    """Return the sum over the edges of each row: of the rows `col` of x if `indexed`, else of x as it lies.

    They are `weighted` by `other`, in the order of `edge` if that is another one than the rows'.
    """
    code = _Code(element, key)
    for k, vector in enumerate(vectors):
        code.line(f"store {code.kind(vector)} zeroinitializer, ptr %sum{k}")
    before = code.take()
    if indexed:
        code.ahead(vectors)
    first = code.row("col" if indexed else None, "%k", "stride")
    weights = {}
    if weighted:
        heads = dict.fromkeys(v.head for v in vectors)
        if permuted:
            code.prefetch(code.place("other", code.row("edge", "%ahead", "heads"), vectors[0].head))
        owner = code.row("edge" if permuted else None, "%k", "heads")
        weights = {head: code.value(f"load {element.name}, ptr {code.place('other', owner, head)}") for head in heads}
    for k, vector in enumerate(vectors):
        kind, value = code.kind(vector), code.load(vector, "x", first)
        if weighted:
            value = code.op("mul", kind, value, code.spread(weights[vector.head], vector))
        total = code.value(f"load {kind}, ptr %sum{k}")
        code.line(f"store {kind} {code.op('add', kind, total, value)}, ptr %sum{k}")
    each = code.take()
    for k, vector in enumerate(vectors):
        total = code.value(f"load {code.kind(vector)}, ptr %sum{k}")
        place = code.place("out", "%i.first", vector.offset)
        code.line(f"store {code.kind(vector)} {total}, ptr {place}, align {element.bytes}")
    return code.loop(vectors, before, each, code.take())


def edge_dot(element: Type, key: str, permuted: bool, vectors: tuple[Vector, ...]) -> str:
    """Return the dot products, for each head, of the rows `col` of x with the rows of `other` that own the edges."""
    code = _Code(element, key)
    code.ahead(vectors)
    first = code.row("col", "%k", "stride")
    owner = code.row("edge" if permuted else None, "%k", "heads")
    for head in dict.fromkeys(v.head for v in vectors):
        mine = [v for v in vectors if v.head == head]
        place = code.place("out", owner, head)
        terms = [code.value(f"load {element.name}, ptr {place}")] if mine[0].continued else []
        for lanes in dict.fromkeys(v.lanes for v in mine):
            same = [v for v in mine if v.lanes == lanes]
            kind = code.kind(same[0])
            products = [code.op("mul", kind, code.load(v, "x", first), code.load(v, "other", "%i.first")) for v in same]
            terms.append(code.total(same[0], code.sum(kind, products)))
        code.line(f"store {element.name} {code.sum(element.name, terms)}, ptr {place}")
    return code.loop((), "", code.take(), "")

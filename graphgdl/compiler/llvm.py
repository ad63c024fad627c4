"""Print a row loop as LLVM IR: explicit vectors over features, reductions in registers, one pass over each row's edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphgdl.ops.cpu.vector_code import ATTRIBUTES, EDGE, ENTRY, ROW, TYPES, Builder, Vector, literal

from .llvm_arrays import Arrays
from .llvm_reductions import Reduction
from .llvm_values import Values
from .node import REDUCTIONS, Node
from .steps import Kernel, counts

SYMBOL = "rows"


@dataclass
class Source:
    """One printed kernel: its text, and the nodes whose arrays it takes after the header, in order.

    The text defines the function `SYMBOL`: `void (ptr arguments, i64 first row, i64 last row + 1, i64 part)`.
    """

    text: str
    arrays: list[Node]


class Printer:
    """Prints one kernel.

    Args:
        kernel: what to print.
        register_bits: width of the machine's vector registers.
        pieces: whether it walks pieces of rows, and leaves one result for each piece.
        halves: the inputs that are in memory in 16 bits, 'f16' or 'bf16'.
    """

    def __init__(
        self,
        kernel: Kernel,
        register_bits: int,
        pieces: bool = False,
        halves: Mapping[Node, str] = {},
    ) -> None:
        self.kernel, self.pieces = kernel, pieces and not kernel.adds
        self.code = Builder()
        self.arrays = Arrays(self.code, kernel.shared, kernel.tile - kernel.shared, kernel.adds, halves)
        self.values = Values(self.code, self.arrays, kernel.end, kernel.memory, register_bits)
        self.totals: list[Reduction] = []

    def print(self) -> Source:
        """Return the kernel's text.

        Raises:
            Refused: an op has no kernel.
        """
        code = self.code
        body = [line for number, roots in enumerate(self.kernel.sweeps) for line in self._sweep(f"s{number}", roots)]
        for node in self.kernel.rows:
            for lanes in self.values.chunks(node):
                pointer, offset = self.arrays.pointer(node), self.arrays.row(node)
                code.store(pointer, offset, lanes, self.values.value(node, lanes), ROW)
        body += code.take(ROW)
        entry = code.take(ENTRY)
        for total in self.totals:
            total.store_total()
        lines = [
            *sorted(code.declarations),
            *code.functions.values(),
            f"define void @{SYMBOL}(ptr %arguments, i64 %first, i64 %last, i64 %part) #0 {{",
            "entry:",
            *code.slots,
            "%row.slot = alloca i64",
            "%q.slot = alloca i64",
            *self.arrays.entry(),
            *entry,
            "store i64 %first, ptr %row.slot",
            "br label %row.head",
            "row.head:",
            "%r = load i64, ptr %row.slot",
            "%row.more = icmp slt i64 %r, %last",
            "br i1 %row.more, label %row.body, label %finish",
            "row.body:",
            *self._row_head(),
            *body,
            "%r.next = add i64 %r, 1",
            "store i64 %r.next, ptr %row.slot",
            "br label %row.head",
            "finish:",
            *code.take(ENTRY),
            "ret void",
            "}",
            "!0 = !{}",
            ATTRIBUTES,
        ]
        return Source("\n".join(lines) + "\n", self.arrays.nodes)

    def _row_head(self) -> list[str]:
        lines = [
            "%r.address = getelementptr i64, ptr %ptr, i64 %r",
            "%begin = load i64, ptr %r.address, !invariant.load !0",
            "%r.after = add i64 %r, 1",
            "%r.after.address = getelementptr i64, ptr %ptr, i64 %r.after",
            "%end = load i64, ptr %r.after.address, !invariant.load !0",
            "%degree = sub i64 %end, %begin",
        ]
        if not self.kernel.adds and not self.pieces:
            return [*lines, "%row = add i64 %r, 0"]
        return [
            *lines,
            "%rid.address = getelementptr i32, ptr %rid, i64 %r",
            "%rid.value = load i32, ptr %rid.address, !invariant.load !0",
            "%row = zext i32 %rid.value to i64",
        ]

    def _sweep(self, name: str, roots: list[Node]) -> list[str]:
        """Return one pass over the edges of a row, and what is done before and after it."""
        code, values, position = self.code, self.values, f"%{name}.q"
        values.begin_sweep(position)
        reductions = {r: Reduction(values, r) for r in roots if r.space != "E" and not counts(r)}
        stored = [r for r in roots if r.space == "E"]
        for root in stored:
            for lanes in values.chunks(root):
                value = values.value(root, lanes)
                code.store(self.arrays.pointer(root), self.arrays.offset(root), lanes, value, EDGE)
        for reduction in reductions.values():
            reduction.add()
        values.written.update(stored)
        lines = code.take(ROW)
        if stored or reductions:
            lines += [
                "store i64 %begin, ptr %q.slot",
                f"br label %{name}.head",
                f"{name}.head:",
                f"{position} = load i64, ptr %q.slot",
                f"%{name}.more = icmp slt i64 {position}, %end",
                f"br i1 %{name}.more, label %{name}.body, label %{name}.end",
                f"{name}.body:",
                *code.take(EDGE),
                f"%{name}.next = add i64 {position}, 1",
                f"store i64 %{name}.next, ptr %q.slot",
                f"br label %{name}.head",
                f"{name}.end:",
            ]
        for root in roots:
            if root.op in REDUCTIONS:
                self._finish(root, reductions.get(root))
        self.totals += [r for r in reductions.values() if r.node.op == "total"]
        return lines + code.take(ROW)

    def _finish(self, root: Node, reduction: Reduction | None) -> None:
        """Store a finished reduction if it is read, and keep it for the sweeps and row values that follow."""
        code, stored = self.code, root not in self.kernel.unread
        pointer = self.arrays.pointer(root) if stored else ""
        offset = self.arrays.row(root, of="r" if self.pieces else "row") if stored else ""
        chunks = self.values.chunks(root) if reduction is None else reduction.chunks
        made = []
        for k, lanes in enumerate(chunks):
            value = code.spread(self._count(root), len(lanes)) if reduction is None else reduction.result(k)
            if self.kernel.adds:
                old = code.load(pointer, offset, lanes, root.dtype, ROW, changes=True)
                name = code.let(ROW, f"fadd {value.type} {old.name}, {value.name}")
                value = Vector(name, len(lanes), root.dtype, ROW)
            made.append(value)
            if stored:
                code.store(pointer, offset, lanes, value, ROW)
        self.values.keep(root, chunks, made)

    def _count(self, root: Node) -> Vector:
        """Return the sum of a constant: a multiple of the row's number of edges."""
        type_ = TYPES[root.dtype]
        degree = self.code.let(ROW, f"sitofp i64 %degree to {type_}")
        times = literal(root.args[0].args[0].attr, root.dtype)
        return Vector(self.code.let(ROW, f"fmul {type_} {degree}, {times}"), 1, root.dtype, ROW)

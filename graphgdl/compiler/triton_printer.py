"""Print a row loop as a Triton kernel: lanes are rows or edges, features are the other axes of each tensor.

A program of the grid works on `L` lanes: on as many short rows side by side, one edge of each per turn (R = L), or on
one long row, as many of its edges per turn (R = 1). Sums over a row are held per lane and added up after the loop; the
order of all additions depends on the graph alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .node import Node
from .steps import Kernel, counts
from .tape import Refused
from .triton_index import Axes, Digit, Index, Split, flat, number, power_of_two, spread
from .triton_values import EDGE, ENTRY, ROW, TYPES, Value, Values

HEADER = ("row", "begin", "end", "col", "edge", "pos")  # of each lane; of each position in row order
ATTEMPTS = 64


@dataclass(frozen=True)
class Source:
    """One printed kernel.

    Attributes:
        text: a module with the function `kernel`.
        arrays: nodes whose arrays the function takes after the header, in order.
        totals: those of them that hold one row per program.
        words: of 32 bits that a lane holds: two tensors as large as the greatest, and all accumulators.
    """

    text: str
    arrays: list[Node]
    totals: list[Node]
    words: int


class Printer:
    """Prints one kernel.

    Args:
        kernel: what to print.
        pieces: whether lanes are pieces of rows: reductions are then stored by piece, to be joined afterwards.
    """

    def __init__(self, kernel: Kernel, pieces: bool = False) -> None:
        self.kernel, self.pieces = kernel, pieces
        self.axes = Axes()

    def print(self) -> Source:
        """Return the kernel's text.

        Raises:
            Refused: an op has no kernel, or a tensor would be too large for the registers.
        """
        for _ in range(ATTEMPTS):
            sizes = list(self.axes.sizes)
            try:
                source = self._attempt()
            except Split:
                continue
            if sizes == self.axes.sizes:  # the rank of all tensors was known from the start
                return source
        raise Refused("its views cut each other's axes")

    def _attempt(self) -> Source:
        self.values = Values(self.kernel, self.axes)
        self.held = 0
        self.total_starts: list[str] = []
        self.total_ends: list[str] = []
        values = self.values
        chunks = [self._sweep(sweep, roots) for sweep, roots in enumerate(self.kernel.sweeps)]
        for node in self.kernel.rows:
            index = self.axes.of(node, node.shape)
            values.store(node, "row", index, values.value(node, index), ROW)
        chunks.append(values.take(ROW))
        body: list[str] = []
        for sweep, chunk in enumerate(chunks):
            body += [*chunk, *(["tl.debug_barrier()"] if sweep in values.fences else [])]
        totals = [r for roots in self.kernel.sweeps for r in roots if r.op == "total"]
        text = self._frame(body, bool(totals))
        words = (2 * values.widest + self.held) * values.wide // 4
        return Source(text, values.arrays, totals, words)

    def _frame(self, body: list[str], totals: bool) -> str:
        """Return the module: arguments, axes, what is known at entry, the rows of a program, and what is done for them."""

        def along(axis: int) -> str:
            return "[" + ", ".join(":" if a == axis else "None" for a in range(1 + len(self.axes.sizes))) + "]"

        arguments = [*HEADER, *(f"A{n}" for n in range(len(self.values.arrays))), "first", "count"]
        arguments += ["L: tl.constexpr", "R: tl.constexpr", "INDEX: tl.constexpr"]
        lines = [f"o = tl.zeros({self.values.shape('1')}, tl.int32)"]
        for axis, size in enumerate(self.axes.sizes):
            lines.append(f"a{axis} = tl.arange(0, {power_of_two(size)}){along(axis + 1)}")
            if power_of_two(size) != size:
                lines.append(f"b{axis} = a{axis} < {size}")
        lines += self.values.take(ENTRY)
        rows = [
            f"lane = block * R + tl.arange(0, R){along(0)}",
            "live = lane < count",
            "begin_ = tl.load(begin + lane, mask=live, other=0)",
            "end_ = tl.load(end + lane, mask=live, other=0)",
            "row_ = tl.load(row + lane, mask=live, other=0).to(INDEX)",
            "lane_ = lane.to(INDEX)",
            "most = tl.max(end_ - begin_)",
            f"turn = tl.arange(0, L // R){along(0)}",
            *body,
        ]
        if totals:
            lines += [
                *self.total_starts,
                "for block in range(tl.program_id(0), tl.cdiv(count, R), tl.num_programs(0)):",
            ]
            lines += [*(f"    {line}" for line in rows), *self.total_ends]
        else:
            lines += ["block = tl.program_id(0)", *rows]
        module = [
            "import triton",
            "import triton.language as tl",
            "from graphgdl.compiler import triton_device as device",
            "",
            "",
            '@triton.jit(do_not_specialize=["first", "count"])',
            f"def kernel({', '.join(arguments)}):",
            *(f"    {line}" for line in lines),
        ]
        return "\n".join(module) + "\n"

    def _sweep(self, sweep: int, roots: list[Node]) -> list[str]:
        """Return the lines of one pass over the edges of the rows."""
        values = self.values
        values.next_sweep()
        starts: list[str] = []
        after: list[str] = []
        finished: list[tuple[Node, Index, Value]] = []
        for root in sorted(roots, key=lambda r: -len([d for d in r.shape if d > 1])):
            if root.space == "E":
                for part, index, place in self._parts(root, root):
                    values.store(root, "edge", place, values.value(part, index), EDGE)
            elif not counts(root):
                for part, index, place in self._parts(root, root.args[0]):
                    finished += self._reduction(root, part, index, place, starts, after)
        loop = values.take(EDGE)
        before = starts + values.take(ROW)
        values.lines[ROW] = after
        for root in (r for r in roots if r.space != "E" and counts(r)):
            index = self.axes.of(root, root.shape)
            text = f"(end_ - begin_).to({TYPES[root.dtype]}) * {values.value(root.args[0], index).text}"
            finished.append((root, index, Value(values.let(ROW, text), root.dtype, ROW, frozenset())))
        for root, place, value in finished:
            self._finish(root, place, value)
        values.written |= {r: sweep for r in roots if r.op != "total"}
        if loop:
            heads = ["for k in range(0, most, L // R):", "    q = begin_ + k + turn", "    m = q < end_"]
            before += heads + [f"    {line}" for line in loop]
        return before + values.take(ROW)

    def _parts(self, root: Node, x: Node) -> list[tuple[Node, Index, Index]]:
        """Return what is computed for a root apart: the value, at which index, and where that lies in the root."""
        if x.op != "cat" or x in self.kernel.memory or x in self.values.written:
            index = self.axes.of(root, x.shape)
            return [(x, index, index)]
        found, start = [], 0
        for part in x.args:
            index = place = self.axes.of(part, part.shape)
            if start:
                own = number(index[x.attr])
                shifted = Digit(x.shape[x.attr], f"({own.text} + {start})", own.axes)
                place = (*index[: x.attr], (shifted,), *index[x.attr + 1 :])
            found.append((part, index, place))
            start += part.shape[x.attr]
        return found

    def _reduction(
        self, root: Node, x: Node, index: Index, place: Index, starts: list[str], after: list[str]
    ) -> list[tuple[Node, Index, Value]]:
        """Print the accumulation of one part of a reduction; return what it is after the loop, if a row holds it."""
        values = self.values
        value = values.value(x, index)
        axes = spread(index)
        values.note(axes, value.kind)
        self.held += self.axes.elements(axes)
        name, kind = values.name("acc"), TYPES[x.dtype]
        into = self.total_starts if root.op == "total" else starts
        fill = "0" if root.op in ("reduce", "total") else "float('-inf')"
        into.append(f"{name} = tl.full({values.shape('L', axes)}, {fill}, {kind})")
        edge = values.lines[EDGE]
        if root.op in ("reduce", "total"):
            edge.append(f"{name} += tl.where(m, {value.text}, 0)")
            done = f"{name} = tl.sum({name}, 0, keep_dims=True)"
            if root.op == "total":
                offset = f"o + tl.program_id(0) * {root.numel} + {flat(place, root.shape)}"
                self.total_ends += [done, f"tl.store({values.array(root)} + {offset}, {name}{values.mask(axes)})"]
                return []
        elif root.op == "rmax":
            edge.append(f"{name} = tl.where(m, device.maximum({name}, {value.text}), {name})")
            done = f"{name} = device.greatest({name}, 0)"
        else:
            into.append(f"{name}_id = tl.full({values.shape('L', axes)}, device.NONE, tl.int32)")
            edge.append(
                f"{name}, {name}_id = device.later({name}, {name}_id, {value.text}, {values.edge_id().text}, m)"
            )
            done = f"{name}, {name}_id = device.first({name}, {name}_id, 0)"
        after += ["if R == 1:", f"    {done}"]
        if root.op == "rmax":
            after.append(f"{name} = tl.where(begin_ < end_, {name}, 0)")
        if root.op == "rarg":
            name = f"{name}_id"
            after.append(f"{name} = tl.where({name} == device.NONE, -1, {name})")
        return [(root, place, Value(name, root.dtype, ROW, axes))]

    def _finish(self, root: Node, place: Index, value: Value) -> None:
        """Store a finished reduction; it stays at hand for the sweeps and row values that follow."""
        self.values.keep(root, place, value)
        if self.kernel.adds and not self.pieces:
            old = self.values.load(root, "row", place, (), ROW)
            value = replace(value, text=f"{value.text} + {old.text}")
        self.values.store(root, "lane" if self.pieces else "row", place, value, ROW)

"""Print a row loop as LLVM IR: explicit vectors over features, reductions in registers, one pass over each row's edges.

A value is asked for at a tuple of flat feature positions and becomes one vector of as many lanes; views, slices and
broadcasts only change the positions. Each instruction goes where its operands allow: into the function's entry, once
per row, or once per edge.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from . import vector_math
from .ir import HEAVY, POINTWISE, REDUCTIONS, Node, broadcast
from .schedule import Kernel
from .tape import Refused

TYPES = {"f32": "float", "f64": "double", "i32": "i32", "bool": "i1"}
MEMORY = {**TYPES, "bool": "i8"}
_FAST = "reassoc nsz arcp contract afn"
_ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INTRINSICS = {"sqrt": "sqrt", "abs": "fabs", "floor": "floor", "maximum": "maximum", "minimum": "minimum"}
_FLOAT_COMPARE = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
_INT_COMPARE = {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "eq": "eq", "ne": "ne"}
# a single-precision division of finite numbers is an estimate and one step of Newton's, good to the last bit or two
_ATTRIBUTES = 'attributes #0 = { "reciprocal-estimates"="vec-divf:1" }'
_VIEWS = ("view", "expand", "permute", "take")
_COMPUTED = {*POINTWISE, "mm", "sum", "amax", "rand"}
ENTRY, ROW, EDGE = 0, 1, 2
MOST_REGISTERS = 16  # that one sum may take
# What a kernel gets before its arrays: row bounds, other end and edge id of each position, row ids, position of each
# edge in row order, first position of the tile.
HEADER = 6

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


@dataclass
class Source:
    """One printed kernel: its text, and the nodes whose arrays it takes after the header, in order."""

    text: str
    arrays: list[Node]
    partial: list[Node]
    symbol: str


@dataclass
class _Accumulator:
    node: Node
    chunks: list[tuple[Lanes, str]]  # flat positions, the stack slot that holds them
    ids: list[str] = field(default_factory=list)


def vector_type(kind: str, lanes: int) -> str:
    """Return the LLVM type of `lanes` values of a dtype."""
    return TYPES[kind] if lanes == 1 else f"<{lanes} x {TYPES[kind]}>"


def literal(value: float, kind: str) -> str:
    """Return a constant as LLVM writes it."""
    if kind == "bool":
        return "true" if value else "false"
    if kind == "i32":
        return str(int(value))
    number = float(np.float32(value)) if kind == "f32" else float(value)
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


class Printer:
    """Prints one kernel.

    Args:
        kernel: what to print.
        symbol: name of the function `void (ptr arguments, i64 first row, i64 last row + 1, i64 part)`.
        memory: values that are in memory when the kernel starts.
        tile: the edge values, read or written, that lie by position in the tile and not by edge id.
        register_bits: width of the machine's vector registers.
        pieces: whether it walks pieces of rows, and leaves one result for each piece.
    """

    def __init__(
        self, kernel: Kernel, symbol: str, memory: set[Node], tile: set[Node], register_bits: int, pieces: bool = False
    ) -> None:
        self.kernel, self.symbol = kernel, symbol
        self.memory, self.tile = memory, tile
        self.bits = register_bits
        self.pieces = pieces and not kernel.adds
        self.arrays: list[Node] = []
        self.lines: dict[int, list[str]] = {ENTRY: [], ROW: [], EDGE: []}
        self.allocas: list[str] = []
        self.memo: dict[tuple[Any, Lanes], Vector] = {}
        self.declarations: set[str] = set()
        self.functions: dict[str, str] = {}
        self.written: set[Node] = set()  # stored by this kernel: may change while it runs
        self.rows_at_hand: dict[Node, _Accumulator] = {}
        self.count = 0
        self.maps: dict[Any, np.ndarray] = {}

    # --- the frame

    def print(self) -> Source:
        """Return the kernel's text."""
        stored = {r for sweep in self.kernel.sweeps for r in sweep} | set(self.kernel.rows)
        body: list[str] = []
        partial = [r for sweep in self.kernel.sweeps for r in sweep if r.op == "total"]
        totals: list[_Accumulator] = []
        entry: list[str] = []
        for number, sweep in enumerate(self.kernel.sweeps):
            self.memo = {k: v for k, v in self.memo.items() if v.level < EDGE}
            body += self._sweep(number, sweep, totals)
        self.memo = {k: v for k, v in self.memo.items() if v.level < EDGE}
        self.lines[ROW] = []
        for node in self.kernel.rows:
            for lanes in self._chunks(node):
                self._store(self._pointer(node), self._row_offset(node), lanes, self.value(node, lanes), ROW)
        body += self.lines[ROW]
        finish: list[str] = []
        self.lines[ENTRY], entry = [], self.lines[ENTRY]
        for total in totals:
            if self._in_place(total.node):
                continue
            for lanes, slot in total.chunks:
                offset = self._let(ENTRY, f"mul i64 %part, {total.node.args[0].numel}")
                value = self._load_slot(slot, total.node.dtype, len(lanes), ENTRY)
                self._store(self._pointer(total.node), offset, lanes, value, ENTRY)
        finish, self.lines[ENTRY] = self.lines[ENTRY], []
        pointers = [f"%A{n} = call ptr @argument(ptr %arguments, i64 {n + HEADER})" for n in range(len(self.arrays))]
        del stored
        names = ("ptr", "col", "edge", "rid", "pos")
        heads = [f"%{name} = call ptr @argument(ptr %arguments, i64 {k})" for k, name in enumerate(names)]
        text = [
            f"define void @{self.symbol}(ptr %arguments, i64 %first, i64 %last, i64 %part) #0 {{",
            "entry:",
            *self.allocas,
            "%row.slot = alloca i64",
            "%q.slot = alloca i64",
            *heads,
            "%p0.address = getelementptr i64, ptr %arguments, i64 5",
            "%p0 = load i64, ptr %p0.address, !invariant.load !0",
            *pointers,
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
            *finish,
            "ret void",
            "}",
        ]
        prelude = [
            "define internal ptr @argument(ptr %arguments, i64 %n) alwaysinline {",
            "%address = getelementptr ptr, ptr %arguments, i64 %n",
            "%value = load ptr, ptr %address, !invariant.load !0",
            "ret ptr %value",
            "}",
        ]
        whole = [*sorted(self.declarations), *prelude, *self.functions.values(), *text, "!0 = !{}", _ATTRIBUTES]
        return Source("\n".join(whole) + "\n", self.arrays, partial, self.symbol)

    def _row_head(self) -> list[str]:
        lines = [
            "%r.address = getelementptr i64, ptr %ptr, i64 %r",
            "%begin = load i64, ptr %r.address, !invariant.load !0",
            "%r.after = add i64 %r, 1",
            "%r.after.address = getelementptr i64, ptr %ptr, i64 %r.after",
            "%end = load i64, ptr %r.after.address, !invariant.load !0",
            "%degree = sub i64 %end, %begin",
        ]
        if self.kernel.adds or self.pieces:
            return [
                *lines,
                "%rid.address = getelementptr i32, ptr %rid, i64 %r",
                "%rid.value = load i32, ptr %rid.address, !invariant.load !0",
                "%row = zext i32 %rid.value to i64",
            ]
        return [*lines, "%row = add i64 %r, 0"]

    def _sweep(self, number: int, roots: list[Node], totals: list[_Accumulator]) -> list[str]:
        self.lines[ROW], self.lines[EDGE] = [], []
        s = f"s{number}"
        self.q = f"%{s}.q"
        accumulators = [self._accumulator(r) for r in roots if r.space != "E" and not self._counts(r)]
        before: list[str] = []
        for acc in accumulators:
            fill = {"rmax": -np.inf, "rarg": -np.inf}.get(acc.node.op, 0.0)
            if self._in_place(acc.node):
                continue
            where = self.lines[ENTRY] if acc.node.op == "total" else before
            kind = acc.node.args[0].dtype
            for lanes, slot in acc.chunks:
                where.append(
                    f"store {vector_type(kind, len(lanes))} {self._splat_literal(fill, kind, len(lanes))}, ptr {slot}"
                )
            for (lanes, _), slot in zip(acc.chunks, acc.ids):
                before.append(
                    f"store {vector_type('i32', len(lanes))} {self._splat_literal(-1, 'i32', len(lanes))}, ptr {slot}"
                )
        loops = False
        for root in roots:
            if root.space == "E":
                loops = True
                for lanes in self._chunks(root):
                    value = self.value(root, lanes)
                    self._store(self._pointer(root), self._edge_offset(root), lanes, value, EDGE)
        for acc in accumulators:
            loops = True
            for k, (lanes, slot) in enumerate(acc.chunks):
                self._accumulate(acc, k, lanes, slot)
        before += self.lines[ROW]
        self.lines[ROW] = []
        self.written |= {r for r in roots if r.space == "E"}
        edge_lines = self.lines[EDGE]
        self.lines[EDGE] = []
        out = before
        if loops:
            out += [
                "store i64 %begin, ptr %q.slot",
                f"br label %{s}.head",
                f"{s}.head:",
                f"{self.q} = load i64, ptr %q.slot",
                f"%{s}.more = icmp slt i64 {self.q}, %end",
                f"br i1 %{s}.more, label %{s}.body, label %{s}.end",
                f"{s}.body:",
                *edge_lines,
                f"%{s}.next = add i64 {self.q}, 1",
                f"store i64 %{s}.next, ptr %q.slot",
                f"br label %{s}.head",
                f"{s}.end:",
            ]
        for root in roots:
            if root.op in REDUCTIONS:
                self._finish_row(root, next((a for a in accumulators if a.node is root), None))
        totals += [a for a in accumulators if a.node.op == "total"]
        out += self.lines[ROW]
        self.lines[ROW] = []
        return out

    # --- reductions

    def _counts(self, root: Node) -> bool:
        """Whether the root sums a constant: a multiple of the row's number of edges."""
        x = root.args[0]
        return root.op == "reduce" and x.op == "expand" and x.args[0].op == "const"

    def _accumulator(self, node: Node) -> _Accumulator:
        x = node.args[0]
        if self._in_place(node):
            return _Accumulator(node, [(lanes, "") for lanes in self._chunks(x)])
        chunks = [(lanes, self._alloca(x.dtype, len(lanes))) for lanes in self._chunks(x)]
        ids = [self._alloca("i32", len(lanes)) for lanes, _ in chunks] if node.op == "rarg" else []
        return _Accumulator(node, chunks, ids)

    def _in_place(self, node: Node) -> bool:
        """Whether a sum has too many features for registers: it is added up where it ends."""
        return node.op == "total" and node.args[0].numel > MOST_REGISTERS * self.bits // 32

    def _opaque(self, level: int, pointer: str) -> str:
        """Return the same pointer, of which LLVM knows nothing: what lies there stays in memory, not in registers."""
        return self._let(level, f'call ptr asm sideeffect "", "=r,0"(ptr {pointer})')

    def _accumulate(self, acc: _Accumulator, k: int, lanes: Lanes, slot: str) -> None:
        node, kind, n = acc.node, acc.node.args[0].dtype, len(lanes)
        value = self._spread(self.value(node.args[0], lanes), n)
        type_ = vector_type(kind, n)
        if self._in_place(node):
            key = (f"in place {node.id}", ())
            if key not in self.memo:
                offset = self._once(f"part*{node.args[0].numel}", ENTRY, f"mul i64 %part, {node.args[0].numel}")
                start = self._address(self._pointer(node), offset, 0, kind, ENTRY)
                self.memo[key] = Vector(self._opaque(EDGE, start), 1, "i32", EDGE)
            place = self.memo[key].name
            before = self._load(place, None, lanes, kind, EDGE, changes=True)
            new = self._let(EDGE, f"fadd {_FAST} {type_} {before.name}, {value.name}")
            self._store(place, None, lanes, Vector(new, n, kind, EDGE), EDGE)
            return
        old = self._load_slot(slot, kind, n, EDGE).name
        if node.op in ("reduce", "total"):
            new = self._let(EDGE, f"fadd {_FAST} {type_} {old}, {value.name}")
        elif node.op == "rmax":
            new = self._call_intrinsic("maximum", kind, n, EDGE, old, value.name)
        else:
            mask = vector_type("bool", n)
            ids = vector_type("i32", n)
            best = self._load_slot(acc.ids[k], "i32", n, EDGE).name
            greater = self._let(EDGE, f"fcmp ogt {type_} {value.name}, {old}")
            nan = self._let(EDGE, f"fcmp uno {type_} {value.name}, {value.name}")
            number = self._let(EDGE, f"fcmp ord {type_} {old}, {old}")
            none = self._let(EDGE, f"icmp eq {ids} {best}, {self._splat_literal(-1, 'i32', n)}")
            first_nan = self._let(EDGE, f"and {mask} {nan}, {number}")
            wins = self._let(EDGE, f"or {mask} {greater}, {first_nan}")
            wins = self._let(EDGE, f"or {mask} {wins}, {none}")
            mine = self._spread(self._edge_id(), n).name
            chosen = self._let(EDGE, f"select {mask} {wins}, {ids} {mine}, {ids} {best}")
            self.lines[EDGE].append(f"store {ids} {chosen}, ptr {acc.ids[k]}")
            new = self._let(EDGE, f"select {mask} {wins}, {type_} {value.name}, {type_} {old}")
        self.lines[EDGE].append(f"store {type_} {new}, ptr {slot}")

    def _finish_row(self, root: Node, acc: _Accumulator | None) -> None:
        """Store a finished reduction, and keep it for the sweeps and row values that follow."""
        pointer, offset = self._pointer(root), self._row_offset(root)
        if self.pieces:
            offset = self._once(f"r*{root.numel}", ROW, f"mul i64 %r, {root.numel}")
        chunks = self._chunks(root) if acc is None else [lanes for lanes, _ in acc.chunks]
        for lanes in chunks:
            if acc is None:
                degree = self._let(ROW, f"sitofp i64 %degree to {TYPES[root.dtype]}")
                times = literal(root.args[0].args[0].attr, root.dtype)
                one = Vector(self._let(ROW, f"fmul {TYPES[root.dtype]} {degree}, {times}"), 1, root.dtype, ROW)
                value = self._spread(one, len(lanes))
            else:
                slots = acc.ids if root.op == "rarg" else [slot for _, slot in acc.chunks]
                slot = slots[chunks.index(lanes)]
                value = self._load_slot(slot, root.dtype, len(lanes), ROW)
                if root.op == "rmax":
                    some = self._let(ROW, "icmp sgt i64 %degree, 0")
                    zero = self._splat_literal(0, root.dtype, len(lanes))
                    name = self._let(ROW, f"select i1 {some}, {value.type} {value.name}, {value.type} {zero}")
                    value = Vector(name, len(lanes), root.dtype, ROW)
            if self.kernel.adds:
                old = self._load(pointer, offset, lanes, root.dtype, ROW, changes=True)
                name = self._let(ROW, f"fadd {value.type} {old.name}, {value.name}")
                value = Vector(name, len(lanes), root.dtype, ROW)
            self.memo[root, lanes] = value
            self._store(pointer, offset, lanes, value, ROW)
        self.rows_at_hand[root] = _Accumulator(root, [(lanes, "") for lanes in chunks])

    def _chunks(self, node: Node) -> list[Lanes]:
        """Cut the features of a value into vectors of at most four registers; LLVM handles powers of two best."""
        width = 4 * self.bits // (64 if node.dtype == "f64" else 32)
        chunks, start = [], 0
        while start < node.numel:
            size = min(width, 1 << ((node.numel - start).bit_length() - 1))
            chunks.append(tuple(range(start, start + size)))
            start += size
        return chunks

    # --- values

    def value(self, node: Node, lanes: Lanes) -> Vector:
        """Return the values of `node` at the flat feature positions `lanes`; one lane if they are all the same."""
        unique = tuple(sorted(set(lanes)))
        if len(unique) == 1:
            return self._one(node, unique[0])
        base = self._at(node, unique)
        if unique == lanes or base.lanes == 1:  # one lane: the same everywhere
            return base
        where = {position: k for k, position in enumerate(unique)}
        return self._shuffle([base], [where[p] for p in lanes])

    def _one(self, node: Node, position: int) -> Vector:
        """Return one feature; of a value that is computed per edge, out of the vector that holds it."""
        computed = node.space == "E" and node.op in _COMPUTED and node.numel > 1 and not self._at_hand(node)
        if not computed:
            return self._at(node, (position,))
        if node.numel >= 8 and node.dtype in ("f32", "f64"):
            return self._feature(node, self._features(node), position)
        everything = self._at(node, tuple(range(node.numel)))
        return everything if everything.lanes == 1 else self._shuffle([everything], [position])

    def _at_hand(self, node: Node) -> bool:
        return node in self.memory or node in self.written or node in self.rows_at_hand

    def _at(self, node: Node, lanes: Lanes) -> Vector:
        found = self.memo.get((node, lanes))
        if found is None:
            found = self._compute(node, lanes)
            self.memo[node, lanes] = found
        return found

    def _compute(self, node: Node, lanes: Lanes) -> Vector:
        op = node.op
        if op == "const":
            return Vector(literal(node.attr, node.dtype), 1, node.dtype, ENTRY)
        if node in self.rows_at_hand:
            pieces = [self.memo[node, chunk] for chunk, _ in self.rows_at_hand[node].chunks]
            return self._shuffle(pieces, list(lanes))
        if self._at_hand(node) or op in ("input", "table"):
            return self._read(node, lanes)
        if op in _VIEWS:
            moved = self._map(node)[list(lanes)]
            return self.value(node.args[0], tuple(moved.tolist()))
        if op == "gather":
            return self._gather(node, lanes)
        if op == "eid":
            return self._edge_id()
        if op == "cat":
            return self._cat(node, lanes)
        if op in ("sum", "amax"):
            return self._fold(node, lanes)
        if op == "rand":
            return self._rand(node, lanes)
        if op == "mm":
            return self._product(node, lanes)
        return self._pointwise(node, lanes)

    def _map(self, node: Node) -> np.ndarray:
        """Return, for each flat position of a view, the flat position in its argument."""
        found = self.maps.get(node)
        if found is None:
            x = node.args[0]
            old = np.arange(x.numel).reshape(x.shape)
            if node.op == "permute":
                old = old.transpose(node.attr)
            elif node.op == "take":
                old = old.take(node.attr[1], axis=node.attr[0])
            elif node.op == "expand":
                old = np.broadcast_to(old, node.shape)
            found = self.maps[node] = old.reshape(-1)
        return found

    def _broadcast_map(self, shape: tuple[int, ...], to: tuple[int, ...]) -> np.ndarray:
        found = self.maps.get((shape, to))
        if found is None:
            flat = np.arange(int(np.prod(shape))).reshape(shape)
            found = self.maps[shape, to] = np.broadcast_to(flat, broadcast(shape, to)).reshape(-1)
        return found

    def _read(self, node: Node, lanes: Lanes) -> Vector:
        """Load a value that is in memory."""
        changes = node in self.written
        pointer = self._pointer(node)
        if node.space == "C":
            return self._load(pointer, None, lanes, node.dtype, ENTRY)
        if node.space == "E":
            return self._load(pointer, self._edge_offset(node), lanes, node.dtype, EDGE, changes)
        return self._load(pointer, self._row_offset(node), lanes, node.dtype, ROW, changes)

    def _gather(self, node: Node, lanes: Lanes) -> Vector:
        x = node.args[0]
        if node.attr == self.kernel.end:
            return self._at(x, lanes) if lanes == tuple(sorted(set(lanes))) else self.value(x, lanes)
        if x.op == "const":
            return self._at(x, lanes)
        return self._load(self._pointer(x), self._neighbour_offset(x), lanes, x.dtype, EDGE)

    def _cat(self, node: Node, lanes: Lanes) -> Vector:
        """Join the pieces of a concatenation that the lanes fall into."""
        axis = node.attr
        key = ("cat", node)
        if key not in self.maps:
            sizes = [a.shape[axis] for a in node.args]
            owner = np.repeat(np.arange(len(sizes)), sizes)
            start = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
            index = np.indices(node.shape)
            place = index[axis]
            flat = np.zeros(node.shape, np.int64)
            for number, arg in enumerate(node.args):
                mine = owner[place] == number
                at = [index[a] if a != axis else place - start[place] for a in range(len(node.shape))]
                clipped = [np.clip(at[a], 0, arg.shape[a] - 1) for a in range(len(at))]
                flat = np.where(mine, np.ravel_multi_index(clipped, arg.shape), flat)
            self.maps[key] = np.stack([owner[place].reshape(-1), flat.reshape(-1)])
        owners, flats = self.maps[key][:, list(lanes)]
        pieces, order = [], [0] * len(lanes)
        count = 0
        for number in dict.fromkeys(owners.tolist()):
            where = np.flatnonzero(owners == number)
            vector = self._spread(self.value(node.args[number], tuple(flats[where].tolist())), len(where))
            pieces.append(vector)
            for k, lane in enumerate(where.tolist()):
                order[lane] = count + k
            count += len(where)
        return self._shuffle(pieces, order)

    def _fold(self, node: Node, lanes: Lanes) -> Vector:
        """Sum or maximise over feature axes."""
        x, axes = node.args[0], node.attr
        flat = np.arange(x.numel).reshape(x.shape)
        kept = [a for a in range(len(x.shape)) if a not in axes]
        table = flat.transpose([*kept, *axes]).reshape(node.numel, -1)[list(lanes)]  # lane, what it folds
        count = table.shape[1]
        width = 4 * self.bits // (64 if node.dtype == "f64" else 32)
        inner = axes == tuple(range(len(kept), len(x.shape)))
        if not inner or count < 4 or len(lanes) >= 4 * count:
            total: Vector | None = None
            for k in range(count):
                term = self._spread(self.value(x, tuple(table[:, k].tolist())), len(lanes))
                total = term if total is None else self._combine(node, total, term)
            assert total is not None
            return total
        results = []
        per = max(width // count, 1)
        for start in range(0, len(lanes), per):
            group = table[start : start + per]
            partial: Vector | None = None
            step = min(count, width)
            if count > width:
                for k in range(0, count - count % step, step):
                    term = self._spread(self.value(x, tuple(group[0, k : k + step].tolist())), step)
                    partial = term if partial is None else self._combine(node, partial, term)
                assert partial is not None
                result = self._horizontal(node, partial)
                if count % step:
                    rest = self._spread(self.value(x, tuple(group[0, count - count % step :].tolist())), count % step)
                    result = self._combine(node, result, self._horizontal(node, rest))
                results.append(result)
                continue
            whole = self._spread(self.value(x, tuple(group.reshape(-1).tolist())), group.size)
            for k in range(len(group)):
                results.append(self._horizontal(node, self._shuffle([whole], list(range(k * count, (k + 1) * count)))))
        return self._shuffle(results, list(range(len(results))))

    def _product(self, node: Node, lanes: Lanes) -> Vector:
        """Multiply by a small matrix: for each feature of x, that feature of all lanes times a row of w.

        The features go through memory, where repeating one of them over all lanes is part of the load.
        """
        (x, w), n = node.args, len(lanes)
        k, m = w.shape
        type_ = vector_type(node.dtype, n)
        groups = {lane // m for lane in lanes}
        if len(groups) > 1:
            parts = [self.value(node, tuple(p for p in lanes if p // m == g)) for g in sorted(groups)]
            parts = [self._spread(p, sum(q // m == g for q in lanes)) for p, g in zip(parts, sorted(groups))]
            return self._shuffle(parts, list(range(n)))
        group = groups.pop()
        features = self._features(x)
        weights = self._once(f"weights {w.id}", EDGE, f'call ptr asm sideeffect "", "=r,0"(ptr {self._pointer(w)})')
        total: str | None = None
        for a in range(k):
            one = self._spread(self._feature(x, features, group * k + a), n)
            row = self._load(weights, None, tuple(a * m + lane % m for lane in lanes), node.dtype, EDGE)
            term = self._let(EDGE, f"fmul {_FAST} {type_} {one.name}, {row.name}")
            total = term if total is None else self._let(EDGE, f"fadd {_FAST} {type_} {total}, {term}")
        assert total is not None
        return Vector(total, n, node.dtype, EDGE)

    def _features(self, x: Node) -> str | None:
        """Write all features of an edge value where each can be loaded alone; None if they lie in memory already."""
        if x.op not in _COMPUTED or self._at_hand(x):
            return None
        key = (f"features {x.id}", ())
        if key not in self.memo:
            self.count += 1
            slot = f"%slot{self.count}"
            self.allocas.append(f"{slot} = alloca [{x.numel} x {TYPES[x.dtype]}], align 64")
            written = self._opaque(EDGE, slot)
            for lanes in self._chunks(x):
                self._store(written, None, lanes, self._at(x, lanes), EDGE)
            read = self._let(EDGE, f'call ptr asm sideeffect "", "=r,0,~{{memory}}"(ptr {written})')
            self.memo[key] = Vector(read, 1, "i32", EDGE)
        return self.memo[key].name

    def _feature(self, x: Node, features: str | None, position: int) -> Vector:
        if features is None:
            return self.value(x, (position,))
        return self._load(features, None, (position,), x.dtype, EDGE, changes=True)

    def _combine(self, node: Node, a: Vector, b: Vector) -> Vector:
        level = max(a.level, b.level)
        if node.op == "sum":
            name = self._let(level, f"fadd {_FAST} {a.type} {a.name}, {b.name}")
        else:
            name = self._call_intrinsic("maximum", node.dtype, a.lanes, level, a.name, b.name)
        return Vector(name, a.lanes, node.dtype, level)

    def _horizontal(self, node: Node, v: Vector) -> Vector:
        if v.lanes == 1:
            return v
        scalar = TYPES[node.dtype]
        suffix = f"v{v.lanes}{node.dtype}"
        if node.op == "sum":
            self.declarations.add(f"declare {scalar} @llvm.vector.reduce.fadd.{suffix}({scalar}, {v.type})")
            zero = literal(-0.0, node.dtype)
            call = f"call {_FAST} {scalar} @llvm.vector.reduce.fadd.{suffix}({scalar} {zero}, {v.type} {v.name})"
        else:
            self.declarations.add(f"declare {scalar} @llvm.vector.reduce.fmaximum.{suffix}({v.type})")
            call = f"call {scalar} @llvm.vector.reduce.fmaximum.{suffix}({v.type} {v.name})"
        return Vector(self._let(v.level, call), 1, node.dtype, v.level)

    def _pointwise(self, node: Node, lanes: Lanes) -> Vector:
        args = []
        for arg in node.args:
            shape = (1,) * (len(node.shape) - len(arg.shape)) + arg.shape
            positions = self._broadcast_map(shape, node.shape)[list(lanes)]
            args.append(self.value(arg, tuple(positions.tolist())))
        n = max(a.lanes for a in args)
        level = max(a.level for a in args)
        args = [self._spread(a, n, level) for a in args]
        return Vector(self._instruction(node, args, n, level), n, node.dtype, level)

    def _instruction(self, node: Node, args: list[Vector], n: int, level: int) -> str:
        op, kind = node.op, node.dtype
        type_, operand = vector_type(kind, n), args[0].type
        names = [a.name for a in args]
        joined = ", ".join(names)
        if op in ("stop",):
            return names[0]
        if op in _ARITHMETIC and kind in ("f32", "f64"):
            return self._let(level, f"{_ARITHMETIC[op]} {_FAST} {type_} {joined}")
        if op in ("add", "sub", "mul") and kind == "i32":
            return self._let(level, f"{op} {type_} {joined}")
        if op == "neg":
            return self._let(level, f"fneg {_FAST} {type_} {names[0]}")
        if op in _FLOAT_COMPARE:
            if args[0].kind in ("f32", "f64"):
                return self._let(level, f"fcmp {_FLOAT_COMPARE[op]} {operand} {joined}")
            return self._let(level, f"icmp {_INT_COMPARE[op]} {operand} {joined}")
        if op in ("and", "or"):
            return self._let(level, f"{op} {type_} {joined}")
        if op == "not":
            return self._let(level, f"xor {type_} {names[0]}, {self._splat_literal(1, 'bool', n)}")
        if op == "where":
            return self._let(
                level, f"select {vector_type('bool', n)} {names[0]}, {type_} {names[1]}, {type_} {names[2]}"
            )
        if op == "cast":
            return self._cast(args[0], kind, n, level)
        if op == "sign":
            zero = self._splat_literal(0, kind, n)
            above = self._let(level, f"fcmp ogt {type_} {names[0]}, {zero}")
            below = self._let(level, f"fcmp olt {type_} {names[0]}, {zero}")
            mask = vector_type("bool", n)
            up = self._let(level, f"uitofp {mask} {above} to {type_}")
            down = self._let(level, f"uitofp {mask} {below} to {type_}")
            return self._let(level, f"fsub {type_} {up}, {down}")
        if op in _INTRINSICS:
            return self._call_intrinsic(_INTRINSICS[op], kind, n, level, *names)
        if op == "rsqrt":
            root = self._call_intrinsic("sqrt", kind, n, level, names[0])
            return self._let(level, f"fdiv {_FAST} {type_} {self._splat_literal(1, kind, n)}, {root}")
        if op == "sigmoid" and kind == "f32":
            return self._sigmoid(names[0], n, level)
        if op in HEAVY:
            name = self._maths(op, kind, n, level, args)
            if op != "exp":
                return name
            # no subnormal numbers: products with them take a hundred times as long
            least = self._splat_literal(-87.33654 if kind == "f32" else -708.39641, kind, n)
            tiny = self._let(level, f"fcmp olt {type_} {names[0]}, {least}")
            zero = self._splat_literal(0, kind, n)
            return self._let(level, f"select {vector_type('bool', n)} {tiny}, {type_} {zero}, {type_} {name}")
        raise Refused(f"`{op}` on {kind} has no kernel")

    def _sigmoid(self, x: str, n: int, level: int) -> str:
        """1 / (1 + exp(-x)), within 3 ulp down to exp(-87); half the time of the function in `vector_math`."""
        type_ = vector_type("f32", n)
        limit, one = self._splat_literal(87, "f32", n), self._splat_literal(1, "f32", n)
        less = self._let(level, f"fneg {type_} {x}")
        far = self._let(level, f"fcmp ogt {type_} {less}, {limit}")
        less = self._let(level, f"select {vector_type('bool', n)} {far}, {type_} {limit}, {type_} {less}")
        power = self._maths("exp", "f32", n, level, [Vector(less, n, "f32", level)])
        below = self._let(level, f"fadd {type_} {power}, {one}")
        return self._let(level, f"fdiv ninf arcp {type_} {one}, {below}")  # finite: by estimate, see _ATTRIBUTES

    def _maths(self, op: str, kind: str, n: int, level: int, args: list[Vector]) -> str:
        """Call a function of `vector_math`."""
        symbol = vector_math.symbol(op, n, kind == "f64")
        if symbol not in self.functions:
            made = vector_math.definition(op, n, kind == "f64")
            self.functions[symbol] = made.text
            self.declarations |= set(made.declarations)
        operands = ", ".join(f"{a.type} {a.name}" for a in args)
        return self._let(level, f"call {vector_type(kind, n)} @{symbol}({operands})")

    def _cast(self, x: Vector, kind: str, n: int, level: int) -> str:
        to = vector_type(kind, n)
        how = {
            ("bool", "f32"): "uitofp",
            ("bool", "f64"): "uitofp",
            ("i32", "f32"): "sitofp",
            ("i32", "f64"): "sitofp",
            ("f32", "f64"): "fpext",
            ("f64", "f32"): "fptrunc",
            ("bool", "i32"): "zext",
        }.get((x.kind, kind))
        if how is not None:
            return self._let(level, f"{how} {x.type} {x.name} to {to}")
        if kind == "bool":
            return self._let(level, f"fcmp une {x.type} {x.name}, {self._splat_literal(0, x.kind, n)}")
        raise Refused(f"a cast from {x.kind} to {kind} has no kernel")

    def _rand(self, node: Node, lanes: Lanes) -> Vector:
        """Uniform numbers of the counter-based generator; the same arithmetic as `interpret.uniform`."""
        n = len(lanes)
        pointer = self._pointer(node.args[0])
        level = EDGE if node.space == "E" else ROW
        low = self._let(ENTRY, f"load i32, ptr {pointer}, !invariant.load !0")
        address = self._let(ENTRY, f"getelementptr i32, ptr {pointer}, i64 1")
        high = self._let(ENTRY, f"load i32, ptr {address}, !invariant.load !0")
        row = self._edge_id().name if node.space == "E" else self._let(ROW, "trunc i64 %row to i32")
        mixed = self._mix(Vector(self._let(level, f"xor i32 {row}, {low}"), 1, "i32", level))
        stream = node.attr * 0x85EBCA6B
        numbers = [((lane * 0x9E3779B9 + stream) & 0xFFFFFFFF) for lane in lanes]
        signed = [v - (1 << 32) if v >= 1 << 31 else v for v in numbers]
        type_ = vector_type("i32", n)
        constant = str(signed[0]) if n == 1 else "<" + ", ".join(f"i32 {v}" for v in signed) + ">"
        wide = self._spread(mixed, n).name
        wide = self._let(level, f"add {type_} {wide}, {constant}")
        wide = self._let(level, f"xor {type_} {wide}, {self._spread(Vector(high, 1, 'i32', ENTRY), n, level).name}")
        bits = self._mix(Vector(wide, n, "i32", level))
        top = self._let(level, f"lshr {type_} {bits.name}, {self._splat_literal(8, 'i32', n)}")
        floats = vector_type(node.dtype, n)
        number = self._let(level, f"uitofp {type_} {top} to {floats}")
        name = self._let(level, f"fmul {floats} {number}, {self._splat_literal(2.0**-24, node.dtype, n)}")
        return Vector(name, n, node.dtype, level)

    def _mix(self, h: Vector) -> Vector:
        def splat(v: int) -> str:
            return self._splat_literal(v - (1 << 32) if v >= 1 << 31 else v, "i32", h.lanes)

        name = h.name
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 0)):
            moved = self._let(h.level, f"lshr {h.type} {name}, {splat(shift)}")
            name = self._let(h.level, f"xor {h.type} {name}, {moved}")
            if factor:
                name = self._let(h.level, f"mul {h.type} {name}, {splat(factor)}")
        return Vector(name, h.lanes, "i32", h.level)

    # --- addresses

    def _pointer(self, node: Node) -> str:
        if node not in self.arrays:
            self.arrays.append(node)
        return f"%A{self.arrays.index(node)}"

    def _once(self, key: str, level: int, text: str) -> str:
        found = self.memo.get((key, ()))
        if found is None:
            found = self.memo[key, ()] = Vector(self._let(level, text), 1, "i32", level)
        return found.name

    def _indirect(self, array: str) -> str:
        """Load the entry of a header array at this position of the row, as i64."""
        address = self._once(f"{array}.address", EDGE, f"getelementptr i32, ptr %{array}, i64 {self.q}")
        value = self._once(array, EDGE, f"load i32, ptr {address}, !invariant.load !0")
        return self._once(f"{array}.wide", EDGE, f"zext i32 {value} to i64")

    def _edge_id(self) -> Vector:
        self._indirect("edge")
        return self.memo["edge", ()]

    def _row_offset(self, node: Node) -> str:
        return self._once(f"row*{node.numel}", ROW, f"mul i64 %row, {node.numel}")

    def _neighbour_offset(self, node: Node) -> str:
        col = self._indirect("col")
        return self._once(f"col*{node.numel}", EDGE, f"mul i64 {col}, {node.numel}")

    def _edge_offset(self, node: Node) -> str:
        if node in self.tile:
            position = self._indirect("pos") if self.kernel.adds else self.q
            relative = self._once("position", EDGE, f"sub i64 {position}, %p0")
            return self._once(f"position*{node.numel}", EDGE, f"mul i64 {relative}, {node.numel}")
        return self._once(f"edge*{node.numel}", EDGE, f"mul i64 {self._indirect('edge')}, {node.numel}")

    def _address(self, pointer: str, offset: str | None, start: int, kind: str, level: int) -> str:
        where = str(start)
        if offset is not None:
            where = offset if start == 0 else self._let(level, f"add i64 {offset}, {start}")
        return self._let(level, f"getelementptr {MEMORY[kind]}, ptr {pointer}, i64 {where}")

    def _load(
        self, pointer: str, offset: str | None, lanes: Lanes, kind: str, level: int, changes: bool = False
    ) -> Vector:
        """Load ascending flat positions."""
        span = lanes[-1] - lanes[0] + 1
        if span != len(lanes) and span <= 4 * len(lanes) and span <= 256:
            whole = self._load(pointer, offset, tuple(range(lanes[0], lanes[-1] + 1)), kind, level, changes)
            return self._shuffle([whole], [p - lanes[0] for p in lanes])
        pieces = []
        for _, run in groupby(enumerate(lanes), lambda pair: pair[1] - pair[0]):
            positions = [p for _, p in run]
            n = len(positions)
            address = self._address(pointer, offset, positions[0], kind, level)
            stored = MEMORY[kind] if n == 1 else f"<{n} x {MEMORY[kind]}>"
            align = {"f64": 8, "bool": 1}.get(kind, 4)
            constant = "" if changes else ", !invariant.load !0"
            name = self._let(level, f"load {stored}, ptr {address}, align {align}{constant}")
            if kind == "bool":
                zero = "0" if n == 1 else "zeroinitializer"
                name = self._let(level, f"icmp ne {stored} {name}, {zero}")
            pieces.append(Vector(name, n, kind, level))
        return self._shuffle(pieces, list(range(len(lanes))))

    def _store(self, pointer: str, offset: str | None, lanes: Lanes, value: Vector, level: int) -> None:
        n = len(lanes)
        value = self._spread(value, n, level)
        address = self._address(pointer, offset, lanes[0], value.kind, level)
        name, type_ = value.name, value.type
        if value.kind == "bool":
            type_ = "i8" if n == 1 else f"<{n} x i8>"
            name = self._let(level, f"zext {value.type} {name} to {type_}")
        align = {"f64": 8, "bool": 1}.get(value.kind, 4)
        self.lines[level].append(f"store {type_} {name}, ptr {address}, align {align}")

    # --- vectors

    def _let(self, level: int, text: str) -> str:
        self.count += 1
        name = f"%v{self.count}"
        self.lines[level].append(f"{name} = {text}")
        return name

    def _alloca(self, kind: str, lanes: int) -> str:
        self.count += 1
        name = f"%slot{self.count}"
        self.allocas.append(f"{name} = alloca {vector_type(kind, lanes)}")
        return name

    def _load_slot(self, slot: str, kind: str, lanes: int, level: int) -> Vector:
        return Vector(self._let(level, f"load {vector_type(kind, lanes)}, ptr {slot}"), lanes, kind, level)

    def _call_intrinsic(self, name: str, kind: str, lanes: int, level: int, *args: str) -> str:
        type_ = vector_type(kind, lanes)
        symbol = f"@llvm.{name}.{'' if lanes == 1 else f'v{lanes}'}{kind}"
        self.declarations.add(f"declare {type_} {symbol}({', '.join([type_] * len(args))})")
        flags = _FAST if name == "sqrt" else ""
        return self._let(level, f"call {flags} {type_} {symbol}({', '.join(f'{type_} {a}' for a in args)})")

    def _splat_literal(self, value: float, kind: str, lanes: int) -> str:
        text = literal(value, kind)
        return text if lanes == 1 else "<" + ", ".join([f"{TYPES[kind]} {text}"] * lanes) + ">"

    def _spread(self, x: Vector, lanes: int, level: int | None = None) -> Vector:
        """Repeat one lane."""
        if x.lanes == lanes:
            return x
        assert x.lanes == 1, (x, lanes)
        type_ = vector_type(x.kind, lanes)
        if not x.name.startswith("%"):
            return Vector("<" + ", ".join([f"{TYPES[x.kind]} {x.name}"] * lanes) + ">", lanes, x.kind, x.level)
        key = (f"splat {x.name}", (lanes,))
        if key not in self.memo:
            one = self._let(x.level, f"insertelement {type_} poison, {x.type} {x.name}, i32 0")
            zero = f"<{lanes} x i32> zeroinitializer"
            name = self._let(x.level, f"shufflevector {type_} {one}, {type_} poison, {zero}")
            self.memo[key] = Vector(name, lanes, x.kind, x.level)
        return self.memo[key]

    def _shuffle(self, pieces: Sequence[Vector], order: list[int]) -> Vector:
        """Pick lanes from the concatenation of `pieces`."""
        starts = np.cumsum([0, *(p.lanes for p in pieces)])
        owner = np.searchsorted(starts, order, side="right") - 1
        used = sorted(set(owner.tolist()))
        pieces = [pieces[u] for u in used]
        parts = [(used.index(o), p - int(starts[o])) for o, p in zip(owner.tolist(), order)]
        level = max(p.level for p in pieces)
        kind, n = pieces[0].kind, len(order)
        if len(pieces) == 1:
            x = pieces[0]
            if [p for _, p in parts] == list(range(x.lanes)):
                return x
            if n == 1:
                return Vector(self._let(level, f"extractelement {x.type} {x.name}, i32 {parts[0][1]}"), 1, kind, level)
            if x.lanes == 1:
                return self._spread(x, n)
            mask = ", ".join(f"i32 {p}" for _, p in parts)
            name = self._let(level, f"shufflevector {x.type} {x.name}, {x.type} poison, <{n} x i32> <{mask}>")
            return Vector(name, n, kind, level)
        type_ = vector_type(kind, n)
        result = "poison"
        if all(p.lanes == 1 for p in pieces):
            for lane, (o, _) in enumerate(parts):
                result = self._let(level, f"insertelement {type_} {result}, {TYPES[kind]} {pieces[o].name}, i32 {lane}")
            return Vector(result, n, kind, level)
        for number, x in enumerate(pieces):
            mine = [p if o == number else None for o, p in parts]
            if x.lanes == 1:
                for lane, p in enumerate(mine):
                    if p is not None:
                        result = self._let(level, f"insertelement {type_} {result}, {x.type} {x.name}, i32 {lane}")
                continue
            mask = ", ".join("i32 poison" if p is None else f"i32 {p}" for p in mine)
            wide = self._let(level, f"shufflevector {x.type} {x.name}, {x.type} poison, <{n} x i32> <{mask}>")
            if result == "poison":
                result = wide
                continue
            blend = ", ".join(f"i32 {k if p is None else k + n}" for k, p in enumerate(mine))
            result = self._let(level, f"shufflevector {type_} {result}, {type_} {wide}, <{n} x i32> <{blend}>")
        return Vector(result, n, kind, level)

"""Reductions over the edges of a row, or over all edges of a part, held in registers while the edges pass."""

from __future__ import annotations

import numpy as np

from graphgdl.ops.cpu.vector_code import EDGE, ENTRY, ROW, TYPES, Vector, literal, opaque, vector_type

from .llvm_values import Values
from .node import Node

MOST_REGISTERS = 16  # that one sum may take


class Reduction:
    """One reduction: `reduce` and `total` sum, `rmax` is the maximum, `rarg` the edge that first attains it.

    A total with too many features for registers is added up where it ends.
    """

    def __init__(self, values: Values, node: Node) -> None:
        self.values, self.code, self.node = values, values.code, node
        x = node.args[0]
        self.chunks = values.chunks(x)
        self.slots: list[str] = []  # on the stack, one for each chunk; LLVM makes registers of them
        self.ids: list[str] = []
        if node.op == "total" and x.numel > MOST_REGISTERS * values.bits // 32:
            return
        level, fill = ENTRY if node.op == "total" else ROW, -np.inf if node.op in ("rmax", "rarg") else 0.0
        self.slots = [self._slot(level, x.dtype, len(lanes), fill) for lanes in self.chunks]
        if node.op == "rarg":
            self.ids = [self._slot(level, "i32", len(lanes), -1) for lanes in self.chunks]

    def _slot(self, level: int, kind: str, lanes: int, fill: float) -> str:
        type_ = vector_type(kind, lanes)
        slot = self.code.slot(type_)
        self.code.put(level, slot, type_, literal(fill, kind, lanes))
        return slot

    def add(self) -> None:
        """Take in the present edge."""
        x = self.node.args[0]
        for k, lanes in enumerate(self.chunks):
            value = self.values.vector(x, lanes)
            if not self.slots:
                place = self._place()
                before = self.code.load(place, None, lanes, x.dtype, EDGE, changes=True)
                self.code.store(place, None, lanes, self.code.sum(before, value), EDGE)
                continue
            old = self.code.get(EDGE, self.slots[k], x.dtype, len(lanes))
            if self.ids:
                new = self._first(k, old, value)
            else:
                new = (self.code.greatest if self.node.op == "rmax" else self.code.sum)(old, value)
            self.code.put(EDGE, self.slots[k], new.type, new.name)

    def _place(self) -> str:
        """Return where this part's sum ends."""
        node, size = self.node, self.node.args[0].numel
        offset = self.code.once(f"part*{size}", ENTRY, f"mul i64 %part, {size}")
        type_, pointer = TYPES[node.dtype], self.values.arrays.pointer(node)
        start = self.code.once(f"start {node.id}", ENTRY, f"getelementptr {type_}, ptr {pointer}, i64 {offset}")
        return self.code.once(f"place {node.id}", EDGE, opaque(start))

    def _first(self, k: int, old: Vector, value: Vector) -> Vector:
        """Keep the edge id of the first maximum, or of the first nan, and return the value that the next must exceed."""
        code, n = self.code, value.lanes
        mask, ids, type_ = vector_type("bool", n), vector_type("i32", n), value.type
        best = code.get(EDGE, self.ids[k], "i32", n).name
        greater = code.let(EDGE, f"fcmp ogt {type_} {value.name}, {old.name}")
        nan = code.let(EDGE, f"fcmp uno {type_} {value.name}, {value.name}")
        number = code.let(EDGE, f"fcmp ord {type_} {old.name}, {old.name}")
        none = code.let(EDGE, f"icmp eq {ids} {best}, {literal(-1, 'i32', n)}")
        first_nan = code.let(EDGE, f"and {mask} {nan}, {number}")
        wins = code.let(EDGE, f"or {mask} {greater}, {first_nan}")
        wins = code.let(EDGE, f"or {mask} {wins}, {none}")
        mine = code.spread(self.values.arrays.edge_id(), n).name
        code.put(EDGE, self.ids[k], ids, code.choose("i32", n, EDGE, wins, mine, best))
        return Vector(code.choose(value.kind, n, EDGE, wins, value.name, old.name), n, value.kind, EDGE)

    def result(self, k: int) -> Vector:
        """Return a chunk of the result of the present row; a row without edges has the maximum 0."""
        code, n = self.code, len(self.chunks[k])
        value = code.get(ROW, (self.ids or self.slots)[k], self.node.dtype, n)
        if self.node.op != "rmax":
            return value
        some = code.let(ROW, "icmp sgt i64 %degree, 0")
        zero = literal(0, value.kind, n)
        name = code.let(ROW, f"select i1 {some}, {value.type} {value.name}, {value.type} {zero}")
        return Vector(name, n, value.kind, ROW)

    def store_total(self) -> None:
        """Add the sum over all edges to this part's, at the end of the function."""
        node = self.node
        pointer, size = self.values.arrays.pointer(node), node.args[0].numel
        for slot, lanes in zip(self.slots, self.chunks):
            offset = self.code.let(ENTRY, f"mul i64 %part, {size}")
            before = self.code.load(pointer, offset, lanes, node.dtype, ENTRY, changes=True)
            value = self.code.sum(before, self.code.get(ENTRY, slot, node.dtype, len(lanes)))
            self.code.store(pointer, offset, lanes, value, ENTRY)

"""The counter-based generator of dropout as LLVM instructions: the same arithmetic as `interpret.uniform`."""

from __future__ import annotations

from graphgdl.ops.cpu.vector_code import EDGE, ENTRY, ROW, Builder, Lanes, Vector, literal, vector_type

from .llvm_arrays import Arrays
from .node import Node


def uniform(code: Builder, arrays: Arrays, node: Node, lanes: Lanes) -> Vector:
    """Return numbers in [0, 1) drawn from seed, stream, row, and the feature of each lane."""
    n, level = len(lanes), EDGE if node.space == "E" else ROW
    seed = arrays.pointer(node.args[0])
    low = code.let(ENTRY, f"load i32, ptr {seed}, !invariant.load !0")
    address = code.let(ENTRY, f"getelementptr i32, ptr {seed}, i64 1")
    high = code.let(ENTRY, f"load i32, ptr {address}, !invariant.load !0")
    row = arrays.edge_id().name if node.space == "E" else code.let(ROW, "trunc i64 %row to i32")
    mixed = _mix(code, Vector(code.let(level, f"xor i32 {row}, {low}"), 1, "i32", level))
    counters = [str(_signed(lane * 0x9E3779B9 + node.attr * 0x85EBCA6B)) for lane in lanes]
    constant = counters[0] if n == 1 else "<" + ", ".join(f"i32 {c}" for c in counters) + ">"
    type_ = vector_type("i32", n)
    wide = code.let(level, f"add {type_} {code.spread(mixed, n).name}, {constant}")
    wide = code.let(level, f"xor {type_} {wide}, {code.spread(Vector(high, 1, 'i32', ENTRY), n).name}")
    bits = _mix(code, Vector(wide, n, "i32", level))
    top = code.let(level, f"lshr {type_} {bits.name}, {literal(8, 'i32', n)}")
    reals = vector_type(node.dtype, n)
    number = code.let(level, f"uitofp {type_} {top} to {reals}")
    name = code.let(level, f"fmul {reals} {number}, {literal(2.0**-24, node.dtype, n)}")
    return Vector(name, n, node.dtype, level)


def _mix(code: Builder, h: Vector) -> Vector:
    """Return the finaliser of MurmurHash3 of each lane."""
    name = h.name
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        moved = code.let(h.level, f"lshr {h.type} {name}, {literal(shift, 'i32', h.lanes)}")
        name = code.let(h.level, f"xor {h.type} {name}, {moved}")
        if factor != 1:
            name = code.let(h.level, f"mul {h.type} {name}, {literal(_signed(factor), 'i32', h.lanes)}")
    return Vector(name, h.lanes, "i32", h.level)


def _signed(number: int) -> int:
    """Return the low 32 bits as LLVM writes them."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)

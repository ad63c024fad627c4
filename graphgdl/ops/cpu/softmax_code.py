"""LLVM IR of the softmax over the edges of each row, in three sweeps: peaks, exponentials and their sums, quotients."""

from __future__ import annotations

from . import vector_math
from .row_code import Code, Type, Vector


def softmax(element: Type, key: str, permuted: bool, vectors: tuple[Vector, ...]) -> str:
    """Return the softmax of the rows `edge` of x if they are `permuted`, else of x as it lies."""
    code, edge = Code(element, key), "edge" if permuted else None
    slots = [(f"%peak{k}", f"%total{k}", v, code.kind(v)) for k, v in enumerate(vectors)]
    for peak, total, _, kind in slots:
        code.line(f"store {kind} zeroinitializer, ptr {peak}")
        code.line(f"store {kind} zeroinitializer, ptr {total}")
    with code.edges() as k:
        x, first = code.row(edge, k, "stride"), code.value(f"icmp eq i64 {k}, %begin")
        for peak, _, vector, kind in slots:
            value, best = code.load(vector, "x", x), code.value(f"load {kind}, ptr {peak}")
            wins = code.wins(vector, value, best, True, first)
            best = code.value(f"select <{vector.lanes} x i1> {wins}, {kind} {value}, {kind} {best}")
            code.line(f"store {kind} {best}, ptr {peak}")
    with code.edges() as k:
        x = code.row(edge, k, "stride")
        for peak, total, vector, kind in slots:
            best = code.value(f"load {kind}, ptr {peak}")
            value = _exp(code, vector, code.op("sub", kind, code.load(vector, "x", x), best))
            code.store(vector, value, x)
            added = code.op("add", kind, code.value(f"load {kind}, ptr {total}"), value)
            code.line(f"store {kind} {added}, ptr {total}")
    with code.edges() as k:
        x = code.row(edge, k, "stride")
        for _, total, vector, kind in slots:
            value = code.load(vector, "out", x)
            code.store(vector, code.op("div", kind, value, code.value(f"load {kind}, ptr {total}")), x)
    return code.function(f"{name} = alloca {kind}" for *names, _, kind in slots for name in names)


def _exp(code: Code, vector: Vector, value: str) -> str:
    lanes, kind, element = vector.lanes, code.kind(vector), code.element.name
    symbol = vector_math.symbol("exp", lanes, code.element.bytes == 8)
    text, declarations = vector_math.definition("exp", lanes, code.element.bytes == 8)
    code.outside |= {text, *declarations}
    if lanes > 1:
        return code.value(f"call {kind} @{symbol}({kind} {value})")
    scalar = code.value(f"extractelement {kind} {value}, i32 0")
    return code.spread(code.value(f"call {element} @{symbol}({element} {scalar})"), vector, code.element)

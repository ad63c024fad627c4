"""LLVM IR of row reductions and dot products, made for the number of heads and channels: results stay in registers."""

from __future__ import annotations

from functools import reduce

from .row_code import IDS, Code, Type, Vector


class _Sum:
    """The sum of the values."""

    def __init__(self, code: Code, vector: Vector, k: int) -> None:
        self.code, self.vector, self.kind, self.slot = code, vector, code.kind(vector), f"%sum{k}"
        self.slots = [f"{self.slot} = alloca {self.kind}"]
        code.line(f"store {self.kind} zeroinitializer, ptr {self.slot}")

    def add(self, value: str, identity: str, first: str) -> None:
        total = self.code.op("add", self.kind, self.code.value(f"load {self.kind}, ptr {self.slot}"), value)
        self.code.line(f"store {self.kind} {total}, ptr {self.slot}")

    def finish(self) -> None:
        self.code.store(self.vector, self.code.value(f"load {self.kind}, ptr {self.slot}"), "%i.first")


class _Extreme:
    """The id of the greatest or least value, -1 without any: the first of equal ones; nan wins, as in torch."""

    def __init__(self, code: Code, vector: Vector, k: int, greatest: bool) -> None:
        self.code, self.vector, self.greatest = code, vector, greatest
        self.kind, self.ids = code.kind(vector), code.kind(vector, IDS)
        self.best, self.arg = f"%best{k}", f"%arg{k}"
        self.slots = [f"{self.best} = alloca {self.kind}", f"{self.arg} = alloca {self.ids}"]
        code.line(f"store {self.kind} zeroinitializer, ptr {self.best}")
        code.line(f"store {self.ids} {code.spread('-1', vector, IDS)}, ptr {self.arg}")

    def add(self, value: str, identity: str, first: str) -> None:
        code, bits = self.code, f"<{self.vector.lanes} x i1>"
        best, arg = code.value(f"load {self.kind}, ptr {self.best}"), code.value(f"load {self.ids}, ptr {self.arg}")
        wins = code.wins(self.vector, value, best, self.greatest, first)
        mine = code.spread(identity, self.vector, IDS)
        best = code.value(f"select {bits} {wins}, {self.kind} {value}, {self.kind} {best}")
        arg = code.value(f"select {bits} {wins}, {self.ids} {mine}, {self.ids} {arg}")
        code.line(f"store {self.kind} {best}, ptr {self.best}")
        code.line(f"store {self.ids} {arg}, ptr {self.arg}")

    def finish(self) -> None:
        self.code.store(self.vector, self.code.value(f"load {self.ids}, ptr {self.arg}"), "%i.first", IDS)


def reduction(
    op: str, element: Type, key: str, indexed: bool, weighted: bool, permuted: bool, vectors: tuple[Vector, ...]
) -> str:
    """Return the 'sum' over the edges of each row, or the edge id where the values are 'greatest' or 'least'.

    The values are the rows `col` of x if `indexed`, else those of x as they lie, `weighted` by `other`. The ids are
    `edge` if the rows are `permuted`, else positions.
    """
    code = Code(element, key)
    reductions = [
        _Sum(code, v, k) if op == "sum" else _Extreme(code, v, k, op == "greatest") for k, v in enumerate(vectors)
    ]
    with code.edges() as k:
        if indexed:
            code.prefetch("x", code.row("col", code.later(k), "stride"), vectors)
        x = code.row("col" if indexed else None, k, "stride")
        identity = code.entry("edge" if permuted else None, k)
        weights = {}
        if weighted:
            if permuted:
                code.prefetch("other", code.row("edge", code.later(k), "heads"), [Vector(vectors[0].head, 1, 0, False)])
            w = code.row(None, identity, "heads")
            heads = dict.fromkeys(v.head for v in vectors)
            weights = {head: code.value(f"load {element.name}, ptr {code.place('other', w, head)}") for head in heads}
        first = code.value(f"icmp eq i64 {k}, %begin")
        for vector, result in zip(vectors, reductions):
            value = code.load(vector, "x", x)
            if weighted:
                value = code.op("mul", code.kind(vector), value, code.spread(weights[vector.head], vector, element))
            result.add(value, identity, first)
    for result in reductions:
        result.finish()
    return code.function(slot for result in reductions for slot in result.slots)


def edge_dot(element: Type, key: str, permuted: bool, vectors: tuple[Vector, ...]) -> str:
    """Return the dot products, for each head, of the rows `col` of x with the rows of `other` that own the edges."""
    code = Code(element, key)
    with code.edges() as k:
        code.prefetch("x", code.row("col", code.later(k), "stride"), vectors)
        x = code.row("col", k, "stride")
        out = code.row("edge" if permuted else None, k, "heads")
        for head in dict.fromkeys(v.head for v in vectors):
            mine = [v for v in vectors if v.head == head]
            place = code.place("out", out, head)
            terms = [code.value(f"load {element.name}, ptr {place}")] if mine[0].continued else []
            for lanes in dict.fromkeys(v.lanes for v in mine):
                same = [v for v in mine if v.lanes == lanes]
                kind = code.kind(same[0])
                products = [code.op("mul", kind, code.load(v, "x", x), code.load(v, "other", "%i.first")) for v in same]
                terms.append(_total(code, same[0], _sum(code, kind, products)))
            code.line(f"store {element.name} {_sum(code, element.name, terms)}, ptr {place}")
    return code.function([])


def _sum(code: Code, kind: str, terms: list[str]) -> str:
    return reduce(lambda a, b: code.op("add", kind, a, b), terms)


def _total(code: Code, vector: Vector, value: str) -> str:
    """Add up the lanes."""
    kind, result = code.kind(vector), code.element.name
    function = f"@llvm.vector.reduce.{'fadd' if code.float else 'add'}.v{vector.lanes}{code.element.suffix}"
    code.outside.add(f"declare {result} {function}({f'{result}, ' * code.float}{kind})")
    start = f"{result} -0.0, " * code.float
    return code.value(f"call {'reassoc ' * code.float}{result} {function}({start}{kind} {value})")

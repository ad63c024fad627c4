"""Random loop programs.

Each node of a random program carries a bound of its values and of its rounding error, so that a test knows how far two
right answers may lie apart. Discrete ops (comparisons, argmax, floor) are applied to exact integers alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from random_graphs import Graph, graphs

from graphgdl.compiler.ir import Program
from graphgdl.compiler.node import Node, topological

SHAPES = [(), (1,), (3,), (4, 5), (33,), (3, 16), (70,), (130,)]
EXACT = 2.0**21  # integers below are exact in float32, sums of two included
LARGEST_ERROR = 2e4  # in units of the last place of 1
TORCH = {"f32": torch.float32, "f64": torch.float64}


@dataclass
class Fact:
    """What is known of a node: |value| <= bound, rounding error <= error (units of the last place of 1), integers."""

    bound: float
    error: float = 0.0
    whole: bool = False

    @property
    def exact(self) -> bool:
        return self.whole and self.bound < EXACT


class RandomProgram:
    """A program, what is known of its nodes, and values for its inputs."""

    def __init__(self, graph: Graph, dtype: str, inline: int) -> None:
        self.program, self.graph, self.dtype = Program(inline), graph, dtype
        self.edges = len(graph.src)
        self.facts: dict[Node, Fact] = {}
        self.pool: list[Node] = []
        self.values: dict[Node, torch.Tensor] = {}
        self.outputs: list[Node] = []

    def __repr__(self) -> str:
        lines = [repr(n) for n in topological(self.outputs)]
        g = self.graph
        where = f"{g.name}: {g.num_src} sources, {g.num_dst} destinations, {g.edge_index.tolist()}"
        return "\n".join([where, *lines, f"outputs {[o.id for o in self.outputs]}"])

    def know(self, node: Node, bound: float, error: float = 0.0, whole: bool = False) -> Node:
        """Remember a node, unless its error would hide what a test is to see."""
        whole = whole and bound < EXACT
        error = 0.0 if whole else max(error, bound)
        if error > LARGEST_ERROR or not math.isfinite(bound):
            return node
        known = self.facts.get(node)
        if known is None or (known.error, known.bound) > (error, bound):
            self.facts[node] = Fact(bound, error, whole)
        self.pool.append(node)
        return node

    def space_of(self, end: str) -> str:
        return "N" if self.graph.square else {"src": "S", "dst": "D"}[end]

    def fit(self, x: Node, shape: tuple[int, ...]) -> Node:
        """Return the features of `x`, repeated or cut to a shape."""
        size = math.prod(shape)
        flat = self.program.view(x, (x.numel,))
        if x.numel != size:
            flat = self.program.take(flat, 0, [k % x.numel for k in range(size)])
        return self.program.view(flat, shape)


SMOOTH = {
    # op: (bound of the values it takes, bound of its result, slope)
    "exp": (3.0, math.exp(3), math.exp(3)),
    "expm1": (3.0, math.exp(3), math.exp(3)),
    "sin": (50.0, 1.0, 1.0),
    "cos": (50.0, 1.0, 1.0),
    "sinh": (3.0, 10.1, 10.1),
    "cosh": (3.0, 10.1, 10.1),
    "tanh": (1e4, 1.0, 1.0),
    "sigmoid": (1e4, 1.0, 1.0),
    "erf": (1e4, 1.0, 1.2),
    "atan": (1e4, 1.6, 1.0),
}
POSITIVE = {"log": 10.0, "sqrt": 100.0, "rsqrt": 1.0, "log1p": 10.0}  # of 1 + x^2


def _leaf(draw, r: RandomProgram) -> None:
    space = draw(st.sampled_from(["E", "E", r.space_of("src"), r.space_of("dst"), "C"]))
    shape = draw(st.sampled_from(SHAPES))
    node = r.program.input(f"input {len(r.program.inputs)}", space, shape, r.dtype)
    whole = draw(st.booleans())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    size = shape if space == "C" else (r.graph.rows(space), *shape)
    value = torch.randint(-3, 4, size, generator=generator).to(TORCH[r.dtype])
    if not whole:
        value = value + torch.rand(size, generator=generator, dtype=TORCH[r.dtype]) - 0.5
    r.values[node] = value
    r.know(node, 3.5, 0.0, whole)


def _pick(draw, r: RandomProgram, *spaces: str, whole: bool = False) -> Node | None:
    found = [n for n in r.pool if (not spaces or n.space in spaces) and (not whole or r.facts[n].exact)]
    return draw(st.sampled_from(found[-8:])) if found else None


def _partner(draw, r: RandomProgram, x: Node, whole: bool = False) -> Node:
    """Return another value that may meet `x`: of the same space or a constant, of a shape that broadcasts."""
    y = _pick(draw, r, x.space, "C", whole=whole) or x
    shapes = [x.shape, (1,) * len(x.shape), x.shape[-1:], (*x.shape[:-1], 1) if x.shape else ()]
    fitted = r.fit(y, draw(st.sampled_from(shapes)))
    r.facts.setdefault(fitted, r.facts[y])
    return fitted


def _arithmetic(draw, r: RandomProgram) -> None:
    x = _pick(draw, r)
    y = _partner(draw, r, x)
    a, b = r.facts[x], r.facts[y]
    op = draw(st.sampled_from(["add", "sub", "mul", "maximum", "minimum"]))
    if draw(st.booleans()):
        x, y, a, b = y, x, b, a
    whole = a.whole and b.whole
    if op == "mul":
        r.know(
            r.program.pw(op, x, y), a.bound * b.bound, a.bound * b.error + b.bound * a.error + a.bound * b.bound, whole
        )
    elif op in ("add", "sub"):
        r.know(r.program.pw(op, x, y), a.bound + b.bound, a.error + b.error + a.bound + b.bound, whole)
    else:
        r.know(r.program.pw(op, x, y), max(a.bound, b.bound), max(a.error, b.error), whole)


def _quotient(draw, r: RandomProgram) -> None:
    p, x = r.program, _pick(draw, r)
    y = p.pw("tanh", _partner(draw, r, x))
    below = p.pw("add", p.pw("mul", y, y), p.const(1.0, r.dtype))
    a = r.facts[x]
    r.know(p.pw("div", x, below), a.bound, 4 * (a.error + a.bound))


def _smooth(draw, r: RandomProgram) -> None:
    p, x = r.program, _pick(draw, r)
    a = r.facts[x]
    op = draw(st.sampled_from([*SMOOTH, *POSITIVE, "asin", "acos", "atan2", "pow", "tan"]))
    if op in POSITIVE:
        safe = p.pw("add", p.pw("mul", x, x), p.const(1.0, r.dtype))
        r.know(p.pw(op, safe), 1 + math.sqrt(1 + a.bound**2), 4 * (a.error + a.bound) + 8)
        return
    bound = SMOOTH[op][0] if op in SMOOTH else 0.0
    if a.bound > bound:
        x, a = p.pw("tanh", x), Fact(1.0, a.error + 2)
    if op in SMOOTH:
        _, most, slope = SMOOTH[op]
        r.know(p.pw(op, x), most, slope * a.error + 4 * most)
    elif op in ("asin", "acos"):
        r.know(p.pw(op, p.pw("mul", x, p.const(0.8, r.dtype))), 3.2, 2 * a.error + 8)
    elif op == "tan":
        r.know(p.pw(op, x), 1.6, 4 * a.error + 8)
    elif op == "pow":
        base = p.pw("add", p.pw("abs", x), p.const(0.5, r.dtype))
        r.know(p.pw(op, base, p.const(draw(st.sampled_from([1.5, -0.7, 3.0])), r.dtype)), 4.0, 10 * a.error + 20)
    else:
        y = _partner(draw, r, x)
        b = r.facts.get(y, Fact(1.0, a.error))
        far = p.pw("add", p.pw("mul", y, y), p.const(1.0, r.dtype))
        r.know(p.pw(op, x, far), 3.2, a.error + 2 * b.bound * b.error + b.bound**2 + 10)


def _unary(draw, r: RandomProgram) -> None:
    x = _pick(draw, r)
    a = r.facts[x]
    r.know(r.program.pw(draw(st.sampled_from(["neg", "abs", "stop"])), x), a.bound, a.error, a.whole)


def _discrete(draw, r: RandomProgram) -> None:
    """Choose between two values by a comparison of exact numbers; sign and floor."""
    p, x = r.program, _pick(draw, r, whole=True)
    if x is None:
        return
    y = _partner(draw, r, x, whole=True)
    op = draw(st.sampled_from(["lt", "le", "eq", "ne", "gt", "ge", "sign", "floor", "cast"]))
    a = r.facts[x]
    if op == "sign":
        r.know(p.pw(op, x), 1.0, 0.0, True)
    elif op == "floor":
        r.know(p.pw(op, p.pw("mul", x, p.const(0.5, r.dtype))), a.bound, 0.0, True)
    elif op == "cast":
        r.know(p.pw("cast", p.pw("gt", x, y), dtype=r.dtype), 1.0, 0.0, True)
    else:
        condition = p.pw(op, x, y)
        if draw(st.booleans()):
            condition = p.pw(
                draw(st.sampled_from(["and", "or"])), p.pw("not", condition), p.pw("gt", x, p.const(0.0, r.dtype))
            )
        u = r.fit(_pick(draw, r, condition.space, "C"), condition.shape)
        v = _partner(draw, r, x)
        b, c = Fact(*_worst(r, u)), r.facts[v]
        r.know(p.pw("where", condition, u, v), max(b.bound, c.bound), max(b.error, c.error, b.bound), False)


def _worst(r: RandomProgram, node: Node) -> tuple[float, float]:
    """Return the bounds of a value that was only reshaped."""
    while node not in r.facts:
        node = node.args[0]
    return r.facts[node].bound, r.facts[node].error


def _features(draw, r: RandomProgram) -> None:
    """Views, permutations, slices, concatenations, sums and maxima of features."""
    p, x = r.program, _pick(draw, r)
    a = r.facts[x]
    op = draw(st.sampled_from(["view", "permute", "take", "cat", "sum", "amax", "expand", "reverse"]))
    same = (a.bound, a.error, a.whole)
    if op == "expand":
        r.know(p.expand(p.view(x, (1, *x.shape)), (2, *x.shape)) if x.numel <= 80 and len(x.shape) < 3 else x, *same)
        return
    if not x.shape:
        r.know(p.view(x, (1, 1)), *same)
        return
    axis = draw(st.integers(0, len(x.shape) - 1))
    size = x.shape[axis]
    if op == "view":
        r.know(p.view(x, draw(st.sampled_from([(x.numel,), (x.numel, 1), (1, x.numel), x.shape[::-1]]))), *same)
    elif op == "permute":
        r.know(p.permute(x, tuple(reversed(range(len(x.shape))))), *same)
    elif op == "reverse":
        r.know(p.take(x, axis, range(size)[::-1]), *same)
    elif op == "take":
        start = draw(st.integers(0, size - 1))
        stop = draw(st.integers(start + 1, size))
        r.know(p.take(x, axis, range(start, stop, draw(st.integers(1, 3)))), *same)
    elif op == "cat":
        y = _pick(draw, r, x.space, "C")
        b = r.facts[y]
        wide = draw(st.integers(1, 5))
        y = r.fit(y, (*x.shape[:axis], wide, *x.shape[axis + 1 :]))
        parts = [x, y, x] if draw(st.booleans()) else [y, x]
        if sum(q.numel for q in parts) <= 160:
            r.know(p.cat(parts, axis), max(a.bound, b.bound), max(a.error, b.error), a.whole and b.whole)
    elif op == "sum":
        axes = draw(st.sampled_from([[axis], list(range(len(x.shape)))]))
        count = math.prod(x.shape[k] for k in axes)
        r.know(
            p.sum(x, axes, keepdim=draw(st.booleans())), a.bound * count, count * (a.error + a.bound * count), a.whole
        )
    else:
        r.know(p.amax(x, [axis]), *same)


def _move(draw, r: RandomProgram) -> None:
    """Gather nodes to edges, or reduce edges to nodes."""
    p = r.program
    end = draw(st.sampled_from(["src", "dst"]))
    space = r.space_of(end)
    op = draw(st.sampled_from(["gather", "gather", "reduce", "reduce", "rmax", "rarg"]))
    x = _pick(draw, r, space) if op == "gather" else _pick(draw, r, "E", whole=op == "rarg")
    if x is None:
        return
    a = r.facts[x]
    if op == "gather":
        r.know(p.gather(x, end), a.bound, a.error, a.whole)
    elif op == "reduce":
        e = max(r.edges, 1)
        r.know(p.reduce(x, end, space), a.bound * e, e * a.error + a.bound * e * min(e, 8), a.whole)
    elif op == "rmax":
        r.know(p.rmax(x, end, space), a.bound, a.error, a.whole)
    else:
        won = p.gather(p.rarg(x, end, space), end)
        mine = p.view(p.eid(), (1,) * len(x.shape))
        r.know(p.pw("where", p.pw("eq", won, mine), x, p.const(-7.0, r.dtype)), max(a.bound, 7.0), 0.0, a.whole)


def _softmax(draw, r: RandomProgram) -> None:
    """Three sweeps: greatest value, sum of exponentials, quotient."""
    p, x = r.program, _pick(draw, r, "E")
    if x is None:
        return
    x = p.pw("tanh", x)
    end = draw(st.sampled_from(["dst", "dst", "src"]))
    top = p.gather(p.pw("stop", p.rmax(x, end, r.space_of(end))), end)
    weight = p.pw("exp", p.pw("sub", x, top))
    below = p.gather(p.reduce(weight, end, r.space_of(end)), end)
    r.know(p.pw("div", weight, p.pw("add", below, p.const(1e-16, r.dtype))), 1.0, 40 * LARGEST_ERROR / 1000)


def _std(draw, r: RandomProgram) -> None:
    """Two sweeps: the mean, then the squares of what is left."""
    p, x = r.program, _pick(draw, r, "E")
    if x is None:
        return
    end = draw(st.sampled_from(["dst", "dst", "src"]))
    space = r.space_of(end)
    a = r.facts[x]
    ones = p.filled(1.0, "E", (1,) * len(x.shape), r.dtype)
    count = p.pw("maximum", p.reduce(ones, end, space), p.const(1.0, r.dtype))
    mean = p.pw("div", p.reduce(x, end, space), count)
    left = p.pw("sub", x, p.gather(mean, end))
    variance = p.pw("div", p.reduce(p.pw("mul", left, left), end, space), count)
    error = 16 * (a.error + a.bound) * (1 + a.bound)
    r.know(p.pw("sqrt", p.pw("add", variance, p.const(1.0, r.dtype))), 2 * a.bound + 1, error)


def _product(draw, r: RandomProgram) -> None:
    """A product with a constant matrix, or the sum of outer products over rows."""
    p, x = r.program, _pick(draw, r)
    if not x.shape:
        return
    k, m = x.shape[-1], draw(st.sampled_from([1, 3, 6, 17]))
    a = r.facts[x]
    op = draw(st.sampled_from(["mm", "mm", "mm", "mmt", "total"]))
    if op == "mm":
        w = r.fit(_pick(draw, r, "C") or _constant(draw, r), (k, m))
        b = Fact(*_worst(r, w))
        r.know(p.mm(x, w), a.bound * b.bound * k, k * (a.bound * b.error + b.bound * a.error + a.bound * b.bound * k))
        return
    if x.space == "C" or (op == "total" and x.numel > 140):
        return
    rows = max(r.graph.rows(x.space), 1)
    if op == "total":
        r.know(p.total(x), a.bound * rows, rows * (a.error + a.bound * min(rows, 8)), a.whole)
        return
    y = r.fit(_pick(draw, r, x.space), (*x.shape[:-1], m))
    b = Fact(*_worst(r, y))
    count = rows * x.numel // k
    error = count * (a.bound * b.error + b.bound * a.error + 8 * a.bound * b.bound)
    r.know(p.mmt(x, y), a.bound * b.bound * count, error)


def _edge_layer(draw, r: RandomProgram) -> None:
    """A product per edge that cannot be made per node, with what comes after it: it cuts a loop into tiles."""
    p, x = r.program, _pick(draw, r, "E")
    if x is None:
        return
    x = r.fit(p.pw("tanh", x), draw(st.sampled_from([(6,), (2, 8), (33,), (1, 5)])))
    k, m = x.shape[-1], draw(st.sampled_from([3, 6, 17]))
    w = r.fit(_pick(draw, r, "C") or _constant(draw, r), (k, m))
    b = Fact(*_worst(r, w))
    error = k * (b.error + b.bound * (LARGEST_ERROR / 1000 + k))
    product = r.know(p.mm(x, w), b.bound * k, error)
    if product not in r.facts:
        return
    after = draw(st.sampled_from(["nothing", "reduce dst", "reduce src", "rmax", "mmt", "total"]))
    if after.startswith("reduce"):
        end = after[-3:]
        e = max(r.edges, 1)
        r.know(p.reduce(p.pw("tanh", product), end, r.space_of(end)), e, e * (error + 4))
    elif after == "rmax":
        end = draw(st.sampled_from(["src", "dst"]))
        r.know(p.rmax(product, end, r.space_of(end)), b.bound * k, error)
    elif after in ("mmt", "total"):
        e = max(r.edges, 1) * (2 if len(product.shape) > 1 else 1)
        short = p.pw("tanh", product)
        made = p.mmt(short, r.fit(short, (*short.shape[:-1], 3))) if after == "mmt" else p.total(short)
        r.know(made, e, e * (2 * error + 8))


def _constant(draw, r: RandomProgram) -> Node:
    numbers = [((7 * k + 3) % 11 - 5) / 4 for k in range(6)]
    node = r.program.table(numbers, (6,), r.dtype)
    r.facts[node] = Fact(1.25, 0.0)
    return node


def _random(draw, r: RandomProgram) -> None:
    """Uniform numbers of the counter-based generator."""
    p = r.program
    seeds = [n for n in p.inputs if n.dtype == "i64"]
    seed = seeds[0] if seeds else p.input("seed", "C", (), "i64")
    r.values[seed] = torch.tensor(0x1234_5678_9ABC_DEF)
    space = draw(st.sampled_from(["E", r.space_of("dst")]))
    r.know(p.rand(seed, draw(st.integers(1, 3)), space, draw(st.sampled_from(SHAPES)), r.dtype), 1.0)


STEPS = [_leaf, _arithmetic, _arithmetic, _quotient, _smooth, _smooth, _unary, _discrete, _features, _features]
STEPS += [_move, _move, _move, _move, _softmax, _std, _product, _product, _edge_layer, _edge_layer, _random]


@st.composite
def programs(draw, most: int = 9):
    """Random programs with values for their inputs; small products per edge are made in row loops, or all, or none."""
    g = draw(graphs())
    r = RandomProgram(g, draw(st.sampled_from(["f32", "f64"])), draw(st.sampled_from([0, 0, 40, 4000])))
    for _ in range(draw(st.integers(2, 3))):
        _leaf(draw, r)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=2, max_size=most)):
        step(draw, r)
    found = [n for n in dict.fromkeys(r.pool) if n.op != "input"] or r.pool[-1:]
    r.outputs = [found[-1], *draw(st.lists(st.sampled_from(found[-6:]), max_size=3, unique=True))]
    return r

"""Pointwise ops as LLVM instructions on vectors."""

from __future__ import annotations

from graphgdl.ops.cpu import vector_math
from graphgdl.ops.cpu.vector_code import FAST, Builder, Vector, literal, vector_type

from .node import HEAVY
from .tape import Refused

_REALS = ("f32", "f64")
_ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INTRINSICS = {"sqrt": "sqrt", "abs": "fabs", "floor": "floor", "maximum": "maximum", "minimum": "minimum"}
_COMPARISONS = {  # of reals, of integers
    "lt": ("fcmp olt", "icmp slt"),
    "le": ("fcmp ole", "icmp sle"),
    "gt": ("fcmp ogt", "icmp sgt"),
    "ge": ("fcmp oge", "icmp sge"),
    "eq": ("fcmp oeq", "icmp eq"),
    "ne": ("fcmp une", "icmp ne"),
}
_CASTS = {
    ("bool", "f32"): "uitofp",
    ("bool", "f64"): "uitofp",
    ("i32", "f32"): "sitofp",
    ("i32", "f64"): "sitofp",
    ("f32", "f64"): "fpext",
    ("f64", "f32"): "fptrunc",
    ("bool", "i32"): "zext",
}
_LEAST_EXPONENT = {"f32": -87.33654, "f64": -708.39641}


def pointwise(code: Builder, op: str, kind: str, args: list[Vector]) -> Vector:
    """Return `op` of vectors, of which some may be one lane that stands for all; `kind` is the dtype of the result.

    Raises:
        Refused: there is no instruction for it.
    """
    n, level = max(a.lanes for a in args), max(a.level for a in args)
    return Vector(_instruction(code, op, kind, [code.spread(a, n) for a in args], level), n, kind, level)


def _instruction(code: Builder, op: str, kind: str, args: list[Vector], level: int) -> str:
    n, names = args[0].lanes, [a.name for a in args]
    type_, joined = vector_type(kind, n), ", ".join(names)
    if op == "stop":
        return names[0]
    if op in _ARITHMETIC and kind in _REALS:
        return code.let(level, f"{_ARITHMETIC[op]} {FAST} {type_} {joined}")
    if (op in ("add", "sub", "mul") and kind == "i32") or op in ("and", "or"):
        return code.let(level, f"{op} {type_} {joined}")
    if op == "neg":
        return code.let(level, f"fneg {FAST} {type_} {joined}")
    if op in _COMPARISONS:
        return code.let(level, f"{_COMPARISONS[op][args[0].kind not in _REALS]} {args[0].type} {joined}")
    if op == "where":
        return code.choose(kind, n, level, *names)
    if op == "cast":
        return _cast(code, args[0], kind, level)
    if op in _INTRINSICS:
        return code.intrinsic(_INTRINSICS[op], kind, n, level, *names)
    if op == "sigmoid" and kind == "f32":
        return _sigmoid(code, joined, n, level)
    if op == "exp":
        return _exp(code, args[0], level)
    if op in HEAVY:
        return _function(code, op, args, level)
    raise Refused(f"`{op}` on {kind} has no kernel")


def _cast(code: Builder, x: Vector, kind: str, level: int) -> str:
    if (x.kind, kind) in _CASTS:
        return code.let(level, f"{_CASTS[x.kind, kind]} {x.type} {x.name} to {vector_type(kind, x.lanes)}")
    if kind == "bool":
        return code.let(level, f"fcmp une {x.type} {x.name}, {literal(0, x.kind, x.lanes)}")
    raise Refused(f"a cast from {x.kind} to {kind} has no kernel")


def _function(code: Builder, op: str, args: list[Vector], level: int) -> str:
    """Call a function of `vector_math`."""
    x = args[0]
    symbol = vector_math.symbol(op, x.lanes, x.kind == "f64")
    if symbol not in code.functions:
        code.functions[symbol], declarations = vector_math.definition(op, x.lanes, x.kind == "f64")
        code.declarations |= declarations
    operands = ", ".join(f"{a.type} {a.name}" for a in args)
    return code.let(level, f"call {x.type} @{symbol}({operands})")


def _exp(code: Builder, x: Vector, level: int) -> str:
    """Return exp(x), but no subnormal numbers: products with them take a hundred times as long."""
    power = _function(code, "exp", [x], level)
    tiny = code.let(level, f"fcmp olt {x.type} {x.name}, {literal(_LEAST_EXPONENT[x.kind], x.kind, x.lanes)}")
    return code.choose(x.kind, x.lanes, level, tiny, literal(0, x.kind, x.lanes), power)


def _sigmoid(code: Builder, x: str, n: int, level: int) -> str:
    """1 / (1 + exp(-x)), within 3 ulp down to exp(-87); half the time of the function in `vector_math`."""
    type_ = vector_type("f32", n)
    limit, one = literal(87, "f32", n), literal(1, "f32", n)
    less = code.let(level, f"fneg {type_} {x}")
    far = code.let(level, f"fcmp ogt {type_} {less}, {limit}")
    less = code.choose("f32", n, level, far, limit, less)
    power = _function(code, "exp", [Vector(less, n, "f32", level)], level)
    below = code.let(level, f"fadd {type_} {power}, {one}")
    return code.let(level, f"fdiv ninf arcp {type_} {one}, {below}")  # finite: by estimate, see ATTRIBUTES

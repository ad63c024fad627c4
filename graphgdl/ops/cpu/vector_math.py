"""Elementary functions of vectors as LLVM IR text: what the CPU printer calls and LLVM does not provide.

`definition("exp", 16, double=False)` is the text of `define internal <16 x float> @gg_exp_16f32(<16 x float> %x)`
with what it calls, and the declarations it needs; a `declare` line may stand only once in a module, so they are
returned apart, as a set, for the printer to unite. One lane means the plain scalar type.

exp, expm1, log, log1p, tanh, sigmoid, sin, cos and erf are polynomials, every lane by the same instructions; the rest
calls the C library lane by lane, through the symbols of the process. Largest error found, in units in the last place,
float32 and float64 (`tests/ops/test_vector_math.py` holds them below 2; without fma tanh reaches 2.2):

    exp 1.1 1.0   expm1 1.7 1.7   log 0.9 0.9   log1p 1.4 1.3   tanh 1.7 1.6   sigmoid 1.6 1.5   erf 1.2 1.4
    sin, cos 1.6 1.6 up to |x| = 1e5 and 1e9; a larger lane is taken from the C library, behind a branch

The result of an element depends on that element alone, neither on its neighbours nor on the number of lanes.
Subnormal numbers are computed, not flushed; -0, inf and nan come out as in C. A number of lanes that is no power of two
is right but slow wherever LLVM carries the vector over a branch: it then keeps every lane in a register of its own.

Source: argument reductions after Cody and Waite (1980), Software Manual for the Elementary Functions, as in Moshier's
Cephes; the rounding of 1 + x by Knuth's two-sum. The polynomials are our own fits, see `polynomials`.
"""

from collections.abc import Callable
from typing import NamedTuple

from graphgdl.ops.cpu.vector_body import DOUBLE, FLOAT, Body, Value

MAX_LANES = 64


class Definition(NamedTuple):
    """LLVM IR of one function (and of its helpers), and the lines that declare what it calls from outside."""

    text: str
    declarations: frozenset[str]


def _exp_reduction(k: Body, x: Value) -> tuple[Value, Value, Value]:
    """x = n ln 2 + r + rounding with |r| <= ln 2 / 2: n + 2 bias in the low bits, r and rounding."""
    high, low = k.form.ln2
    n, bits = k.round(x, 1.4426950408889634, 2 * k.form.bias)
    first = k.fma(n, -high, x)
    r = k.fma(n, -low, first)
    return bits, r, k.fma(n, -low, first - r)


def _exp(k: Body, x: Value) -> Value:
    bits, r, _ = _exp_reduction(k, k.clamp(x, *k.form.exp_range))
    y = k.fma(r * r, k.polynomial("exp", r), r) + 1.0
    half = bits >> 1  # 2^n itself may be subnormal or too large: 2^(n / 2) twice
    return y * k.exponent(half) * k.exponent(bits - half)


def _expm1(k: Body, x: Value) -> Value:
    bits, r, rounding = _exp_reduction(k, k.clamp(x, k.form.expm1_low, k.form.exp_range[1]))
    y = r + k.fma(r * r, k.polynomial("exp", r), rounding)
    half_scale = k.exponent(bits - (k.form.bias + 1))
    y = k.fma(half_scale, y, half_scale - 0.5) * 2.0
    return k.select(k.abs(x) < k.form.tiny, x, y)


def _correct(k: Body, y: Value, a: Value, b: Value, c: float, inverse: Value) -> Value:
    """The quotient y of a / (b + c), free of the roundings of the sum and of the division; inverse ~ 1 / (b + c)."""
    divisor = b + c
    remainder = k.fma(-y, b - (divisor - c), k.fma(-y, divisor, a))
    return k.fma(remainder, inverse, y)


def _sigmoid(k: Body, x: Value) -> Value:
    e, negative = _exp(k, -k.abs(x)), x < 0.0
    a = k.select(negative, e, 1.0)
    y = a / (e + 1.0)
    return _correct(k, y, a, e, 1.0, k.select(negative, 1.0 - y, y))


def _tanh(k: Body, x: Value) -> Value:
    a = k.abs(x)
    a = k.select(a > k.form.tanh_high, k.form.tanh_high, a)
    t = _expm1(k, a + a)
    y = t / (t + 2.0)
    # 1 - y is all rounding for large t, where y is right without the correction
    inverse = k.select(t < 2.0**16, k.fma(y, -0.5, 0.5), 0.0)
    return k.intrinsic("copysign", _correct(k, y, t, t, 2.0, inverse), x)


def _split_exponent(k: Body, x: Value) -> tuple[Value, Value]:
    """The integer e and m with x = m 2^e and sqrt(1/2) <= m < sqrt(2), for positive normal x."""
    root_half = k.form.root_half
    bits = k.to_bits(x) - root_half
    return bits >> k.form.mantissa, k.to_real((bits & ((1 << k.form.mantissa) - 1)) + root_half)


def _log_of(k: Body, e: Value, f: Value) -> Value:
    """log(2^e (1 + f)) for a real e and sqrt(1/2) - 1 <= f < sqrt(2) - 1."""
    high, low = k.form.ln2
    square = f * f
    y = k.fma(e, low, f * square * k.polynomial("log", f))
    return k.fma(e, high, f + k.fma(square, -0.5, y))


def _log_limits(k: Body, y: Value, x: Value, pole: float) -> Value:
    """The logarithm y for x between its pole and inf; -inf at the pole, nan before it, inf at inf."""
    y = k.select(x > pole, y, k.select(x.equals(pole), float("-inf"), float("nan")))
    return k.select(x.equals(float("inf")), x, y)


def _log(k: Body, x: Value) -> Value:
    subnormal = x < 2.0 ** (1 - k.form.bias)
    shift = k.form.mantissa + 1
    e, m = _split_exponent(k, k.select(subnormal, x * 2.0**shift, x))
    return _log_limits(k, _log_of(k, k.convert(e) - k.select(subnormal, shift, 0.0), m - 1.0), x, 0.0)


def _log1p(k: Body, x: Value) -> Value:
    u = x + 1.0
    b = u - 1.0
    rounding = (1.0 - (u - b)) + (x - b)  # u + rounding = 1 + x exactly
    e, m = _split_exponent(k, u)
    f = k.fma(rounding * 0.5, k.exponent(k.form.bias + 1 - e), m - 1.0)  # 2^-e may be subnormal, 2^(1 - e) is not
    y = _log_limits(k, _log_of(k, k.convert(e), f), x, -1.0)
    return k.select(k.abs(x) < k.form.tiny, x, y)


def _trigonometric(k: Body, x: Value, name: str, quarter_turns: int) -> Value:
    """sin(|x| + quarter_turns * pi / 2), and lanes too large to be reduced from the C library."""
    magnitude = k.abs(x)
    turns, q = k.round(magnitude, 0.6366197723675814, quarter_turns)
    r = magnitude
    for part in k.form.half_pi:
        r = k.intrinsic("fma", turns, -part, r)
    z = r * r
    sine = k.fma(r * z, k.polynomial("sin", z), r)
    cosine = k.fma(z * z, k.polynomial("cos", z), k.fma(z, -0.5, 1.0))
    y = k.flip_sign(k.select((q & 1).equals(0), sine, cosine), q << (k.form.width - 2))
    return k.c_where(magnitude > k.form.trig_limit, y, name, magnitude)


def _sin(k: Body, x: Value) -> Value:
    return k.flip_sign(_trigonometric(k, x, "sin", 0), k.to_bits(x))


def _cos(k: Body, x: Value) -> Value:
    return _trigonometric(k, x, "cos", 1)


def _erf(k: Body, x: Value) -> Value:
    a = k.abs(x)
    a = k.select(a > k.form.erf_high, k.form.erf_high, a)
    near = k.fma(a, k.polynomial("erf", a * a), a)
    y = k.select(a < 1.0, near, 1.0 - _exp(k, k.polynomial("log_erfc", a)))
    return k.intrinsic("copysign", y, x)


_VECTOR: dict[str, Callable[[Body, Value], Value]] = {
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "sin": _sin,
    "cos": _cos,
    "erf": _erf,
}
_C_FUNCTIONS: dict[str, int] = {  # name, the same in the C library -> number of arguments
    **dict.fromkeys(("tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erfc", "lgamma"), 1),
    **dict.fromkeys(("atan2", "pow"), 2),
}
ARGUMENTS: dict[str, int] = {**dict.fromkeys(_VECTOR, 1), **_C_FUNCTIONS}


def symbol(name: str, lanes: int, double: bool) -> str:
    """The name of the function, without the `@`: `gg_exp_16f32`."""
    if name not in ARGUMENTS:
        raise ValueError(f"`name` must be one of {', '.join(ARGUMENTS)}, got {name!r}; compose it of these")
    if not 1 <= lanes <= MAX_LANES:
        raise ValueError(f"`lanes` must be from 1 to {MAX_LANES}, got {lanes}; split the vector")
    return f"gg_{name}_{lanes}{(DOUBLE if double else FLOAT).suffix}"


def definition(name: str, lanes: int, double: bool) -> Definition:
    """The function `symbol(name, lanes, double)` of `ARGUMENTS[name]` vectors of `lanes` reals, as LLVM IR.

    Raises: ValueError for a name that is not in `ARGUMENTS`, or lanes outside 1 to 64.

    Example:
        >>> text, declarations = definition("tan", 1, double=False)
        >>> print(text.splitlines()[0])
        define internal float @gg_tan_1f32(float %x) noinline nounwind {
        >>> sorted(declarations)
        ['declare float @tanf(float)']
    """
    function = symbol(name, lanes, double)
    k = Body(function, lanes, DOUBLE if double else FLOAT)
    if name in _C_FUNCTIONS:
        return Definition(k.c_function(function, name, _C_FUNCTIONS[name]), frozenset(k.declarations))
    result = _VECTOR[name](k, Value(k, "real", "%x"))
    real = k.type("real")
    lines = [
        f"define internal {real} @{function}({real} %x) alwaysinline nounwind {{",
        "entry:",
        *k.lines,
        f"  ret {real} {result.operand}",
        "}\n",
    ]
    return Definition("\n".join(lines) + k.helpers, frozenset(k.declarations))

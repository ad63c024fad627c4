"""Pointwise ATen ops as formulas of other pointwise ops, in the conventions of torch's own derivatives.

Each function is named as the op; tensors come as `Term`s, the rest as it is. What torch's own decompositions say as well
is not said here (see `translate`).
"""
# ruff: noqa: D103

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .tape import Refused
from .terms import (
    Term,
    absolute,
    equal,
    exp,
    floor,
    log,
    log1p,
    maximum,
    minimum,
    power,
    rsqrt,
    sigmoid,
    sign,
    sqrt,
    where,
)

# --- arithmetic


def add(x: Any, y: Any, alpha: float = 1) -> Term:
    return x + (y if alpha == 1 else y * alpha)


def sub(x: Any, y: Any, alpha: float = 1) -> Term:
    return x - (y if alpha == 1 else y * alpha)


def div(x: Any, y: Any, rounding_mode: str | None = None) -> Term:
    if rounding_mode is not None:
        raise Refused("division with rounding is not understood")
    return x / y


def pow_(x: Any, exponent: Any) -> Term:
    if isinstance(exponent, Term):
        return power(x, exponent)
    if x.node.dtype not in ("f32", "f64"):
        raise Refused("a power that is not of a float")
    if exponent in (0.5, -0.5):
        return sqrt(x) if exponent > 0 else rsqrt(x)
    if exponent != int(exponent) or abs(exponent) > 8:
        return power(x, exponent)
    if exponent == 0:
        return Term(x.program, x.program.full(1.0, x.node))
    product = x
    for _ in range(int(abs(exponent)) - 1):
        product = product * x
    return product if exponent > 0 else 1.0 / product


def square(x: Term) -> Term:
    return x * x


def reciprocal(x: Term) -> Term:
    return 1.0 / x


def to_copy(x: Term, *_: Any, **__: Any) -> Term:
    return x


to = to_copy


def atan2(y: Term, x: Term) -> Term:
    """Take every zero for +0, as sums are in torch: loops do not keep its sign, and the angle of (-0, -1) is -pi."""
    level = where(x < 0.0, math.pi, where(x >= 0.0, 0.0, x))
    return where(equal(y, 0.0), level, y.apply("atan2", y, x))


def clamp(x: Term, low: Any = None, high: Any = None) -> Term:
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def log2(x: Term) -> Term:
    return log(x) / math.log(2)


def log10(x: Term) -> Term:
    return log(x) / math.log(10)


def exp2(x: Term) -> Term:
    return exp(x * math.log(2))


def hypot(x: Term, y: Term) -> Term:
    return sqrt(x * x + y * y)


def ceil(x: Term) -> Term:
    return -floor(-x)


def trunc(x: Term) -> Term:
    return where(x < 0.0, ceil(x), floor(x))


def asinh(x: Term) -> Term:
    a = absolute(x)
    return sign(x) * log1p(a + a * a / (1.0 + sqrt(a * a + 1.0)))


def acosh(x: Term) -> Term:
    t = x - 1.0
    return log1p(t + sqrt(t * (t + 2.0)))


def atanh(x: Term) -> Term:
    a = absolute(x)
    return sign(x) * (0.5 * log1p(2.0 * a / (1.0 - a)))


# --- activations


def relu(x: Term) -> Term:
    return maximum(x, 0.0)


def silu_backward(g: Term, x: Term) -> Term:
    s = sigmoid(x)
    return g * (s * (x * (1.0 - s) + 1.0))


def sigmoid_backward(g: Term, y: Term) -> Term:
    return g * (y * (1.0 - y))


def tanh_backward(g: Term, y: Term) -> Term:
    return g * (1.0 - y * y)


def softplus_backward(g: Term, x: Term, beta: float, threshold: float) -> Term:
    z = x * beta
    return where(z > threshold, g, g * sigmoid(z))


def hardsigmoid_backward(g: Term, x: Term) -> Term:
    sixth = 11184811 / 2**26  # torch takes 1 / 6 in float32, for float64 too
    return where((x > -3.0) & (x < 3.0), g * sixth, 0.0)


def hardshrink_backward(g: Term, x: Term, bound: float) -> Term:
    return where((x >= -bound) & (x <= bound), 0.0, g)


softshrink_backward = hardshrink_backward


def log_sigmoid_forward(x: Term) -> tuple[Term, float]:
    return minimum(x, 0.0) - log1p(exp(-absolute(x))), 0.0  # what torch keeps for its derivative is not needed


def log_sigmoid_backward(g: Term, x: Term, buffer: Any) -> Term:
    return g * sigmoid(-x)


# by the name of the ATen op
FORMULAS: dict[str, Callable[..., Any]] = {
    name.rstrip("_"): function
    for name, function in list(globals().items())
    if getattr(function, "__module__", "") == __name__ and not name.startswith("_")
}

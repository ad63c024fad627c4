"""Pointwise ATen ops as formulas of other pointwise ops, in the conventions of torch's own derivatives.

Each function is named as the op; tensors come as `Term`s, the rest as it is.
"""
# ruff: noqa: D103

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from .tape import Refused
from .terms import (
    Term,
    absolute,
    equal,
    erf,
    exp,
    expm1,
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
    tanh,
    where,
)

# --- arithmetic


def add(x: Any, y: Any, alpha: float = 1) -> Term:
    return x + (y if alpha == 1 else y * alpha)


def sub(x: Any, y: Any, alpha: float = 1) -> Term:
    return x - (y if alpha == 1 else y * alpha)


def rsub(x: Any, y: Any, alpha: float = 1) -> Term:
    return sub(y, x, alpha)


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


def addcmul(x: Term, a: Term, b: Term, value: float = 1.0) -> Term:
    return x + value * (a * b)


def clamp(x: Term, low: Any = None, high: Any = None) -> Term:
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def clamp_min(x: Term, low: Any) -> Term:
    return maximum(x, low)


def clamp_max(x: Term, high: Any) -> Term:
    return minimum(x, high)


def addcdiv(x: Term, a: Term, b: Term, value: float = 1.0) -> Term:
    return x + value * (a / b)


def lerp(x: Term, y: Term, weight: Any) -> Term:
    near, far = x + weight * (y - x), y - (y - x) * (1.0 - weight)
    if isinstance(weight, Term):
        return where(absolute(weight) < 0.5, near, far)
    return near if abs(weight) < 0.5 else far


def log2(x: Term) -> Term:
    return log(x) / math.log(2)


def log10(x: Term) -> Term:
    return log(x) / math.log(10)


def exp2(x: Term) -> Term:
    return exp(x * math.log(2))


def logaddexp(x: Term, y: Term) -> Term:
    return where(equal(x, y), x + math.log(2), maximum(x, y) + log1p(exp(-absolute(x - y))))


def xlogy(x: Any, y: Any) -> Term:
    product = x * (log(y) if isinstance(y, Term) else math.log(y))
    return where(equal(x, 0.0), 0.0, product) if isinstance(x, Term) else product


def hypot(x: Term, y: Term) -> Term:
    return sqrt(x * x + y * y)


def ceil(x: Term) -> Term:
    return -floor(-x)


def trunc(x: Term) -> Term:
    return where(x < 0.0, ceil(x), floor(x))


def frac(x: Term) -> Term:
    return x - trunc(x)


def asinh(x: Term) -> Term:
    a = absolute(x)
    return sign(x) * log1p(a + a * a / (1.0 + sqrt(a * a + 1.0)))


def acosh(x: Term) -> Term:
    t = x - 1.0
    return log1p(t + sqrt(t * (t + 2.0)))


def atanh(x: Term) -> Term:
    a = absolute(x)
    return sign(x) * (0.5 * log1p(2.0 * a / (1.0 - a)))


def logit(x: Term, eps: float | None = None) -> Term:
    x = x if eps is None else clamp(x, eps, 1.0 - eps)
    return log(x / (1.0 - x))


def logit_backward(g: Term, x: Term, eps: float | None = None) -> Term:
    slope = g / (x * (1.0 - x))
    return slope if eps is None else where((x < eps) | (x > 1.0 - eps), 0.0, slope)


def nan_to_num(x: Term, nan: float | None = None, top: float | None = None, low: float | None = None) -> Term:
    largest = 3.4028234663852886e38 if x.node.dtype == "f32" else sys.float_info.max
    x = where(x > largest, largest if top is None else top, where(x < -largest, -largest if low is None else low, x))
    return where(equal(x, x), x, nan or 0.0)


# --- activations


def relu(x: Term) -> Term:
    return maximum(x, 0.0)


def threshold_backward(g: Term, x: Term, threshold: float) -> Term:
    return where(x <= threshold, 0.0, g)


def hardtanh(x: Term, low: float = -1.0, high: float = 1.0) -> Term:
    return clamp(x, low, high)


def hardtanh_backward(g: Term, x: Term, low: float, high: float) -> Term:
    return where((x <= low) | (x >= high), 0.0, g)


def leaky_relu(x: Term, slope: float = 0.01) -> Term:
    return where(x > 0.0, x, x * slope)


def leaky_relu_backward(g: Term, x: Term, slope: float, is_result: bool) -> Term:
    return where(x > 0.0, g, g * slope)


def prelu_kernel(x: Term, weight: Term) -> Term:
    return where(x > 0.0, x, x * weight)


def prelu_kernel_backward(g: Term, x: Term, weight: Term) -> tuple[Term, Term]:
    return where(x > 0.0, g, g * weight), where(x > 0.0, 0.0, g * x)


def silu(x: Term) -> Term:
    return x * sigmoid(x)


def silu_backward(g: Term, x: Term) -> Term:
    s = sigmoid(x)
    return g * (s * (x * (1.0 - s) + 1.0))


def sigmoid_backward(g: Term, y: Term) -> Term:
    return g * (y * (1.0 - y))


def tanh_backward(g: Term, y: Term) -> Term:
    return g * (1.0 - y * y)


def softplus(x: Term, beta: float = 1.0, threshold: float = 20.0) -> Term:
    z = x * beta
    return where(z > threshold, x, log1p(exp(z)) / beta)


def softplus_backward(g: Term, x: Term, beta: float, threshold: float) -> Term:
    z = x * beta
    return where(z > threshold, g, g * sigmoid(z))


def elu(x: Term, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Term:
    low = expm1(x * input_scale) * (alpha * scale)
    return where(x > 0.0, x * scale, low)


def elu_backward(g: Term, alpha: float, scale: float, input_scale: float, is_result: bool, y: Term) -> Term:
    low = (y + alpha * scale) * input_scale if is_result else exp(y * input_scale) * (alpha * scale * input_scale)
    return where(y <= 0.0, g * low, g * scale)


def celu(x: Term, alpha: float = 1.0) -> Term:
    return elu(x, alpha, 1.0, 1.0 / alpha)


def mish(x: Term) -> Term:
    return x * tanh(softplus(x))


def hardsigmoid(x: Term) -> Term:
    return clamp(x + 3.0, 0.0, 6.0) / 6.0


def hardsigmoid_backward(g: Term, x: Term) -> Term:
    sixth = 11184811 / 2**26  # torch takes 1 / 6 in float32, for float64 too
    return where((x > -3.0) & (x < 3.0), g * sixth, 0.0)


def hardswish(x: Term) -> Term:
    return x * hardsigmoid(x)


def hardswish_backward(g: Term, x: Term) -> Term:
    return where(x <= -3.0, 0.0, where(x < 3.0, g * (x / 3.0 + 0.5), g))


def hardshrink(x: Term, bound: float = 0.5) -> Term:
    return hardshrink_backward(x, x, bound)


def hardshrink_backward(g: Term, x: Term, bound: float) -> Term:
    return where((x >= -bound) & (x <= bound), 0.0, g)


softshrink_backward = hardshrink_backward


def softshrink(x: Term, bound: float = 0.5) -> Term:
    return where(x > bound, x - bound, where(x < -bound, x + bound, 0.0))


def threshold(x: Term, bound: float, value: float) -> Term:
    return where(x <= bound, value, x)


def gelu(x: Term, approximate: str = "none") -> Term:
    if approximate == "tanh":
        return 0.5 * x * (1.0 + tanh(_gelu_inner(x)))
    return x * (0.5 * (erf(x * math.sqrt(0.5)) + 1.0))


def _gelu_inner(x: Term) -> Term:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))


def gelu_backward(g: Term, x: Term, approximate: str = "none") -> Term:
    if approximate == "tanh":
        t = tanh(_gelu_inner(x))
        slope = math.sqrt(2 / math.pi) * (1.0 + 3 * 0.044715 * (x * x))
        return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
    phi = 0.5 * (erf(x * math.sqrt(0.5)) + 1.0)
    return g * (phi + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi)))


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

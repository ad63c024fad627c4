"""Pointwise ATen ops as formulas of other pointwise ops, in the conventions of torch's own derivatives."""
# ruff: noqa: D103

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .ir import Node, Program
from .tape import Refused

FORMULAS: dict[str, Callable[..., Any]] = {}  # by the name of the ATen op; tensors come as `Term`s, the rest as it is


def _binary(op: str, swapped: bool = False) -> Callable[[Term, Any], Term]:
    def apply(self: Term, other: Any) -> Term:
        return self.apply(op, other, self) if swapped else self.apply(op, self, other)

    return apply


class Term:
    """A node under Python's operators; a number takes the dtype of the term it meets."""

    __slots__ = ("node", "program")

    def __init__(self, program: Program, node: Node) -> None:
        self.program, self.node = program, node

    def apply(self, op: str, *args: Any) -> Term:
        """Apply a pointwise op to terms and numbers."""
        p = self.program
        nodes = [a.node if isinstance(a, Term) else p.const(a, self.node.dtype) for a in args]
        return Term(p, p.pw(op, *nodes))

    __add__, __radd__ = _binary("add"), _binary("add", swapped=True)
    __sub__, __rsub__ = _binary("sub"), _binary("sub", swapped=True)
    __mul__, __rmul__ = _binary("mul"), _binary("mul", swapped=True)
    __truediv__, __rtruediv__ = _binary("div"), _binary("div", swapped=True)
    __lt__, __le__, __gt__, __ge__ = _binary("lt"), _binary("le"), _binary("gt"), _binary("ge")
    __and__, __or__ = _binary("and"), _binary("or")

    def __neg__(self) -> Term:
        return self.apply("neg", self)

    def sum(self, axes: Sequence[int], keepdim: bool = True) -> Term:
        """Sum over feature axes."""
        return Term(self.program, self.program.sum(self.node, axes, keepdim))

    def mean(self, axes: Sequence[int], keepdim: bool = True) -> Term:
        """Return the mean over feature axes."""
        return self.sum(axes, keepdim) / float(math.prod(self.node.shape[a] for a in axes))

    def amax(self, axes: Sequence[int]) -> Term:
        """Return the greatest value over feature axes, which are kept."""
        p, kept = self.program, tuple(1 if a in axes else d for a, d in enumerate(self.node.shape))
        return Term(p, p.view(p.amax(self.node, axes), kept))


def _function(op: str) -> Callable[..., Term]:
    def apply(*args: Any) -> Term:
        return next(a for a in args[::-1] if isinstance(a, Term)).apply(op, *args)

    return apply


def formula(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a formula under its own name."""
    FORMULAS[function.__name__.rstrip("_")] = function
    return function


absolute, exp, log, sqrt, rsqrt = map(_function, ("abs", "exp", "log", "sqrt", "rsqrt"))
erf, expm1, floor, log1p, sigmoid, tanh = map(_function, ("erf", "expm1", "floor", "log1p", "sigmoid", "tanh"))
equal, maximum, minimum, power, where = map(_function, ("eq", "maximum", "minimum", "pow", "where"))


# --- arithmetic


@formula
def add(x: Any, y: Any, alpha: float = 1) -> Term:
    return x + (y if alpha == 1 else y * alpha)


@formula
def sub(x: Any, y: Any, alpha: float = 1) -> Term:
    return x - (y if alpha == 1 else y * alpha)


@formula
def rsub(x: Any, y: Any, alpha: float = 1) -> Term:
    return sub(y, x, alpha)


@formula
def div(x: Any, y: Any, rounding_mode: str | None = None) -> Term:
    if rounding_mode is not None:
        raise Refused("division with rounding is not understood")
    return x / y


@formula
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


@formula
def square(x: Term) -> Term:
    return x * x


@formula
def reciprocal(x: Term) -> Term:
    return 1.0 / x


@formula
def to_copy(x: Term, *_: Any, **__: Any) -> Term:
    return x


FORMULAS["to"] = to_copy


@formula
def atan2(y: Term, x: Term) -> Term:
    """Take every zero for +0, as sums are in torch: loops do not keep its sign, and the angle of (-0, -1) is -pi."""
    level = where(x < 0.0, math.pi, where(x >= 0.0, 0.0, x))
    return where(equal(y, 0.0), level, y.apply("atan2", y, x))


@formula
def addcmul(x: Term, a: Term, b: Term, value: float = 1.0) -> Term:
    return x + value * (a * b)


@formula
def clamp(x: Term, low: Any = None, high: Any = None) -> Term:
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


@formula
def clamp_min(x: Term, low: Any) -> Term:
    return maximum(x, low)


@formula
def clamp_max(x: Term, high: Any) -> Term:
    return minimum(x, high)


# --- activations


@formula
def relu(x: Term) -> Term:
    return maximum(x, 0.0)


@formula
def threshold_backward(g: Term, x: Term, threshold: float) -> Term:
    return where(x <= threshold, 0.0, g)


@formula
def hardtanh(x: Term, low: float = -1.0, high: float = 1.0) -> Term:
    return clamp(x, low, high)


@formula
def hardtanh_backward(g: Term, x: Term, low: float, high: float) -> Term:
    return where((x <= low) | (x >= high), 0.0, g)


@formula
def leaky_relu(x: Term, slope: float = 0.01) -> Term:
    return where(x > 0.0, x, x * slope)


@formula
def leaky_relu_backward(g: Term, x: Term, slope: float, is_result: bool) -> Term:
    return where(x > 0.0, g, g * slope)


@formula
def prelu_kernel(x: Term, weight: Term) -> Term:
    return where(x > 0.0, x, x * weight)


@formula
def prelu_kernel_backward(g: Term, x: Term, weight: Term) -> tuple[Term, Term]:
    return where(x > 0.0, g, g * weight), where(x > 0.0, 0.0, g * x)


@formula
def silu(x: Term) -> Term:
    return x * sigmoid(x)


@formula
def silu_backward(g: Term, x: Term) -> Term:
    s = sigmoid(x)
    return g * (s * (x * (1.0 - s) + 1.0))


@formula
def sigmoid_backward(g: Term, y: Term) -> Term:
    return g * (y * (1.0 - y))


@formula
def tanh_backward(g: Term, y: Term) -> Term:
    return g * (1.0 - y * y)


@formula
def softplus(x: Term, beta: float = 1.0, threshold: float = 20.0) -> Term:
    z = x * beta
    return where(z > threshold, x, log1p(exp(z)) / beta)


@formula
def softplus_backward(g: Term, x: Term, beta: float, threshold: float) -> Term:
    z = x * beta
    return where(z > threshold, g, g * sigmoid(z))


@formula
def elu(x: Term, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Term:
    low = expm1(x * input_scale) * (alpha * scale)
    return where(x > 0.0, x * scale, low)


@formula
def elu_backward(g: Term, alpha: float, scale: float, input_scale: float, is_result: bool, y: Term) -> Term:
    low = (y + alpha * scale) * input_scale if is_result else exp(y * input_scale) * (alpha * scale * input_scale)
    return where(y <= 0.0, g * low, g * scale)


@formula
def gelu(x: Term) -> Term:
    return x * (0.5 * (erf(x * math.sqrt(0.5)) + 1.0))


@formula
def gelu_backward(g: Term, x: Term) -> Term:
    phi = 0.5 * (erf(x * math.sqrt(0.5)) + 1.0)
    return g * (phi + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi)))


@formula
def log_sigmoid_forward(x: Term) -> tuple[Term, float]:
    return minimum(x, 0.0) - log1p(exp(-absolute(x))), 0.0  # what torch keeps for its derivative is not needed


@formula
def log_sigmoid_backward(g: Term, x: Term, buffer: Any) -> Term:
    return g * sigmoid(-x)

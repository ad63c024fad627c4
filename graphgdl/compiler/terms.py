"""Nodes under Python's arithmetic, and the elementary functions of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .ir import Program
from .node import Node


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


absolute, exp, log, sqrt, rsqrt = map(_function, ("abs", "exp", "log", "sqrt", "rsqrt"))
erf, expm1, floor, log1p, sigmoid, tanh = map(_function, ("erf", "expm1", "floor", "log1p", "sigmoid", "tanh"))
equal, maximum, minimum, power, sign, where = map(_function, ("eq", "maximum", "minimum", "pow", "sign", "where"))

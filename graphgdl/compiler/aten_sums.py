"""ATen ops that sum or compare features: sums, extremes, norms, softmaxes, layer norm."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from .arrays import Array, Arrays
from .tape import Refused, Value
from .terms import Term, absolute, exp, log, rsqrt, sqrt, where

LONGEST = 64  # features of a running sum or product, which is unrolled


class Sums(Arrays):
    """Handlers; only a sum may be over rows."""

    def _axes(self, array: Array, dims: Any) -> tuple[bool, list[int]]:
        """Split dimensions into whether the rows are among them, and feature axes."""
        rank = len(array.shape)
        wanted = range(rank) if dims is None or len(dims) == 0 else sorted(d % rank for d in dims)
        axes = [array.layout.axis(d) for d in wanted if d != array.row]
        over_rows = array.row is not None and array.row in wanted
        return over_rows, sorted(axes + ([0] if over_rows and array.fold > 1 else []))

    def _features(self, x: Any, dims: Any, what: str) -> tuple[Term, list[int]]:
        """Return a tensor and the feature axes of `dims`."""
        array = self._arg(x)
        over_rows, axes = self._axes(array, dims)
        if over_rows:
            raise Refused(f"{what} over all edges or nodes")
        return self._term(array.node), axes

    def _sum(self, value: Value, x: Any, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
        array = self._arg(x)
        over_rows, axes = self._axes(array, dims)
        node = self.p.pw("cast", array.node, dtype=self._number(value.meta, value.args))
        node = self.p.sum(node, axes) if axes else node
        return self._placed(self.p.total(node) if over_rows else node, value.meta.shape)

    def _mean(self, value: Value, x: Any, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
        term, axes = self._features(x, dims, "a mean")
        return self._placed(term.mean(axes, keepdim=False), value.meta.shape)

    def _amax(self, value: Value, x: Any, dims: Any = (), keepdim: bool = False) -> Array:
        term, axes = self._features(x, dims, "a maximum")
        return self._placed(self.p.amax(term.node, axes), value.meta.shape)

    def _amin(self, value: Value, x: Any, dims: Any = (), keepdim: bool = False) -> Array:
        term, axes = self._features(x, dims, "a minimum")
        return self._placed(-(-term).amax(axes), value.meta.shape)

    def _truths(self, x: Any, dims: Any) -> tuple[Term, list[int]]:
        term, axes = self._features(x, [dims] if isinstance(dims, int) else dims, "a statement")
        return (term if term.node.dtype == "bool" else term.apply("ne", term, 0.0)), axes

    def _counted(self, truths: Term, axes: Sequence[int]) -> Term:
        return self._term(self.p.pw("cast", truths.node, dtype="f32")).sum(axes)

    def _any(self, value: Value, x: Any, dims: Any = None, keepdim: bool = False) -> Array:
        truths, axes = self._truths(x, dims)
        return self._placed(self._counted(truths, axes) > 0.0, value.meta.shape)

    def _all(self, value: Value, x: Any, dims: Any = None, keepdim: bool = False) -> Array:
        truths, axes = self._truths(x, dims)
        return self._placed(self._counted(truths.apply("not", truths), axes) <= 0.0, value.meta.shape)

    # --- norms and variances

    def _linalg_vector_norm(
        self, value: Value, x: Any, order: float = 2, dims: Any = None, *_: Any, **__: Any
    ) -> Array:
        term, axes = self._features(x, dims, f"a norm of order {order}, or")
        if order not in (1, 2):
            raise Refused(f"a norm of order {order}")
        total = (absolute(term) if order == 1 else term * term).sum(axes, keepdim=False)
        return self._placed(total if order == 1 else sqrt(total), value.meta.shape)

    _norm = _linalg_vector_norm

    def _moments(self, x: Any, dims: Any, correction: float | None) -> tuple[Term, Term]:
        """Return variance and mean; `correction` is what the number of features is lessened by."""
        term, axes = self._features(x, dims, "a variance")
        mean = term.mean(axes)
        left = term - mean
        count = math.prod(term.node.shape[a] for a in axes) - (1 if correction is None else correction)
        if count <= 0:
            raise Refused("a variance of a single feature")
        return (left * left).sum(axes) / float(count), mean

    def _var(self, value: Value, x: Any, dims: Any = None, *, correction: Any = None, keepdim: bool = False) -> Array:
        return self._placed(self._moments(x, dims, correction)[0], value.meta.shape)

    def _std(self, value: Value, x: Any, dims: Any = None, *, correction: Any = None, keepdim: bool = False) -> Array:
        return self._placed(sqrt(self._moments(x, dims, correction)[0]), value.meta.shape)

    def _var_mean(self, value: Value, x: Any, dims: Any = None, *, correction: Any = None, **_: Any) -> list[Array]:
        return [self._placed(t, m.shape) for t, m in zip(self._moments(x, dims, correction), value.meta)]

    def _std_mean(self, value: Value, x: Any, dims: Any = None, *, correction: Any = None, **_: Any) -> list[Array]:
        variance, mean = self._moments(x, dims, correction)
        return [self._placed(t, m.shape) for t, m in zip((sqrt(variance), mean), value.meta)]

    # --- softmax

    def _softmax(self, value: Value, x: Any, dim: int, half_to_float: bool = False) -> Array:
        term, axes = self._features(x, [dim], "a softmax")
        e = exp(term - term.amax(axes))
        return self._placed(e / e.sum(axes), value.meta.shape)

    def _softmax_backward_data(self, value: Value, g: Any, y: Any, dim: int, dtype: Any) -> Array:
        result, axes = self._features(y, [dim], "a softmax")
        weighted = self._term(self._arg(g).node) * result
        return self._placed(weighted - result * weighted.sum(axes), value.meta.shape)

    def _logsumexp(self, value: Value, x: Any, dims: Any, keepdim: bool = False) -> Array:
        term, axes = self._features(x, dims, "a softmax")
        top = term.amax(axes)
        top = where(absolute(top) < math.inf, top, 0.0)
        return self._placed(top + log(exp(term - top).sum(axes)), value.meta.shape)

    def _log_softmax(self, value: Value, x: Any, dim: int, half_to_float: bool = False) -> Array:
        term, axes = self._features(x, [dim], "a softmax")
        left = term - term.amax(axes)
        return self._placed(left - log(exp(left).sum(axes)), value.meta.shape)

    def _log_softmax_backward_data(self, value: Value, g: Any, y: Any, dim: int, dtype: Any) -> Array:
        result, axes = self._features(y, [dim], "a softmax")
        gradient = self._term(self._arg(g).node)
        return self._placed(gradient - exp(result) * gradient.sum(axes), value.meta.shape)

    # --- products, and running sums and products

    def _running(self, x: Any, dim: int, combine: Callable[[Term, Term], Term]) -> tuple[list[Term], int]:
        """Return the running results over a feature dimension, one by one, and its axis."""
        term, (axis,) = self._features(x, [dim], "a running sum or product")
        length = term.node.shape[axis]
        if not 0 < length <= LONGEST:
            raise Refused(f"a running sum or product of {length} features")
        parts = [self._term(self.p.take(term.node, axis, [k])) for k in range(length)]
        return list(itertools.accumulate(parts, combine)), axis

    def _cumsum(self, value: Value, x: Any, dim: int, **_: Any) -> Array:
        sums, axis = self._running(x, dim, operator.add)
        return self._placed(self.p.cat([t.node for t in sums], axis), value.meta.shape)

    def _cumprod(self, value: Value, x: Any, dim: int, **_: Any) -> Array:
        products, axis = self._running(x, dim, operator.mul)
        return self._placed(self.p.cat([t.node for t in products], axis), value.meta.shape)

    def _prod(self, value: Value, x: Any, dim: int | None = None, keepdim: bool = False, **_: Any) -> Array:
        if dim is None:
            raise Refused("a product over all edges or nodes")
        return self._placed(self._running(x, dim, operator.mul)[0][-1], value.meta.shape)

    # --- layer norm

    def _standardised(self, x: Any, shape: Sequence[int]) -> tuple[Term, list[int]]:
        """Return the input of a layer norm, and the feature axes that it is over."""
        array = self._arg(x)
        if len(shape) + (array.row is not None) > len(array.shape) or array.row not in (None, 0):
            raise Refused("a layer norm over all edges or nodes")
        rank = len(array.node.shape)
        return self._term(array.node), list(range(rank - len(shape), rank))

    def _native_layer_norm(
        self, value: Value, x: Any, shape: Sequence[int], weight: Any, bias: Any, eps: float
    ) -> list[Array]:
        term, axes = self._standardised(x, shape)
        mean = term.mean(axes)
        left = term - mean
        scale = rsqrt((left * left).mean(axes) + eps)
        out = left * scale
        out = out if weight is None else out * self._term(self._arg(weight).node)
        out = out if bias is None else out + self._term(self._arg(bias).node)
        return [self._placed(t, meta.shape) for t, meta in zip((out, mean, scale), value.meta)]

    def _native_layer_norm_backward(
        self, value: Value, g: Any, x: Any, shape: Sequence[int], mean: Any, scale: Any, weight: Any, bias: Any, _: Any
    ) -> list[Array]:
        term, axes = self._standardised(x, shape)
        gradient, centre, scaled = (self._term(self._arg(a).node) for a in (g, mean, scale))
        normal = (term - centre) * scaled
        weighted = gradient if weight is None else gradient * self._term(self._arg(weight).node)
        left = weighted - weighted.mean(axes) - normal * (weighted * normal).mean(axes)

        def collected(term: Term) -> Array:
            node = self.p.sum(term.node, range(axes[0])) if axes[0] else term.node
            return self._placed(self.p.total(node) if node.space != "C" else node, shape)

        return [self._placed(scaled * left, self._arg(x).shape), collected(gradient * normal), collected(gradient)]

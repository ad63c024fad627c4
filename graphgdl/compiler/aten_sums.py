"""ATen ops that sum or compare features: sums, extremes, norms, variances, running sums and products."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

from .arrays import Array, Arrays
from .tape import Refused, Value
from .terms import Term, absolute, sqrt

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

    def _var_mean(self, value: Value, x: Any, dims: Any = None, *, correction: Any = None, **_: Any) -> list[Array]:
        term, axes = self._features(x, dims, "a variance")
        mean = term.mean(axes)
        left = term - mean
        count = math.prod(term.node.shape[a] for a in axes) - (1 if correction is None else correction)
        if count <= 0:
            raise Refused("a variance of a single feature")
        metas = value.meta if isinstance(value.meta, tuple | list) else [value.meta]
        return [self._placed(t, m.shape) for t, m in zip(((left * left).sum(axes) / float(count), mean), metas)]

    def _var(self, value: Value, x: Any, dims: Any = None, **options: Any) -> Array:
        return self._var_mean(value, x, dims, **options)[0]

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

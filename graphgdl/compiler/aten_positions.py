"""ATen ops that find the position of a feature, and what is picked or placed by it. Positions are kept as floats."""

from __future__ import annotations

from typing import Any

from .arrays import Array, Arrays
from .tape import Refused, Value
from .terms import Term, equal, where


class Positions(Arrays):
    """Handlers."""

    def _extreme(self, x: Any, dim: int | None, sign: float) -> tuple[Term, Term]:
        """Return the greatest (least, if `sign` is -1) of a feature dimension and where it first is; the axis is kept."""
        array = self._arg(x)
        if dim is None or dim % len(array.shape) == array.row:
            raise Refused("a maximum over all edges or nodes")
        axis = array.layout.axis(dim % len(array.shape))
        term = self._term(array.node) * sign
        top = term.amax([axis])
        length = array.node.shape[axis]
        position = where(equal(term, top), -1.0 * self._numbers(array.node, axis), float(-length)).amax([axis])
        return top * sign, -position

    def _numbers(self, node: Any, axis: int) -> Term:
        """Return 0, 1, 2, ... along an axis of the features of `node`."""
        shape = tuple(d if a == axis else 1 for a, d in enumerate(node.shape))
        return self._term(self.p.table([float(k) for k in range(node.shape[axis])], shape, node.dtype))

    def _max(self, value: Value, x: Any, dim: int | None = None, keepdim: bool = False) -> list[Array]:
        return [self._placed(t, m.shape) for t, m in zip(self._extreme(x, dim, 1.0), value.meta)]

    def _min(self, value: Value, x: Any, dim: int | None = None, keepdim: bool = False) -> list[Array]:
        return [self._placed(t, m.shape) for t, m in zip(self._extreme(x, dim, -1.0), value.meta)]

    def _argmax(self, value: Value, x: Any, dim: int | None = None, keepdim: bool = False) -> Array:
        return self._placed(self._extreme(x, dim, 1.0)[1], value.meta.shape)

    def _argmin(self, value: Value, x: Any, dim: int | None = None, keepdim: bool = False) -> Array:
        return self._placed(self._extreme(x, dim, -1.0)[1], value.meta.shape)

    def _here(self, x: Any, dim: int, index: Any) -> tuple[Array, int, Term]:
        """Return a tensor, the feature axis of `dim`, and which of its features is at the position `index`."""
        array, position = self._arg(x), self._arg(index)
        dim %= len(array.shape)
        if dim == array.row or position.shape != (*array.shape[:dim], 1, *array.shape[dim + 1 :]):
            raise Refused("it picks or places several features by position")
        axis = array.layout.axis(dim)
        at = self._term(self.p.pw("cast", position.node, dtype=array.node.dtype))
        return array, axis, equal(self._numbers(array.node, axis), at)

    def _gather(self, value: Value, x: Any, dim: int, index: Any, **_: Any) -> Array:
        array, axis, here = self._here(x, dim, index)
        return self._placed(where(here, self._term(array.node), 0.0).sum([axis]), value.meta.shape)

    def _scatter(self, value: Value, x: Any, dim: int, index: Any, src: Any) -> Array:
        if index not in self.env:
            raise Refused("it writes rows by index")
        array, _, here = self._here(x, dim, index)
        placed = self._term(self._arg(src).node) if isinstance(src, Value) else src
        return self._placed(where(here, placed, self._term(array.node)), value.meta.shape)

    def _added(self, value: Value, x: Any, dim: int, index: Any, src: Any) -> Array:
        array, _, here = self._here(x, dim, index)
        placed = where(here, self._term(self._arg(src).node), 0.0)
        return self._placed(self._term(array.node) + placed, value.meta.shape)

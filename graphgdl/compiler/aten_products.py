"""ATen ops that multiply matrices and vectors: with a constant, per row, or summed over rows."""

from __future__ import annotations

from typing import Any

from .arrays import Array, Arrays, layout
from .tape import Refused, Value


class Products(Arrays):
    """Handlers."""

    def _mm(self, value: Value, a: Any, b: Any) -> Array:
        left, right, p = self._arg(a), self._arg(b), self.p
        if left.row in (None, 0) and right.row is None:
            node = p.mm(left.node, right.node)
        elif left.row == 1 and right.row == 0 and left.fold == right.fold:
            node = p.mmt(left.node, right.node)
        elif left.row is None and right.row == 1 and right.fold == 1:
            node = p.mm(right.node, p.permute(left.node, (1, 0)))
        else:
            raise Refused("a product over edges or nodes")
        return self._placed(node, value.meta.shape)

    def _addmm(self, value: Value, bias: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Array:
        if beta != 1 or alpha != 1:
            raise Refused("addmm with factors")
        return self._pointwise("add", value, self._mm(value, a, b), bias)

    def _bmm(self, value: Value, a: Any, b: Any) -> Array:
        left, right, p = self._arg(a), self._arg(b), self.p
        x, y = left.node, right.node
        match left.row, right.row:
            case (None | 0, None | 0):  # (e, n, k) (e, k, m): one product per edge, or several folded into e
                x = p.view(x, (*x.shape, 1))
                y = p.view(y, (*y.shape[:-2], 1, *y.shape[-2:]))
                node = p.sum(p.pw("mul", x, y), [len(x.shape) - 2])
            case (1, None):  # (h, e, k) (h, k, m): one matrix per head
                node = p.sum(p.pw("mul", p.view(x, (*x.shape, 1)), y), [1])
            case (2, 1):  # (h, k, e) (h, e, m): the derivative by the matrices
                node = p.total(p.pw("mul", p.view(x, (*x.shape, 1)), p.view(y, (y.shape[0], 1, y.shape[1]))))
            case (None, 2):  # (h, n, k) (h, k, e): the same from the left
                node = p.sum(p.pw("mul", x, p.view(y, (y.shape[0], 1, y.shape[1]))), [2])
            case _:
                raise Refused("a batched product over edges or nodes")
        return self._placed(node, value.meta.shape)

    def _baddbmm(self, value: Value, bias: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Array:
        if beta != 1 or alpha != 1:
            raise Refused("baddbmm with factors")
        return self._pointwise("add", value, bias, self._bmm(value, a, b))

    def _mv(self, value: Value, a: Any, b: Any) -> Array:
        x, y = self._arg(a), self._arg(b)
        if y.row is not None or x.row not in (None, 0):
            raise Refused("a product over edges or nodes")
        product = self.p.pw("mul", x.node, y.node)
        return self._placed(self.p.sum(product, [len(product.shape) - 1]), value.meta.shape)

    def _dot(self, value: Value, a: Any, b: Any) -> Array:
        if self._arg(a).row is not None:
            raise Refused("a product over edges or nodes")
        return self._mv(value, a, b)

    def _linalg_cross(self, value: Value, x: Any, y: Any, dim: int = -1) -> Array:
        shape, out, p = value.meta.shape, layout(value.meta.shape), self.p
        axis = out.axis(dim % len(shape))
        a, b = (p.expand(self._aligned(arg, shape), out.features) for arg in (x, y))

        def turned(node: Any, by: int) -> Any:
            return self._term(p.take(node, axis, [(k + by) % 3 for k in range(3)]))

        return self._placed(turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1), shape)

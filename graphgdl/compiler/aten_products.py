"""ATen ops that multiply matrices and vectors: with a constant, per row, or summed over rows."""

from __future__ import annotations

from typing import Any

from .arrays import Array, Arrays
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
        product = self._mm(value, a, b)
        product = product if alpha == 1 else self._pointwise("mul", value, product, alpha)
        added = bias if beta == 1 else self._pointwise("mul", value, bias, beta)
        return self._pointwise("add", value, product, added)

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

"""ATen ops that rearrange features: shapes, slices, concatenations, and constant positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .arrays import Array, Arrays, layout
from .node import Node
from .tape import Refused, Value


class Views(Arrays):
    """Handlers; rows stay where they are."""

    def _view(self, value: Value, x: Any, *_: Any, **__: Any) -> Array:
        array, shape = self._arg(x), value.meta.shape
        if array.row is not None:
            out = layout(shape)
            if out.row is None or math.prod(array.shape[: array.row]) != math.prod(shape[: out.row]):
                raise Refused("a view merges edges or nodes with features")
            if out.row > 0 and max(out.fold, array.fold) > 1:
                raise Refused("a view merges edges or nodes with features")
        return self._placed(array.node, shape)

    _unsafe_view = _reshape = _unsqueeze = _squeeze = _flatten = _view

    def _permute(self, value: Value, x: Any, dims: Sequence[int]) -> Array:
        array = self._arg(x)
        dims = [d % len(array.shape) for d in dims]
        if array.fold > 1 and dims == [1, 0]:  # the features stay as they are: read by products alone, and turned back
            return Array(array.node, tuple(value.meta.shape), replace(array.layout, row=dims.index(array.row or 0)))
        if array.fold > 1 and dims[0] != 0:
            raise Refused("edges folded with features are moved")
        axes = [array.layout.axis(d) for d in dims if d != array.row or array.fold > 1]
        return self._placed(self.p.permute(array.node, axes), value.meta.shape)

    def _transpose(self, value: Value, x: Any, a: int, b: int) -> Array:
        dims = list(range(len(self._arg(x).shape)))
        dims[a], dims[b] = dims[b], dims[a]
        return self._permute(value, x, dims)

    def _t(self, value: Value, x: Any) -> Array:
        return self._permute(value, x, list(range(len(self._arg(x).shape)))[::-1])

    def _expand(self, value: Value, x: Any, *_: Any, **__: Any) -> Array:
        return self._spread(self._aligned(x, value.meta.shape), value.meta.shape)

    def _copy(self, value: Value, x: Any, source: Any) -> Array:
        return self._spread(self._aligned(source, value.meta.shape, self._dtype(value.meta)), value.meta.shape)

    def _convert_element_type(self, value: Value, x: Any, dtype: Any) -> Array:
        return self._copy(value, None, x)

    def _repeat(self, value: Value, x: Any, times: Sequence[int]) -> Array:
        array = self._arg(x)
        missing = len(times) - len(array.shape)
        row = None if array.row is None else array.row + missing
        if array.fold > 1 or 0 in times or (row is not None and times[row] != 1):
            raise Refused("edges or nodes are repeated")
        node = self.p.view(array.node, (1,) * missing + array.node.shape)
        for axis, count in enumerate(t for dim, t in enumerate(times) if dim != row):
            node = self.p.cat([node] * count, axis) if count > 1 else node
        return self._placed(node, value.meta.shape)

    # --- some of the features

    def _taken(self, x: Any, dim: int, positions: Sequence[int]) -> Node:
        array = self._arg(x)
        dim %= len(array.shape)
        if len(positions) == array.shape[dim] and list(positions) == list(range(len(positions))):
            return array.node
        if dim == array.row:
            raise Refused("edges or nodes are sliced")
        return self.p.take(array.node, array.layout.axis(dim), positions)

    def _slice(self, value: Value, x: Any, dim: int = 0, start: Any = None, stop: Any = None, step: int = 1) -> Array:
        positions = range(self._arg(x).shape[dim])[slice(start, stop, step)]
        return self._placed(self._taken(x, dim, positions), value.meta.shape)

    def _select(self, value: Value, x: Any, dim: int, position: int) -> Array:
        array = self._arg(x)
        if dim % len(array.shape) == array.row:
            raise Refused("edges or nodes are sliced")
        return self._placed(self._taken(x, dim, [position % array.shape[dim]]), value.meta.shape)

    def _flip(self, value: Value, x: Any, dims: Sequence[int]) -> Array:
        array = self._arg(x)
        for dim in dims:
            array = self._placed(self._taken(array, dim, range(array.shape[dim])[::-1]), array.shape)
        return array

    def _split(self, value: Value, x: Any, size: Any, dim: int = 0) -> list[Array]:
        out, start = [], 0
        for part in value.meta:
            stop = start + part.shape[dim]
            out.append(self._placed(self._taken(x, dim, range(start, stop)), part.shape))
            start = stop
        return out

    _split_with_sizes = _chunk = _split

    def _unbind(self, value: Value, x: Any, dim: int = 0) -> list[Array]:
        return [self._placed(self._taken(x, dim, [k]), part.shape) for k, part in enumerate(value.meta)]

    # --- joined features

    def _cat(self, value: Value, parts: Sequence[Any], dim: int = 0) -> Array:
        arrays = [a for a in map(self._arg, parts) if a.shape != (0,)]
        shape, out = value.meta.shape, layout(value.meta.shape)
        dim %= len(shape)
        if dim == out.row or any((a.row, a.fold) != (out.row, out.fold) for a in arrays if a.row is not None):
            raise Refused("edges or nodes are concatenated")
        dtype = self._dtype(value.meta)
        return self._placed(self.p.cat([self.p.pw("cast", a.node, dtype=dtype) for a in arrays], out.axis(dim)), shape)

    def _constant_pad_nd(self, value: Value, x: Any, pad: Sequence[int], number: float = 0.0) -> Array:
        array = self._arg(x)
        for k, (before, after) in enumerate(zip(pad[::2], pad[1::2])):
            dim = len(array.shape) - 1 - k
            if before == after == 0:
                continue
            if dim == array.row:
                raise Refused("edges or nodes are padded")
            axis, length = array.layout.axis(dim), array.shape[dim]
            node = self._taken(array, dim, range(length)[max(-before, 0) : length - max(-after, 0)])
            sizes = ((*node.shape[:axis], max(n, 0), *node.shape[axis + 1 :]) for n in (before, after))
            left, right = (self.p.filled(number, node.space, size, node.dtype) for size in sizes)
            shape = (*array.shape[:dim], length + before + after, *array.shape[dim + 1 :])
            array = self._placed(self.p.cat([left, node, right], axis), shape)
        return array

    def _stack(self, value: Value, parts: Sequence[Any], dim: int = 0) -> Array:
        shape, out = value.meta.shape, layout(value.meta.shape)
        if out.fold > 1:
            raise Refused("folded edges are stacked")
        axis = out.axis(dim % len(shape))
        one = (*out.features[:axis], 1, *out.features[axis + 1 :])
        return self._placed(self.p.cat([self.p.view(self._arg(x).node, one) for x in parts], axis), shape)

    # --- derivatives of a choice of features

    def _scattered(self, shape: Sequence[int], g: Any, dim: int, positions: Sequence[int]) -> Array:
        """Place features at constant positions of one dimension of `shape`, each at most once, among zeros."""
        array, out = self._arg(g), layout(shape)
        dim %= len(shape)
        if list(positions) == list(range(shape[dim])):
            return self._placed(array.node, shape)
        if dim == out.row:
            raise Refused("edges or nodes are sliced")
        axis, length = out.axis(dim), shape[dim]
        node = self.p.view(array.node, (*out.features[:axis], len(positions), *out.features[axis + 1 :]))

        def zeros(count: int) -> Node:
            return self.p.filled(0.0, node.space, (*node.shape[:axis], count, *node.shape[axis + 1 :]), node.dtype)

        runs: list[list[int]] = []  # position in the result, position in the gradient, length
        for k, position in enumerate(positions):
            if runs and position == runs[-1][0] + runs[-1][2]:
                runs[-1][2] += 1
            else:
                runs.append([position, k, 1])
        parts: list[Node] = []
        previous = 0
        for at, k, count in runs:
            parts += [zeros(at - previous)] if at > previous else []
            parts.append(self.p.take(node, axis, range(k, k + count)))
            previous = at + count
        parts += [zeros(length - previous)] if previous < length else []
        return self._placed(self.p.cat(parts, axis), shape)

    def _slice_backward(self, value: Value, g: Any, size: Any, dim: int, start: int, stop: int, step: int) -> Array:
        shape = value.meta.shape
        return self._scattered(shape, g, dim, range(shape[dim])[slice(start, stop, step)])

    def _select_backward(self, value: Value, g: Any, size: Any, dim: int, position: int) -> Array:
        shape = value.meta.shape
        if dim % len(shape) == layout(shape).row:
            raise Refused("edges or nodes are sliced")
        return self._scattered(shape, g, dim, [position % shape[dim]])

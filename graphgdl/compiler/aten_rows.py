"""ATen ops that move rows between nodes and edges, and the movers of the tape; random numbers per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arrays import Array, layout
from .aten_positions import Positions
from .aten_views import Views
from .node import is_zero
from .tape import SPACES, Refused, Value, end_of

ENDS = ("src", "dst")
_SIDES = {"src": ("N", "S"), "dst": ("N", "D")}
_WRONG_END = "it selects or reduces rows of one end by the index of the other"


class Rows(Positions, Views):
    """Handlers."""

    def _end(self, index: Any, space: str) -> str:
        """Return the end whose nodes are the rows of `space`: those of the other end may be fewer than the index says."""
        end = end_of(index) if isinstance(index, Value) else None
        if end is None:
            raise Refused("it selects rows by something else than the edge index")
        if space not in _SIDES[ENDS[end]]:
            raise Refused(_WRONG_END)
        return ENDS[end]

    # --- node to edges

    def _index_select(self, value: Value, x: Any, dim: int, index: Any) -> Array:
        array = self._arg(x)
        if isinstance(index, Value) and index.func == "constant":
            positions = [k % array.shape[dim] for k in index.args[0]]
            return self._placed(self._taken(array, dim, positions), value.meta.shape)
        if dim % len(array.shape) != array.row or array.row != 0 or array.node.space == "E":
            raise Refused("it selects rows of something that is not one row per node")
        return self._placed(self.p.gather(array.node, self._end(index, array.node.space)), value.meta.shape)

    def _index(self, value: Value, x: Any, indices: Sequence[Any]) -> Array:
        if len(indices) != 1:
            raise Refused("it indexes by several tensors")
        return self._index_select(value, x, 0, indices[0])

    def _gather(self, value: Value, x: Any, dim: int, index: Any, **_: Any) -> Array:
        array = self._arg(x)
        if not isinstance(index, Value):  # graphgdl_tape::gather(x, end, rows)
            return self._placed(self.p.gather(array.node, ENDS[dim]), value.meta.shape)
        if index in self.env:
            return super()._gather(value, x, dim, index)
        if tuple(index.meta.shape)[1:] != array.shape[1:]:
            raise Refused("it selects rows of part of the features")
        return self._index_select(value, x, dim, index)

    # --- edges to node

    def _scatter_add(self, value: Value, x: Any, dim: int, index: Any, src: Any) -> Array:
        into, array = self._arg(x), self._arg(src)
        if index in self.env:
            return self._added(value, x, dim, index, src)
        if array.row != 0:
            raise Refused("a sum over edges along another dimension than the first")
        if dim % len(into.shape) != 0 or array.node.space != "E" or into.shape[1:] != array.shape[1:]:
            raise Refused("it sums something that is not one row per edge")
        node = self.p.reduce(array.node, self._end(index, into.node.space), into.node.space)
        return self._placed(node if is_zero(into.node) else self.p.pw("add", into.node, node), value.meta.shape)

    def _index_add(self, value: Value, x: Any, dim: int, index: Any, src: Any, alpha: float = 1) -> Array:
        if alpha != 1:
            raise Refused("index_add with alpha")
        return self._scatter_add(value, x, dim, index, src)

    def _scatter_reduce(self, value: Value, x: Any, dim: int, index: Any, src: Any, how: str, **_: Any) -> Array:
        if how != "sum":
            raise Refused(f"scatter_reduce with {how!r}")
        return self._scatter_add(value, x, dim, index, src)

    def _index_put(
        self, value: Value, x: Any, indices: Sequence[Any], src: Any, accumulate: bool = False, *_: Any
    ) -> Array:
        if not accumulate or len(indices) != 1:
            raise Refused("it writes rows by index")
        return self._scatter_add(value, x, 0, indices[0], src)

    _index_put_impl = _index_put

    # --- the movers of the tape

    def _over(self, value: Value, mover: Any, x: Any, end: int, rows: int) -> Array:
        space = SPACES.get(rows)
        if space not in _SIDES[ENDS[end]]:
            raise Refused(_WRONG_END)
        return self._placed(mover(self._arg(x).node, ENDS[end], space), value.meta.shape)

    def _reduce(self, value: Value, x: Any, end: int, rows: int) -> Array:
        return self._over(value, self.p.reduce, x, end, rows)

    def _rmax(self, value: Value, x: Any, end: int, rows: int) -> Array:
        return self._over(value, self.p.rmax, x, end, rows)

    def _rarg(self, value: Value, x: Any, end: int, rows: int) -> Array:
        return self._over(value, self.p.rarg, x, end, rows)

    def _eid(self, value: Value, x: Any) -> Array:
        return self._placed(self.p.eid(), value.meta.shape)

    def _graft(self, value: Value, x: Any, new: Any) -> Array:
        return self._arg(new)

    def _uniform(self, value: Value, x: Any, seed: Any, stream: int) -> Array:
        out = layout(value.meta.shape)
        if out.row != 0:
            raise Refused("random numbers that are not one row per edge or node")
        node = self.p.rand(self._arg(seed).node, stream, out.space, out.features, self._dtype(value.meta))
        return self._placed(node, value.meta.shape)

"""Nodes as vectors: a value is asked for at a tuple of flat feature positions and becomes one vector of as many lanes.

Views, slices and broadcasts only change the positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial, reduce
from typing import Any

import numpy as np

from graphgdl.ops.cpu.vector_code import EDGE, ENTRY, FAST, ROW, TYPES, Builder, Lanes, Vector, literal, opaque

from .llvm_arrays import Arrays
from .llvm_pointwise import pointwise
from .llvm_random import uniform
from .node import POINTWISE, Node, Shape

_VIEWS = ("view", "expand", "permute", "take")
_COMPUTED = {*POINTWISE, "mm", "sum", "amax", "rand"}


class Values:
    """The values of one kernel; each is computed once per sweep, row, or call.

    Args:
        code: where instructions go.
        arrays: where values lie.
        end: which end of the edges the rows are.
        memory: values that are in memory when the kernel starts.
        bits: width of the machine's vector registers.
    """

    def __init__(self, code: Builder, arrays: Arrays, end: str, memory: set[Node], bits: int) -> None:
        self.code, self.arrays, self.end, self.memory, self.bits = code, arrays, end, memory, bits
        self.written: set[Node] = set()  # edge values that the kernel stores: they may change while it runs
        self.reduced: dict[Node, list[Lanes]] = {}  # reductions of the present row, and the vectors that hold them
        self._known: dict[tuple[Node, Lanes], Vector] = {}
        self._features: dict[Node, str] = {}
        self._maps: dict[Any, np.ndarray] = {}

    def begin_sweep(self, position: str) -> None:
        """Compute again what depends on the edge: the sweep names the present one `position`."""
        self._known = {k: v for k, v in self._known.items() if v.level < EDGE}
        self._features.clear()
        self.code.forget_edge()
        self.arrays.position = position

    def keep(self, node: Node, chunks: list[Lanes], vectors: list[Vector]) -> None:
        """Have a reduction of the present row at hand."""
        self.reduced[node] = chunks
        self._known |= {(node, lanes): vector for lanes, vector in zip(chunks, vectors)}

    def width(self, dtype: str) -> int:
        """Return the number of lanes of the largest vector: four registers."""
        return 4 * self.bits // (64 if dtype == "f64" else 32)

    def chunks(self, node: Node) -> list[Lanes]:
        """Cut the features of a value into vectors; LLVM handles powers of two best."""
        chunks, start = [], 0
        while start < node.numel:
            size = min(self.width(node.dtype), 1 << ((node.numel - start).bit_length() - 1))
            chunks.append(tuple(range(start, start + size)))
            start += size
        return chunks

    def vector(self, node: Node, lanes: Iterable[int]) -> Vector:
        """Return the values of `node` at the flat feature positions `lanes`."""
        lanes = tuple(lanes)
        return self.code.spread(self.value(node, lanes), len(lanes))

    def value(self, node: Node, lanes: Lanes) -> Vector:
        """Return the values of `node` at the flat feature positions `lanes`; one lane if they are all the same."""
        unique = tuple(sorted(set(lanes)))
        if len(unique) == 1:
            return self._one(node, unique[0])
        base = self._at(node, unique)
        if unique == lanes or base.lanes == 1:  # one lane: the same everywhere
            return base
        where = {position: k for k, position in enumerate(unique)}
        return self.code.shuffle([base], [where[p] for p in lanes])

    def _one(self, node: Node, position: int) -> Vector:
        """Return one feature; of a value that is computed per edge, out of the vector that holds it."""
        if node.space != "E" or node.numel == 1 or not self._is_computed(node):
            return self._at(node, (position,))
        if node.numel >= 8 and node.dtype in ("f32", "f64"):
            return self.code.load(self._spilled(node), None, (position,), node.dtype, EDGE, changes=True)
        everything = self._at(node, tuple(range(node.numel)))
        return everything if everything.lanes == 1 else self.code.shuffle([everything], [position])

    def _at_hand(self, node: Node) -> bool:
        return node in self.memory or node in self.written or node in self.reduced

    def _is_computed(self, node: Node) -> bool:
        return node.op in _COMPUTED and not self._at_hand(node)

    def _at(self, node: Node, lanes: Lanes) -> Vector:
        """Return the values at ascending positions."""
        found = self._known.get((node, lanes))
        if found is None:
            found = self._known[node, lanes] = self._compute(node, lanes)
        return found

    def _compute(self, node: Node, lanes: Lanes) -> Vector:
        op = node.op
        if op == "const":
            return Vector(literal(node.attr, node.dtype), 1, node.dtype, ENTRY)
        if node in self.reduced:
            return self.code.shuffle([self._known[node, chunk] for chunk in self.reduced[node]], list(lanes))
        if self._at_hand(node) or op in ("input", "table"):
            return self._read(node, lanes)
        if op in _VIEWS:
            return self.value(node.args[0], tuple(self._map(node)[list(lanes)].tolist()))
        if op == "gather":
            return self._gather(node, lanes)
        if op == "eid":
            return self.arrays.edge_id()
        if op == "cat":
            return self._cat(node, lanes)
        if op in ("sum", "amax"):
            return self._fold(node, lanes)
        if op == "rand":
            return uniform(self.code, self.arrays, node, lanes)
        if op == "mm":
            return self._product(node, lanes)
        positions = [self._broadcast_map(arg.shape, node.shape)[list(lanes)] for arg in node.args]
        args = [self.value(arg, tuple(p.tolist())) for arg, p in zip(node.args, positions)]
        return pointwise(self.code, op, node.dtype, args)

    # --- positions

    def _map(self, node: Node) -> np.ndarray:
        """Return, for each flat position of a view, the flat position in its argument."""
        if node.op == "view":
            return np.arange(node.numel)
        if node.op == "expand":
            return self._broadcast_map(node.args[0].shape, node.shape)
        if node not in self._maps:
            old = np.arange(node.args[0].numel).reshape(node.args[0].shape)
            new = old.transpose(node.attr) if node.op == "permute" else old.take(node.attr[1], axis=node.attr[0])
            self._maps[node] = new.reshape(-1)
        return self._maps[node]

    def _broadcast_map(self, shape: Shape, to: Shape) -> np.ndarray:
        if (shape, to) not in self._maps:
            flat = np.arange(np.prod(shape, dtype=int)).reshape(shape)
            self._maps[shape, to] = np.broadcast_to(flat, to).reshape(-1)
        return self._maps[shape, to]

    def _cat_map(self, node: Node) -> np.ndarray:
        """Return, for each flat position of a concatenation, the argument and the flat position in it."""
        if node not in self._maps:
            own = [np.arange(a.numel).reshape(a.shape) for a in node.args]
            owners = [np.full(a.shape, number) for number, a in enumerate(node.args)]
            both = [np.concatenate(parts, node.attr).reshape(-1) for parts in (owners, own)]
            self._maps[node] = np.stack(both)
        return self._maps[node]

    # --- ops

    def _read(self, node: Node, lanes: Lanes) -> Vector:
        """Load a value that is in memory."""
        pointer, kind, changes = self.arrays.pointer(node), self.arrays.kind(node), node in self.written
        if node.space == "C":
            return self.code.load(pointer, None, lanes, kind, ENTRY)
        if node.space == "E":
            self.arrays.prefetch(node, lanes)
            return self.code.load(pointer, self.arrays.offset(node), lanes, kind, EDGE, changes)
        return self.code.load(pointer, self.arrays.row(node), lanes, kind, ROW, changes)

    def _gather(self, node: Node, lanes: Lanes) -> Vector:
        x = node.args[0]
        if node.attr == self.end:
            return self._at(x, lanes)
        self.arrays.prefetch(x, lanes)
        return self.code.load(self.arrays.pointer(x), self.arrays.offset(x), lanes, self.arrays.kind(x), EDGE)

    def _cat(self, node: Node, lanes: Lanes) -> Vector:
        """Join the pieces of a concatenation that the lanes fall into."""
        owners, flats = self._cat_map(node)[:, list(lanes)]
        pieces, order, count = [], np.empty(len(lanes), int), 0
        for number in dict.fromkeys(owners.tolist()):
            (where,) = np.nonzero(owners == number)
            pieces.append(self.vector(node.args[number], flats[where].tolist()))
            order[where] = np.arange(count, count + len(where))
            count += len(where)
        return self.code.shuffle(pieces, order.tolist())

    def _fold(self, node: Node, lanes: Lanes) -> Vector:
        """Sum or maximise over feature axes: vector by vector, or within vectors where the last axes are folded."""
        x, axes, width = node.args[0], node.attr, self.width(node.dtype)
        kept = [a for a in range(len(x.shape)) if a not in axes]
        flat = np.arange(x.numel).reshape(x.shape).transpose([*kept, *axes])
        table = flat.reshape(node.numel, -1)[list(lanes)]  # lane, what it folds
        count = table.shape[1]
        two = self.code.sum if node.op == "sum" else self.code.greatest
        across = partial(self.code.across, node.op)

        def folded(rows: np.ndarray) -> Vector:
            return reduce(two, (self.vector(x, row.tolist()) for row in rows))

        if axes != tuple(range(len(kept), len(x.shape))) or count < 4 or len(lanes) >= 4 * count:
            return folded(table.T)
        results = []
        if count > width:
            rest = count % width
            for row in table:
                result = across(folded(row[: count - rest].reshape(-1, width)))
                results.append(two(result, across(self.vector(x, row[-rest:].tolist()))) if rest else result)
        else:
            per = width // count
            for group in (table[start : start + per] for start in range(0, len(lanes), per)):
                whole = self.vector(x, group.reshape(-1).tolist())
                cuts = (list(range(k * count, (k + 1) * count)) for k in range(len(group)))
                results += [across(self.code.shuffle([whole], cut)) for cut in cuts]
        return self.code.shuffle(results, list(range(len(results))))

    def _product(self, node: Node, lanes: Lanes) -> Vector:
        """Multiply by a small matrix: for each feature of x, that feature of all lanes times a row of w.

        The features go through memory, where repeating one of them over all lanes is part of the load.
        """
        (x, w), n = node.args, len(lanes)
        k, m = w.shape
        groups = sorted({lane // m for lane in lanes})
        if len(groups) > 1:
            parts = [self.value(node, tuple(p for p in lanes if p // m == g)) for g in groups]
            return self.code.shuffle(parts, list(range(n)))
        features = self._spilled(x) if self._is_computed(x) else None
        weights = self.code.once(f"weights {w.id}", EDGE, opaque(self.arrays.pointer(w)))

        def term(a: int) -> Vector:
            position = (groups[0] * k + a,)
            if features is None:
                one = self.value(x, position)
            else:
                one = self.code.load(features, None, position, x.dtype, EDGE, changes=True)
            one = self.code.spread(one, n)
            row = self.code.load(weights, None, tuple(a * m + lane % m for lane in lanes), node.dtype, EDGE)
            return Vector(self.code.let(EDGE, f"fmul {FAST} {row.type} {one.name}, {row.name}"), n, node.dtype, EDGE)

        return reduce(self.code.sum, map(term, range(k)))

    def _spilled(self, x: Node) -> str:
        """Write all features of a computed edge value where each can be loaded alone."""
        if x not in self._features:
            written = self.code.let(EDGE, opaque(self.code.slot(f"[{x.numel} x {TYPES[x.dtype]}], align 64")))
            for lanes in self.chunks(x):
                self.code.store(written, None, lanes, self._at(x, lanes), EDGE)
            self._features[x] = self.code.let(EDGE, opaque(written, ",~{memory}"))
        return self._features[x]

"""Recorded tensors as nodes: which dimension of a tensor is its rows, and how tensors meet under torch's broadcasting.

A dimension may count rows and features together, as `linear` makes of (e, h, c): those features are folded into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from . import interpret
from .ir import Program
from .node import Node, Shape
from .tape import LARGEST_DIMENSION, SPACES, Refused, Value, mentioned
from .terms import Term

DTYPES = {dtype: name for name, dtype in interpret.DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Layout:
    """Which dimension of a shape is the rows (None in space C), features folded into it, space, and features of a row."""

    row: int | None
    fold: int
    space: str
    features: Shape

    def axis(self, dim: int) -> int:
        """Return the feature axis of a dimension that is not the rows'."""
        if self.fold > 1 and self.row:
            raise Refused("edges or nodes are folded with features")
        return dim if self.row is None or self.fold > 1 or dim < self.row else dim - 1


def layout(shape: Sequence[int]) -> Layout:
    """Read the layout off a recorded shape."""
    shape = tuple(shape)
    for dim, size in enumerate(shape):
        for rows, space in SPACES.items():
            if size and size % rows == 0:
                rest = shape[:dim] + shape[dim + 1 :]
                if any(d and d % r == 0 for d in rest for r in SPACES):
                    raise Refused("a tensor with one entry for each pair of nodes or edges")
                fold = size // rows
                if fold > 1 and dim > 0:
                    raise Refused("edges or nodes are folded with features")
                return Layout(dim, fold, space, (fold, *rest) if fold > 1 else rest)
    if any(d > LARGEST_DIMENSION for d in shape):
        raise Refused("a tensor whose size is computed from the number of nodes or edges")
    return Layout(None, 1, "C", shape)


@dataclass(frozen=True, slots=True)
class Array:
    """A recorded tensor: its node, shape and layout."""

    node: Node
    shape: tuple[int, ...]
    layout: Layout

    @property
    def row(self) -> int | None:
        """The dimension of the rows."""
        return self.layout.row

    @property
    def fold(self) -> int:
        """How many features a row has in that dimension."""
        return self.layout.fold


class Arrays:
    """The recorded tensors met so far, and what all handlers of ops need."""

    def __init__(self, program: Program) -> None:
        self.p = program
        self.env: dict[Value, Any] = {}

    def _arg(self, arg: Any) -> Array:
        if isinstance(arg, Array):
            return arg
        if not isinstance(arg, Value):
            raise Refused(f"a tensor was expected, got {arg!r}")
        found = self.env.get(arg)
        if found is None:
            raise Refused("the edge index is used as data")
        return found

    def _dtype(self, meta: torch.Tensor) -> str:
        dtype = DTYPES.get(meta.dtype)
        if dtype is None:
            raise Refused(f"it computes in {str(meta.dtype).removeprefix('torch.')}")
        return dtype

    def _number(self, meta: torch.Tensor, args: Any) -> str:
        """Return the dtype of a result; integers made of counts, positions and truths of features are kept as floats."""
        whole = meta.dtype == torch.int64 and not any(v.meta.is_floating_point() for v in mentioned(args))
        return "f32" if whole else self._dtype(meta)

    def _term(self, node: Node) -> Term:
        return Term(self.p, node)

    def _placed(self, made: Node | Term, shape: Sequence[int]) -> Array:
        """Return the recorded tensor of a shape whose features are those of a node."""
        node = made.node if isinstance(made, Term) else made
        place = Layout(None, 1, "C", tuple(shape)) if node.space == "C" else layout(shape)
        return Array(self.p.view(node, place.features), tuple(shape), place)

    def _spread(self, node: Node, shape: Sequence[int]) -> Array:
        """Return the recorded tensor of a shape that a node broadcasts to."""
        place = layout(shape)
        return Array(self.p.expand(node, place.features, place.space), tuple(shape), place)

    def _aligned(self, arg: Any, shape: Sequence[int], dtype: str | None = None) -> Node:
        """Return the features of a tensor as they meet those of a result of `shape`, in `dtype`."""
        array, out = self._arg(arg), layout(shape)
        missing = len(shape) - len(array.shape)
        features = (1,) * missing + array.shape
        if array.row is not None:
            if array.row + missing != out.row or array.fold != out.fold:
                raise Refused("edges or nodes meet features in one dimension")
            features = (1,) * (missing if out.row else 0) + array.node.shape
        elif out.row is not None:
            if features[out.row] != 1:
                raise Refused("edges or nodes meet features in one dimension")
            features = features if out.fold > 1 else features[: out.row] + features[out.row + 1 :]
        node = array.node if array.node.op == "const" else self.p.view(array.node, features)
        return node if dtype is None else self.p.pw("cast", node, dtype=dtype)

    def _pointwise(self, op: str, value: Value, *args: Any) -> Array:
        """Apply a pointwise op of the loop program to tensors and numbers, as torch broadcasts them."""
        shape, result = value.meta.shape, self._number(value.meta, value.args)
        op = "and" if op == "mul" and result == "bool" else op
        if op in ("and", "or", "not") and result != "bool":
            raise Refused("it computes with the bits of numbers")
        operand = result if result != "bool" else self._common(args)
        nodes = []
        for position, arg in enumerate(args):
            want = "bool" if op in ("and", "or", "not") or (op == "where" and position == 0) else operand
            tensor = isinstance(arg, Value | Array)
            nodes.append(self._aligned(arg, shape, want) if tensor else self.p.const(arg, want))
        return self._spread(self.p.pw(op, *nodes, dtype=result), shape)

    def _common(self, args: Sequence[Any]) -> str:
        kinds = [self._arg(a).node.dtype for a in args if isinstance(a, Value)]
        return next((k for k in ("f64", "f32", "i32") if k in kinds), "bool")

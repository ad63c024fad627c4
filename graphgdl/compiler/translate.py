"""From recorded ATen ops to the loop program.

A recorded tensor becomes a node and the place of its rows: which of its dimensions counts edges or nodes, and how many
features are folded into that dimension, as `linear` does with (e, h, c).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .ir import Node, Program, Shape, is_zero
from .tape import SPACES, Refused, Tape, Value, end_of

DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.int32: "i32", torch.bool: "bool"}
ENDS = ("src", "dst")
_SIDES = {"src": ("N", "S"), "dst": ("N", "D")}
_UNARY = {
    "neg",
    "exp",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "sigmoid",
    "erf",
    "abs",
    "sign",
    "floor",
}
_BINARY = {
    **{
        name: name
        for name in (
            "add",
            "sub",
            "mul",
            "div",
            "maximum",
            "minimum",
            "pow",
            "atan2",
            "lt",
            "le",
            "eq",
            "ne",
            "gt",
            "ge",
        )
    },
    "logical_and": "and",
    "logical_or": "or",
    "bitwise_and": "and",
    "bitwise_or": "or",
}
_COPIES = {"clone", "alias", "detach", "contiguous", "lift_fresh_copy", "copy"}
_FILLS: dict[str, float | None] = {"zeros": 0.0, "zeros_like": 0.0, "new_zeros": 0.0, "ones": 1.0, "ones_like": 1.0}
_FILLS |= {"new_ones": 1.0, "empty": 0.0, "empty_like": 0.0, "new_empty": 0.0, "new_empty_strided": 0.0}


@dataclass(frozen=True, slots=True)
class Array:
    """A tensor: its node, the dimension of its rows (None in space C), and how many features that holds per row."""

    node: Node
    row: int | None
    fold: int
    shape: tuple[int, ...]

    def axis(self, dim: int) -> int:
        """Return the feature axis of a dimension that is not the rows'."""
        if self.row is None or (self.fold == 1 and dim < self.row) or self.fold > 1:
            return dim
        return dim - 1


def translate(tape: Tape, program: Program, names: Sequence[str | Node]) -> tuple[list[Node], list[Node | None]]:
    """Add the ops of `tape` to `program`.

    Args:
        tape: what was recorded.
        program: where its nodes go.
        names: for each input of the tape its name, or the node that it is.

    Returns:
        The nodes of the inputs, and of the outputs.
    """
    return Translator(program).run(tape, names)


class Translator:
    """Translates one tape; a method `_name` for each ATen op that is not pointwise."""

    def __init__(self, program: Program) -> None:
        self.p = program
        self.env: dict[int, Any] = {}

    def run(self, tape: Tape, names: Sequence[Any]) -> tuple[list[Node], list[Node | None]]:
        """Translate."""
        inputs = []
        for value, name in zip(tape.inputs, names, strict=True):
            if value.meta.dtype == torch.int64 and value.meta.dim() > 0:
                continue  # the edge index: never read as a value
            dtype = DTYPES.get(value.meta.dtype, "i64")
            row, fold, space, features = layout(tuple(value.meta.shape))
            node = name if isinstance(name, Node) else self.p.input(name, space, features, dtype)
            self.env[id(value)] = Array(node, row, fold, tuple(value.meta.shape))
            inputs.append(node)
        for value in tape.values:
            index = isinstance(value.meta, torch.Tensor) and value.meta.dtype == torch.int64 and not _counts(value)
            if index and value.func != "constant":
                continue  # the edge index, or made from it
            self.env[id(value)] = self._op(value)
        return inputs, [None if o is None else self._output(o) for o in tape.outputs]

    def _output(self, value: Value) -> Node:
        array = self.env.get(id(value))
        if not isinstance(array, Array):
            raise Refused("it returns the edge index or parts of it")
        if array.row not in (None, 0):
            raise Refused("its result has nodes or edges in another dimension than the first")
        shape = (
            array.shape if array.row is None else array.shape[1:] if array.fold == 1 else (array.fold, *array.shape[1:])
        )
        if array.row is None and array.node.space == "C":
            return self.p.view(array.node, shape)
        return self.p.view(array.node, shape)

    def _op(self, value: Value) -> Any:
        if value.func == "constant":
            numbers, shape = value.args[0], tuple(value.meta.shape)
            dtype = DTYPES.get(value.meta.dtype)
            if dtype is None:
                raise Refused(f"it uses a constant of dtype {value.meta.dtype}")
            if len(numbers) == 1:
                return Array(self.p.view(self.p.const(numbers[0], dtype), shape), None, 1, shape)
            return Array(self.p.table(numbers, shape, dtype), None, 1, shape)
        func = value.func
        if not hasattr(func, "_schema"):  # one of several results
            return self.env[id(value.args[0])][value.args[1]]
        namespace, name = func._schema.name.split("::")
        if namespace not in ("aten", "graphgdl_tape"):
            raise Refused(f"{func} is not an op of torch's own")
        handler: Callable[..., Any] | None = getattr(self, f"_{name.lstrip('_')}", None)
        if name in _UNARY:
            return self._pointwise(name, value, value.args[0])
        if name == "sgn":
            return self._pointwise("sign", value, value.args[0])
        if name in _BINARY:
            return self._binary(name, value)
        if name in _COPIES:
            return self._arg(value.args[-1] if name == "copy" else value.args[0])
        if name in _FILLS:
            return self._filled(_FILLS[name], value)
        if handler is None:
            raise Refused(f"{func} is not understood")
        return handler(value, *value.args, **value.kwargs)

    # --- arguments

    def _arg(self, arg: Any) -> Array:
        if not isinstance(arg, Value):
            raise Refused(f"a tensor was expected, got {arg!r}")
        found = self.env.get(id(arg))
        if found is None:
            raise Refused("the edge index is used as data")
        return found

    def _dtype(self, value: Value) -> str:
        dtype = DTYPES.get(value.meta.dtype)
        if dtype is None:
            raise Refused(f"it computes in {str(value.meta.dtype).removeprefix('torch.')}")
        return dtype

    def _like(self, node: Node, value: Value, *sources: Array) -> Array:
        """Wrap a node whose rows lie where the recorded shape says; `sources` decide between several places."""
        shape = tuple(value.meta.shape)
        if node.space == "C":
            return Array(node, None, 1, shape)
        row, fold, _, _ = layout(shape)
        return Array(node, row, fold, shape)

    def _pointwise(self, op: str, value: Value, *args: Any, dtype: str | None = None) -> Array:
        """Apply a pointwise op of the loop program to tensors and numbers, as torch broadcasts them."""
        out = tuple(value.meta.shape)
        result = self._dtype(value)
        operand = dtype or (result if result != "bool" else self._common(args))
        row, fold, _, _ = layout(out)
        nodes = []
        for position, arg in enumerate(args):
            want = "bool" if op in ("and", "or", "not") or (op == "where" and position == 0) else operand
            if not isinstance(arg, Value):
                nodes.append(self.p.const(arg, want))
                continue
            array = self._arg(arg)
            nodes.append(self.p.pw("cast", self._aligned(array, out, row, fold), dtype=want))
        node = self.p.pw(op, *nodes, dtype=result)
        features = out if row is None else layout(out)[3]
        node = self.p.expand(self.p.view(node, features) if node.numel == math.prod(features) else node, features)
        if row is not None and node.space == "C":
            node = self.p.expand(node, features, layout(out)[2])
        return Array(node, row, fold, out)

    def _common(self, args: Sequence[Any]) -> str:
        kinds = [self._arg(a).node.dtype for a in args if isinstance(a, Value)]
        return next((k for k in ("f64", "f32", "i32") if k in kinds), "bool")

    def _aligned(self, array: Array, out: tuple[int, ...], row: int | None, fold: int) -> Node:
        """Return the features of `array` aligned to those of a result of shape `out`."""
        missing = len(out) - len(array.shape)
        if array.row is not None:
            if array.row + missing != row or array.fold != fold:
                raise Refused("edges or nodes meet features in one dimension")
            return (
                array.node if missing == 0 or row == 0 else self.p.view(array.node, (1,) * missing + array.node.shape)
            )
        shape = (1,) * missing + array.shape
        if row is not None:
            if shape[row] != 1:
                raise Refused("edges or nodes meet features in one dimension")
            shape = shape if fold > 1 else shape[:row] + shape[row + 1 :]
        return self.p.view(array.node, shape)

    def _binary(self, name: str, value: Value) -> Array:
        a, b = value.args[:2]
        alpha = value.kwargs.get("alpha", 1)
        if value.kwargs.get("rounding_mode") is not None:
            raise Refused("division with rounding is not understood")
        if name == "pow" and not isinstance(b, Value):
            return self._power(value, a, b)
        if name == "atan2":
            return self._angle(value, a, b)
        if alpha != 1:
            scaled = self._pointwise("mul", Value(None, (), {}, b.meta), b, alpha) if isinstance(b, Value) else None
            if scaled is None:
                b = b * alpha
            else:
                stand_in = Value(None, (), {}, b.meta)
                self.env[id(stand_in)] = scaled
                self._kept = [*getattr(self, "_kept", []), stand_in]
                b = stand_in
        return self._pointwise(_BINARY[name], value, a, b)

    def _power(self, value: Value, x: Any, exponent: float) -> Array:
        base = self._arg(x)
        if isinstance(exponent, bool) or not isinstance(base, Array) or self._dtype(value) not in ("f32", "f64"):
            raise Refused("a power that is not of a float")
        if exponent == 0.5:
            return self._pointwise("sqrt", value, x)
        if exponent == -0.5:
            return self._pointwise("rsqrt", value, x)
        if exponent == int(exponent) and 1 <= abs(exponent) <= 8:
            node = base.node
            for _ in range(int(abs(exponent)) - 1):
                node = self.p.pw("mul", node, base.node)
            if exponent < 0:
                node = self.p.pw("div", self.p.const(1.0, node.dtype), node)
            return Array(node, base.row, base.fold, base.shape)
        if exponent == 0:
            return Array(self.p.full(1.0, base.node), base.row, base.fold, base.shape)
        return self._pointwise("pow", value, x, exponent)

    def _angle(self, value: Value, y: Any, x: Any) -> Array:
        """Take every zero for +0, as sums are in torch: loops do not keep its sign, and the angle of (-0, -1) is -pi."""

        def formula(y: Node, x: Node) -> Node:
            p, zero = self.p.pw, self._c(0.0, x)
            level = p("where", p("lt", x, zero), self._c(math.pi, x), p("where", p("ge", x, zero), zero, x))
            return p("where", p("eq", y, zero), level, p("atan2", y, x))

        return self._formula(value, formula, y, x)

    def _filled(self, number: Any, value: Value) -> Array:
        shape = tuple(value.meta.shape)
        row, fold, space, features = layout(shape)
        return Array(self.p.filled(number, space, features, self._dtype(value)), row, fold, shape)

    # --- pointwise compositions, in the conventions of torch's own formulas

    def _formula(self, value: Value, formula: Callable[..., Node], *args: Any) -> Array:
        """Build a pointwise composition from aligned nodes."""
        out = tuple(value.meta.shape)
        row, fold, space, features = layout(out)
        dtype = self._dtype(value)
        nodes = []
        for arg in args:
            array = self._arg(arg)
            nodes.append(self.p.pw("cast", self._aligned(array, out, row, fold), dtype=dtype))
        return Array(self.p.expand(formula(*nodes), features, space), row, fold, out)

    def _c(self, number: float, like: Node) -> Node:
        return self.p.const(number, like.dtype)

    def _where(self, value: Value, condition: Any, a: Any, b: Any) -> Array:
        return self._pointwise("where", value, condition, a, b)

    def _logical_not(self, value: Value, x: Any) -> Array:
        return self._pointwise("not", value, x)

    _bitwise_not = _logical_not

    def _masked_fill(self, value: Value, x: Any, mask: Any, number: Any) -> Array:
        return self._pointwise("where", value, mask, number, x)

    def _rsub(self, value: Value, a: Any, b: Any, alpha: float = 1) -> Array:
        if alpha != 1:
            raise Refused("rsub with alpha")
        return self._pointwise("sub", value, b, a)

    def _reciprocal(self, value: Value, x: Any) -> Array:
        return self._pointwise("div", value, 1.0, x)

    def _square(self, value: Value, x: Any) -> Array:
        return self._pointwise("mul", value, x, x)

    def _stop(self, value: Value, x: Any) -> Array:
        return self._pointwise("stop", value, x)

    def _to_copy(self, value: Value, x: Any, **kwargs: Any) -> Array:
        return self._formula(value, lambda n: n, x)

    _to = _to_copy

    def _fill(self, value: Value, x: Any, number: Any) -> Array:
        return self._filled(number, value) if not isinstance(number, Value) else self._expand(value, number, None)

    def _full(self, value: Value, size: Any, number: float, **kwargs: Any) -> Array:
        return self._filled(number, value)

    _full_like = _new_full = _full

    def _scalar_tensor(self, value: Value, number: float, **kwargs: Any) -> Array:
        return self._filled(number, value)

    def _clamp(self, value: Value, x: Any, low: Any = None, high: Any = None) -> Array:
        dtype = self._dtype(value)

        def bounded(n: Node, *bounds: Node) -> Node:
            given = iter(bounds)
            for op, bound in (("maximum", low), ("minimum", high)):
                if bound is not None:
                    n = self.p.pw(op, n, next(given) if isinstance(bound, Value) else self.p.const(bound, dtype))
            return n

        return self._formula(value, bounded, x, *(b for b in (low, high) if isinstance(b, Value)))

    def _clamp_min(self, value: Value, x: Any, low: Any) -> Array:
        return self._clamp(value, x, low)

    def _clamp_max(self, value: Value, x: Any, high: Any) -> Array:
        return self._clamp(value, x, None, high)

    def _hardtanh(self, value: Value, x: Any, low: float = -1.0, high: float = 1.0) -> Array:
        return self._clamp(value, x, low, high)

    def _hardtanh_backward(self, value: Value, g: Any, x: Any, low: float, high: float) -> Array:
        def formula(g: Node, x: Node) -> Node:
            outside = self.p.pw("or", self.p.pw("le", x, self._c(low, x)), self.p.pw("ge", x, self._c(high, x)))
            return self.p.pw("where", outside, self._c(0.0, g), g)

        return self._formula(value, formula, g, x)

    def _relu(self, value: Value, x: Any) -> Array:
        return self._pointwise("maximum", value, x, 0.0)

    def _threshold_backward(self, value: Value, g: Any, x: Any, threshold: float) -> Array:
        def formula(g: Node, x: Node) -> Node:
            return self.p.pw("where", self.p.pw("le", x, self._c(threshold, x)), self._c(0.0, g), g)

        return self._formula(value, formula, g, x)

    def _leaky_relu(self, value: Value, x: Any, slope: float = 0.01) -> Array:
        def formula(x: Node) -> Node:
            return self.p.pw("where", self.p.pw("gt", x, self._c(0.0, x)), x, self.p.pw("mul", x, self._c(slope, x)))

        return self._formula(value, formula, x)

    def _leaky_relu_backward(self, value: Value, g: Any, x: Any, slope: float, is_result: bool) -> Array:
        def formula(g: Node, x: Node) -> Node:
            return self.p.pw("where", self.p.pw("gt", x, self._c(0.0, x)), g, self.p.pw("mul", g, self._c(slope, g)))

        return self._formula(value, formula, g, x)

    def _prelu_kernel(self, value: Value, x: Any, weight: Any) -> Array:
        def formula(x: Node, w: Node) -> Node:
            return self.p.pw("where", self.p.pw("gt", x, self._c(0.0, x)), x, self.p.pw("mul", x, w))

        return self._formula(value, formula, x, weight)

    def _prelu_kernel_backward(self, value: Value, g: Any, x: Any, weight: Any) -> list[Array]:
        like = Value(None, (), {}, value.meta[0])

        def to_input(g: Node, x: Node, w: Node) -> Node:
            return self.p.pw("where", self.p.pw("gt", x, self._c(0.0, x)), g, self.p.pw("mul", g, w))

        def to_weight(g: Node, x: Node) -> Node:
            return self.p.pw("where", self.p.pw("gt", x, self._c(0.0, x)), self._c(0.0, x), self.p.pw("mul", g, x))

        return [self._formula(like, to_input, g, x, weight), self._formula(like, to_weight, g, x)]

    def _silu(self, value: Value, x: Any) -> Array:
        return self._formula(value, lambda x: self.p.pw("mul", x, self.p.pw("sigmoid", x)), x)

    def _silu_backward(self, value: Value, g: Any, x: Any) -> Array:
        def formula(g: Node, x: Node) -> Node:
            s = self.p.pw("sigmoid", x)
            slope = self.p.pw("add", self.p.pw("mul", x, self.p.pw("sub", self._c(1.0, s), s)), self._c(1.0, s))
            return self.p.pw("mul", g, self.p.pw("mul", s, slope))

        return self._formula(value, formula, g, x)

    def _sigmoid_backward(self, value: Value, g: Any, y: Any) -> Array:
        def formula(g: Node, y: Node) -> Node:
            return self.p.pw("mul", g, self.p.pw("mul", y, self.p.pw("sub", self._c(1.0, y), y)))

        return self._formula(value, formula, g, y)

    def _tanh_backward(self, value: Value, g: Any, y: Any) -> Array:
        def formula(g: Node, y: Node) -> Node:
            return self.p.pw("mul", g, self.p.pw("sub", self._c(1.0, y), self.p.pw("mul", y, y)))

        return self._formula(value, formula, g, y)

    def _softplus(self, value: Value, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Array:
        def formula(x: Node) -> Node:
            z = self.p.pw("mul", x, self._c(beta, x))
            soft = self.p.pw("div", self.p.pw("log1p", self.p.pw("exp", z)), self._c(beta, x))
            return self.p.pw("where", self.p.pw("gt", z, self._c(threshold, z)), x, soft)

        return self._formula(value, formula, x)

    def _softplus_backward(self, value: Value, g: Any, x: Any, beta: float, threshold: float) -> Array:
        def formula(g: Node, x: Node) -> Node:
            z = self.p.pw("mul", x, self._c(beta, x))
            soft = self.p.pw("mul", g, self.p.pw("sigmoid", z))
            return self.p.pw("where", self.p.pw("gt", z, self._c(threshold, z)), g, soft)

        return self._formula(value, formula, g, x)

    def _elu(self, value: Value, x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
        def formula(x: Node) -> Node:
            low = self.p.pw("expm1", self.p.pw("mul", x, self._c(input_scale, x)))
            low = self.p.pw("mul", low, self._c(alpha * scale, x))
            return self.p.pw("where", self.p.pw("gt", x, self._c(0.0, x)), self.p.pw("mul", x, self._c(scale, x)), low)

        return self._formula(value, formula, x)

    def _elu_backward(
        self, value: Value, g: Any, alpha: float, scale: float, input_scale: float, is_result: bool, y: Any
    ) -> Array:
        def formula(g: Node, y: Node) -> Node:
            if is_result:
                low = self.p.pw("mul", self.p.pw("add", y, self._c(alpha * scale, y)), self._c(input_scale, y))
            else:
                low = self.p.pw("exp", self.p.pw("mul", y, self._c(input_scale, y)))
                low = self.p.pw("mul", low, self._c(alpha * scale * input_scale, y))
            low = self.p.pw("mul", g, low)
            return self.p.pw("where", self.p.pw("le", y, self._c(0.0, y)), low, self.p.pw("mul", g, self._c(scale, g)))

        return self._formula(value, formula, g, y)

    def _gelu(self, value: Value, x: Any, approximate: str = "none") -> Array:
        if approximate != "none":
            raise Refused("gelu in its tanh approximation is not understood")

        def formula(x: Node) -> Node:
            phi = self.p.pw("erf", self.p.pw("mul", x, self._c(math.sqrt(0.5), x)))
            return self.p.pw("mul", x, self.p.pw("mul", self._c(0.5, x), self.p.pw("add", phi, self._c(1.0, x))))

        return self._formula(value, formula, x)

    def _gelu_backward(self, value: Value, g: Any, x: Any, approximate: str = "none") -> Array:
        if approximate != "none":
            raise Refused("gelu in its tanh approximation is not understood")

        def formula(g: Node, x: Node) -> Node:
            p = self.p.pw
            phi = p(
                "mul", self._c(0.5, x), p("add", p("erf", p("mul", x, self._c(math.sqrt(0.5), x))), self._c(1.0, x))
            )
            bell = p("exp", p("mul", p("mul", x, x), self._c(-0.5, x)))
            bell = p("mul", p("mul", x, bell), self._c(1 / math.sqrt(2 * math.pi), x))
            return p("mul", g, p("add", phi, bell))

        return self._formula(value, formula, g, x)

    def _log_sigmoid_forward(self, value: Value, x: Any) -> list[Any]:
        array = self._arg(x)
        p, n = self.p.pw, array.node
        low = p("minimum", n, self._c(0.0, n))
        out = p("sub", low, p("log1p", p("exp", p("neg", p("abs", n)))))
        return [Array(out, array.row, array.fold, array.shape), None]

    def _log_sigmoid_backward(self, value: Value, g: Any, x: Any, buffer: Any) -> Array:
        return self._formula(value, lambda g, x: self.p.pw("mul", g, self.p.pw("sigmoid", self.p.pw("neg", x))), g, x)

    def _addcmul(self, recorded: Value, x: Any, a: Any, b: Any, value: float = 1.0) -> Array:
        def formula(x: Node, a: Node, b: Node) -> Node:
            return self.p.pw("add", x, self.p.pw("mul", self._c(value, a), self.p.pw("mul", a, b)))

        return self._formula(recorded, formula, x, a, b)

    # --- views

    def _view(self, value: Value, x: Any, *_: Any, **__: Any) -> Array:
        array, shape = self._arg(x), tuple(value.meta.shape)
        if array.row is None:
            return Array(self.p.view(array.node, shape), None, 1, shape)
        row, fold, _space, features = layout(shape)
        if row is None:
            raise Refused("a view merges edges or nodes with features")
        before = math.prod(array.shape[: array.row]), math.prod(shape[:row])
        if before[0] != before[1] or (row > 0 and max(fold, array.fold) > 1):
            raise Refused("a view merges edges or nodes with features")
        return Array(self.p.view(array.node, features), row, fold, shape)

    _unsafe_view = _reshape = _unsqueeze = _squeeze = _flatten = _view

    def _permute(self, value: Value, x: Any, dims: Sequence[int]) -> Array:
        array = self._arg(x)
        dims = [d % len(array.shape) for d in dims]
        shape = tuple(value.meta.shape)
        if array.row is None:
            return Array(self.p.permute(array.node, dims), None, 1, shape)
        if array.fold > 1 and dims[0] != 0:
            raise Refused("edges folded with features are moved")
        if array.fold > 1:
            return Array(self.p.permute(array.node, dims), 0, array.fold, shape)
        node = self.p.permute(array.node, [array.axis(d) for d in dims if d != array.row])
        return Array(node, dims.index(array.row), 1, shape)

    def _transpose(self, value: Value, x: Any, a: int, b: int) -> Array:
        rank = len(self._arg(x).shape)
        dims = list(range(rank))
        dims[a % rank], dims[b % rank] = dims[b % rank], dims[a % rank]
        return self._permute(value, x, dims)

    def _t(self, value: Value, x: Any) -> Array:
        rank = len(self._arg(x).shape)
        return self._permute(value, x, list(range(rank))[::-1])

    def _expand(self, value: Value, x: Any, size: Any, **_: Any) -> Array:
        out = tuple(value.meta.shape)
        row, fold, space, features = layout(out)
        node = self._aligned(self._arg(x), out, row, fold)
        return Array(self.p.expand(node, features, space), row, fold, out)

    def _repeat(self, value: Value, x: Any, times: Sequence[int]) -> Array:
        array, shape = self._arg(x), tuple(value.meta.shape)
        missing = len(times) - len(array.shape)
        if array.fold > 1 or 0 in times or (array.row is not None and times[array.row + missing] != 1):
            raise Refused("edges or nodes are repeated")
        row = None if array.row is None else array.row + missing
        node = self.p.view(array.node, (1,) * missing + array.node.shape)
        for axis, count in enumerate(t for dim, t in enumerate(times) if dim != row):
            node = self.p.cat([node] * count, axis) if count > 1 else node
        return Array(node, row, 1, shape)

    def _take(self, array: Array, dim: int, positions: Sequence[int]) -> Node:
        if dim == array.row:
            raise Refused("edges or nodes are sliced")
        return self.p.take(array.node, array.axis(dim), positions)

    def _slice(self, value: Value, x: Any, dim: int = 0, start: Any = None, stop: Any = None, step: int = 1) -> Array:
        array = self._arg(x)
        dim %= len(array.shape)
        positions = range(array.shape[dim])[slice(start, stop, step)]
        if len(positions) == array.shape[dim]:
            return array
        return self._like(self._take(array, dim, positions), value)

    def _select(self, value: Value, x: Any, dim: int, position: int) -> Array:
        array = self._arg(x)
        dim %= len(array.shape)
        taken = self._take(array, dim, [position % array.shape[dim]])
        axis = array.axis(dim)
        return self._moved(self.p.view(taken, taken.shape[:axis] + taken.shape[axis + 1 :]), value, array, dim)

    def _moved(self, node: Node, value: Value, array: Array, dropped: int) -> Array:
        row = None if array.row is None else array.row - (dropped < array.row)
        return Array(node, row, array.fold, tuple(value.meta.shape))

    def _flip(self, value: Value, x: Any, dims: Sequence[int]) -> Array:
        array = self._arg(x)
        node = array.node
        for dim in dims:
            dim %= len(array.shape)
            node = self._take(Array(node, array.row, array.fold, array.shape), dim, range(array.shape[dim])[::-1])
        return Array(node, array.row, array.fold, array.shape)

    def _split(self, value: Value, x: Any, size: Any, dim: int = 0) -> list[Array]:
        array = self._arg(x)
        dim %= len(array.shape)
        out, start = [], 0
        for part in value.meta:
            stop = start + part.shape[dim]
            node = array.node if array.row == dim else self._take(array, dim, range(start, stop))
            if array.row == dim and part.shape[dim] != array.shape[dim]:
                raise Refused("edges or nodes are sliced")
            out.append(Array(node, array.row, array.fold, tuple(part.shape)))
            start = stop
        return out

    _split_with_sizes = _chunk = _split

    def _unbind(self, value: Value, x: Any, dim: int = 0) -> list[Array]:
        array = self._arg(x)
        dim %= len(array.shape)
        parts = []
        for position, part in enumerate(value.meta):
            taken, axis = self._take(array, dim, [position]), array.axis(dim)
            node = self.p.view(taken, taken.shape[:axis] + taken.shape[axis + 1 :])
            row = None if array.row is None else array.row - (dim < array.row)
            parts.append(Array(node, row, array.fold, tuple(part.shape)))
        return parts

    def _cat(self, value: Value, parts: Sequence[Any], dim: int = 0) -> Array:
        arrays = [self._arg(x) for x in parts]
        shape = tuple(value.meta.shape)
        row, fold, _space, _ = layout(shape)
        dim %= len(shape)
        if dim == row or any(a.fold != fold or a.row != row for a in arrays if a.row is not None):
            raise Refused("edges or nodes are concatenated")
        arrays = [a for a in arrays if a.shape != (0,)]
        model = Array(arrays[0].node, row, fold, shape)
        node = self.p.cat([self.p.pw("cast", a.node, dtype=self._dtype(value)) for a in arrays], model.axis(dim))
        return Array(node, row, fold, shape)

    def _stack(self, value: Value, parts: Sequence[Any], dim: int = 0) -> Array:
        shape = tuple(value.meta.shape)
        row, fold, _, _ = layout(shape)
        dim %= len(shape)
        if fold > 1:
            raise Refused("folded edges are stacked")
        axis = Array(self._arg(parts[0]).node, row, 1, shape).axis(dim)
        nodes = [self._arg(x).node for x in parts]
        nodes = [self.p.view(n, (*n.shape[:axis], 1, *n.shape[axis:])) for n in nodes]
        return Array(self.p.cat(nodes, axis), row, 1, shape)

    def _slice_backward(self, value: Value, g: Any, size: Any, dim: int, start: int, stop: int, step: int) -> Array:
        shape = tuple(value.meta.shape)
        row, fold, _, _features = layout(shape)
        dim %= len(shape)
        array = self._arg(g)
        if dim == row:
            if array.shape == shape:
                return array
            raise Refused("edges or nodes are sliced")
        return Array(
            self._scattered(array, dim, range(shape[dim])[slice(start, stop, step)], shape[dim]), row, fold, shape
        )

    def _select_backward(self, value: Value, g: Any, size: Any, dim: int, position: int) -> Array:
        shape = tuple(value.meta.shape)
        row, fold, _, _ = layout(shape)
        dim %= len(shape)
        array = self._arg(g)
        if dim == row:
            raise Refused("edges or nodes are sliced")
        axis = Array(array.node, row, fold, shape).axis(dim)
        node = self.p.view(array.node, (*array.node.shape[:axis], 1, *array.node.shape[axis:]))
        unsqueezed = Array(node, row, fold, (*shape[:dim], 1, *shape[dim + 1 :]))
        return Array(self._scattered(unsqueezed, dim, [position % shape[dim]], shape[dim]), row, fold, shape)

    def _scattered(self, array: Array, dim: int, positions: Sequence[int], length: int) -> Node:
        """Place features at constant positions among zeros."""
        axis = array.axis(dim)
        node = array.node
        if list(positions) == list(range(length)):
            return node
        parts: list[Node] = []
        previous = 0

        def zeros(count: int) -> Node:
            shape = (*node.shape[:axis], count, *node.shape[axis + 1 :])
            return self.p.filled(0.0, node.space, shape, node.dtype)

        runs: list[list[int]] = []  # position in the result, position in the gradient, length
        for k, position in enumerate(positions):
            if runs and position == runs[-1][0] + runs[-1][2]:
                runs[-1][2] += 1
            else:
                runs.append([position, k, 1])
        for at, k, count in runs:
            parts += [zeros(at - previous)] if at > previous else []
            parts.append(self.p.take(node, axis, range(k, k + count)))
            previous = at + count
        parts += [zeros(length - previous)] if previous < length else []
        return self.p.cat(parts, axis)

    # --- sums

    def _dims(self, array: Array, dims: Any) -> tuple[bool, list[int]]:
        """Split dimensions into whether the rows are among them, and feature axes."""
        rank = len(array.shape)
        wanted = range(rank) if dims is None or len(dims) == 0 else sorted(d % rank for d in dims)
        axes = [array.axis(d) for d in wanted if d != array.row]
        over_rows = array.row is not None and array.row in wanted
        return over_rows, sorted(axes + ([0] if over_rows and array.fold > 1 else []))

    def _reduced(self, value: Value, array: Array, node: Node) -> Array:
        shape = tuple(value.meta.shape)
        if node.space == "C":
            return Array(self.p.view(node, shape), None, 1, shape)
        row, fold, _, features = layout(shape)
        return Array(self.p.view(node, features), row, fold, shape)

    def _sum(self, value: Value, x: Any, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
        array = self._arg(x)
        over_rows, axes = self._dims(array, dims)
        node = self.p.pw("cast", array.node, dtype="f32" if _counts(value) else self._dtype(value))
        node = self.p.sum(node, axes) if axes else node
        return self._reduced(value, array, self.p.total(node) if over_rows else node)

    def _mean(self, value: Value, x: Any, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
        array = self._arg(x)
        over_rows, axes = self._dims(array, dims)
        if over_rows:
            raise Refused("a mean over all edges or nodes")
        count = math.prod(array.node.shape[a] for a in axes)
        node = self.p.sum(array.node, axes)
        return self._reduced(value, array, self.p.pw("div", node, self._c(float(count), node)))

    def _amax(self, value: Value, x: Any, dims: Any = (), keepdim: bool = False) -> Array:
        array = self._arg(x)
        over_rows, axes = self._dims(array, dims)
        if over_rows:
            raise Refused("a maximum over all edges or nodes")
        return self._reduced(value, array, self.p.amax(array.node, axes))

    def _linalg_vector_norm(
        self, value: Value, x: Any, order: float = 2, dims: Any = None, keepdim: bool = False, **_: Any
    ) -> Array:
        array = self._arg(x)
        over_rows, axes = self._dims(array, dims)
        if over_rows or order not in (1, 2):
            raise Refused(f"a norm of order {order}, or over all edges or nodes")
        n = array.node
        if order == 1:
            return self._reduced(value, array, self.p.sum(self.p.pw("abs", n), axes))
        return self._reduced(value, array, self.p.pw("sqrt", self.p.sum(self.p.pw("mul", n, n), axes)))

    _norm = _linalg_vector_norm

    def _softmax(self, value: Value, x: Any, dim: int, half_to_float: bool = False) -> Array:
        array = self._arg(x)
        over_rows, axes = self._dims(array, [dim])
        if over_rows:
            raise Refused("a softmax over all edges or nodes")
        p, n = self.p, array.node
        kept = tuple(1 if a in axes else d for a, d in enumerate(n.shape))
        e = p.pw("exp", p.pw("sub", n, p.view(p.amax(n, axes), kept)))
        return Array(p.pw("div", e, p.sum(e, axes, keepdim=True)), array.row, array.fold, array.shape)

    def _softmax_backward_data(self, value: Value, g: Any, y: Any, dim: int, dtype: Any) -> Array:
        gradient, result = self._arg(g), self._arg(y)
        _, axes = self._dims(result, [dim])
        p = self.p
        weighted = p.pw("mul", gradient.node, result.node)
        inner = p.sum(weighted, axes, keepdim=True)
        node = p.pw("sub", weighted, p.pw("mul", result.node, inner))
        return Array(node, result.row, result.fold, result.shape)

    def _standardised(self, array: Array, shape: Sequence[int]) -> tuple[list[int], Callable[[Node], Node]]:
        """Return the feature axes of a layer norm, and the mean over them."""
        if len(shape) + (array.row is not None) > len(array.shape) or array.row not in (None, 0):
            raise Refused("a layer norm over all edges or nodes")
        rank = len(array.node.shape)
        axes = list(range(rank - len(shape), rank))
        count = self._c(float(math.prod(shape)), array.node)
        return axes, lambda n: self.p.pw("div", self.p.sum(n, axes, keepdim=True), count)

    def _native_layer_norm(
        self, value: Value, x: Any, shape: Sequence[int], weight: Any, bias: Any, eps: float
    ) -> list[Array]:
        array, p = self._arg(x), self.p.pw
        axes, mean_of = self._standardised(array, shape)
        mean = mean_of(array.node)
        left = p("sub", array.node, mean)
        scale = p("rsqrt", p("add", mean_of(p("mul", left, left)), self._c(eps, mean)))
        out = p("mul", left, scale)
        out = out if weight is None else p("mul", out, self._arg(weight).node)
        out = out if bias is None else p("add", out, self._arg(bias).node)
        small = (*array.shape[: len(array.shape) - len(axes)], *[1] * len(axes))
        stats = [Array(n, array.row, array.fold, small) for n in (mean, scale)]
        return [Array(out, array.row, array.fold, array.shape), *stats]

    def _native_layer_norm_backward(
        self, value: Value, g: Any, x: Any, shape: Sequence[int], mean: Any, scale: Any, weight: Any, bias: Any, _: Any
    ) -> list[Array]:
        array, gradient, p = self._arg(x), self._arg(g).node, self.p.pw
        axes, mean_of = self._standardised(array, shape)
        scaled = self._arg(scale).node
        normal = p("mul", p("sub", array.node, self._arg(mean).node), scaled)
        weighted = gradient if weight is None else p("mul", gradient, self._arg(weight).node)
        left = p("sub", p("sub", weighted, mean_of(weighted)), p("mul", normal, mean_of(p("mul", weighted, normal))))

        def collected(node: Node) -> Array:
            node = self.p.sum(node, range(axes[0])) if axes[0] else node
            return Array(self.p.total(node) if array.row is not None else node, None, 1, tuple(shape))

        to_input = Array(p("mul", scaled, left), array.row, array.fold, array.shape)
        return [to_input, collected(p("mul", gradient, normal)), collected(gradient)]

    def _linalg_cross(self, value: Value, x: Any, y: Any, dim: int = -1) -> Array:
        shape = tuple(value.meta.shape)
        row, fold, _, features = layout(shape)
        axis, p = Array(self._arg(x).node, row, fold, shape).axis(dim % len(shape)), self.p
        a, b = (p.expand(self._aligned(self._arg(arg), shape, row, fold), features) for arg in (x, y))

        def turned(node: Node, by: int) -> Node:
            return p.take(node, axis, [(k + by) % 3 for k in range(3)])

        left, right = p.pw("mul", turned(a, 1), turned(b, 2)), p.pw("mul", turned(a, 2), turned(b, 1))
        return Array(p.pw("sub", left, right), row, fold, shape)

    # --- products

    def _mm(self, value: Value, a: Any, b: Any) -> Array:
        left, right = self._arg(a), self._arg(b)
        p, shape = self.p, tuple(value.meta.shape)
        if left.row is None and right.row is None:
            return Array(p.mm(left.node, right.node), None, 1, shape)
        if left.row == 0 and right.row is None:
            return Array(p.mm(left.node, right.node), 0, left.fold, shape)
        if left.row == 1 and right.row == 0 and left.fold == right.fold == 1:
            return Array(p.mmt(left.node, right.node), None, 1, shape)
        if left.row is None and right.row == 1 and right.fold == 1:
            return Array(p.mm(right.node, p.permute(left.node, (1, 0))), 1, 1, shape)
        raise Refused("a product over edges or nodes")

    def _addmm(self, value: Value, bias: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Array:
        if beta != 1 or alpha != 1:
            raise Refused("addmm with factors")
        product = self._mm(value, a, b)
        stand_in = Value(None, (), {}, value.meta)
        self.env[id(stand_in)] = product
        self._kept = [*getattr(self, "_kept", []), stand_in]
        return self._pointwise("add", value, stand_in, bias)

    def _bmm(self, value: Value, a: Any, b: Any) -> Array:
        left, right, p = self._arg(a), self._arg(b), self.p
        shape = tuple(value.meta.shape)
        if max(left.fold, right.fold) > 1:
            raise Refused("a product of folded edges")
        if left.row in (None, 0) and right.row in (None, 0):  # (e, n, k) (e, k, m): one product per edge
            x, y = left.node, right.node
            x = p.view(x, (*x.shape, 1))
            y = p.view(y, (*y.shape[:-2], 1, *y.shape[-2:]))
            node = p.sum(p.pw("mul", x, y), [len(x.shape) - 2])
            return Array(node, left.row if left.row is not None else right.row, 1, shape)
        if left.row == 1 and right.row is None:  # (h, e, k) (h, k, m): one matrix per head
            h, k, m = right.node.shape
            node = p.sum(p.pw("mul", p.view(left.node, (h, k, 1)), right.node), [1])
            return Array(node, 1, 1, shape)
        if left.row == 2 and right.row == 1:  # (h, k, e) (h, e, m): the derivative by the matrices
            (h, k), m = left.node.shape, right.node.shape[-1]
            node = p.total(p.pw("mul", p.view(left.node, (h, k, 1)), p.view(right.node, (h, 1, m))))
            return Array(node, None, 1, shape)
        if left.row is None and right.row == 2:  # (h, n, k) (h, k, e): the same from the left
            h, _, k = left.node.shape
            node = p.sum(p.pw("mul", left.node, p.view(right.node, (h, 1, k))), [2])
            return Array(node, 2, 1, shape)
        raise Refused("a batched product over edges or nodes")

    def _dot(self, value: Value, a: Any, b: Any) -> Array:
        x, y = self._arg(a), self._arg(b)
        if x.row is not None or y.row is not None:
            raise Refused("a product over edges or nodes")
        return Array(self.p.sum(self.p.pw("mul", x.node, y.node), [0]), None, 1, ())

    def _mv(self, value: Value, a: Any, b: Any) -> Array:
        x, y = self._arg(a), self._arg(b)
        if y.row is not None or x.row not in (None, 0):
            raise Refused("a product over edges or nodes")
        last = len(x.node.shape) - 1
        return Array(self.p.sum(self.p.pw("mul", x.node, y.node), [last]), x.row, x.fold, tuple(value.meta.shape))

    # --- movers

    def _end(self, index: Any) -> str:
        end = end_of(index) if isinstance(index, Value) else None
        if end is None:
            raise Refused("it selects rows by something else than the edge index")
        return ENDS[end]

    def _end_of(self, index: Any, space: str) -> str:
        """Return the end whose nodes are the rows of `space`: those of the other end may be fewer than the index says."""
        end = self._end(index)
        if space not in _SIDES[end]:
            raise Refused("it selects or reduces rows of one end by the index of the other")
        return end

    def _over(self, end: int, rows: int) -> tuple[str, str]:
        """Return the end and the space of a reduction to `rows`."""
        space = SPACES.get(rows)
        if space not in _SIDES[ENDS[end]]:
            raise Refused("it selects or reduces rows of one end by the index of the other")
        return ENDS[end], space

    def _rows_of(self, array: Array, what: str) -> Array:
        if array.row != 0:
            raise Refused(f"{what} along another dimension than the first")
        return array

    def _index_select(self, value: Value, x: Any, dim: int, index: Any) -> Array:
        array = self._arg(x)
        if dim % len(array.shape) != array.row or array.row != 0 or array.node.space == "E":
            raise Refused("it selects rows of something that is not one row per node")
        return self._like(self.p.gather(array.node, self._end_of(index, array.node.space)), value)

    def _index(self, value: Value, x: Any, indices: Sequence[Any]) -> Array:
        if len(indices) != 1:
            raise Refused("it indexes by several tensors")
        return self._index_select(value, x, 0, indices[0])

    def _gather(self, value: Value, x: Any, *rest: Any, **_: Any) -> Array:
        if len(rest) == 2 and isinstance(rest[1], int):  # graphgdl_tape::gather(x, end, rows)
            return self._like(self.p.gather(self._arg(x).node, ENDS[rest[0]]), value)
        dim, index = rest[:2]
        array = self._arg(x)
        if tuple(index.meta.shape)[1:] != array.shape[1:]:
            raise Refused("it selects rows of part of the features")
        return self._index_select(value, x, dim, index)

    def _summed(self, value: Value, x: Any, dim: int, index: Any, src: Any) -> Array:
        into, array = self._arg(x), self._rows_of(self._arg(src), "a sum over edges")
        if dim % len(into.shape) != 0 or array.node.space != "E" or into.shape[1:] != array.shape[1:]:
            raise Refused("it sums something that is not one row per edge")
        node = self.p.reduce(array.node, self._end_of(index, into.node.space), into.node.space)
        return self._like(node if is_zero(into.node) else self.p.pw("add", into.node, node), value)

    def _scatter_add(self, value: Value, x: Any, dim: int, index: Any, src: Any) -> Array:
        return self._summed(value, x, dim, index, src)

    def _index_add(self, value: Value, x: Any, dim: int, index: Any, src: Any, alpha: float = 1) -> Array:
        if alpha != 1:
            raise Refused("index_add with alpha")
        return self._summed(value, x, dim, index, src)

    def _scatter_reduce(
        self, value: Value, x: Any, dim: int, index: Any, src: Any, how: str, include_self: bool = True
    ) -> Array:
        if how != "sum":
            raise Refused(f"scatter_reduce with {how!r}")
        return self._summed(value, x, dim, index, src)

    def _index_put(
        self, value: Value, x: Any, indices: Sequence[Any], src: Any, accumulate: bool = False, *_: Any
    ) -> Array:
        if not accumulate or len(indices) != 1:
            raise Refused("it writes rows by index")
        return self._summed(value, x, 0, indices[0], src)

    _index_put_impl = _index_put

    def _reduce(self, value: Value, x: Any, end: int, rows: int) -> Array:
        return self._like(self.p.reduce(self._arg(x).node, *self._over(end, rows)), value)

    def _rmax(self, value: Value, x: Any, end: int, rows: int) -> Array:
        return self._like(self.p.rmax(self._arg(x).node, *self._over(end, rows)), value)

    def _rarg(self, value: Value, x: Any, end: int, rows: int) -> Array:
        return self._like(self.p.rarg(self._arg(x).node, *self._over(end, rows)), value)

    def _eid(self, value: Value, x: Any) -> Array:
        return self._like(self.p.eid(), value)

    def _uniform(self, value: Value, x: Any, seed: Any, stream: int) -> Array:
        row, _fold, space, features = layout(tuple(value.meta.shape))
        if row != 0:
            raise Refused("random numbers that are not one row per edge or node")
        node = self.p.rand(self._arg(seed).node, stream, space, features, self._dtype(value))
        return self._like(node, value)


def _counts(value: Value) -> bool:
    """Whether `value` counts which features are true: an integer, kept as a float."""
    return getattr(value.func, "_opname", "") == "sum" and value.args[0].meta.dtype == torch.bool


def layout(shape: tuple[int, ...]) -> tuple[int | None, int, str, Shape]:
    """Return which dimension of a recorded shape counts rows, how many features it holds per row, space and features."""
    for dim, size in enumerate(shape):
        for rows, space in SPACES.items():
            if size and size % rows == 0:
                rest = shape[:dim] + shape[dim + 1 :]
                if any(d and d % r == 0 for d in rest for r in SPACES):
                    raise Refused("a tensor with one entry for each pair of nodes or edges")
                fold = size // rows
                if fold > 1 and dim > 0:
                    raise Refused("edges or nodes are folded with features")
                return dim, fold, space, (fold, *rest) if fold > 1 else rest
    if any(d > 1_000_000 for d in shape):
        raise Refused("a tensor whose size is computed from the number of nodes or edges")
    return None, 1, "C", shape

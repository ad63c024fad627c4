"""From recorded ATen ops to the loop program: what has neither a formula nor a handler is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch._decomp import decomposition_table

from .arrays import DTYPES, Array, layout
from .aten_products import Products
from .aten_rows import Rows
from .aten_sums import Sums
from .formulas import FORMULAS
from .ir import Program
from .node import POINTWISE as LOOP_POINTWISE
from .node import Node
from .recorder import Recorder
from .tape import Refused, Tape, Value, mentioned, replaced
from .terms import Term

# ATen ops that are pointwise ops of the loop program under another name
POINTWISE = {"sgn": "sign", "logical_and": "and", "bitwise_and": "and", "logical_or": "or", "bitwise_or": "or"}
POINTWISE |= {"logical_not": "not", "bitwise_not": "not"} | {op: op for op in LOOP_POINTWISE if op not in FORMULAS}
COPIES = {"clone", "alias", "detach", "contiguous", "lift_fresh_copy"}
FILLS = {"zeros": 0.0, "zeros_like": 0.0, "new_zeros": 0.0, "ones": 1.0, "ones_like": 1.0, "new_ones": 1.0}
FILLS |= {"empty": 0.0, "empty_like": 0.0, "new_empty": 0.0, "new_empty_strided": 0.0}
# why ops that torch decomposes may not be over the rows, which some of what they are made of may
_OF_EXPONENTIALS = ("softmax", "softmax_backward_data", "log_softmax", "log_softmax_backward_data", "logsumexp")
OVER_FEATURES = {
    "roll": "edges or nodes are rolled",
    **dict.fromkeys(("all", "any"), "a statement over all edges or nodes"),
    **dict.fromkeys(_OF_EXPONENTIALS, "a softmax over all edges or nodes"),
    **dict.fromkeys(("std", "std_mean"), "a variance over all edges or nodes"),
    **dict.fromkeys(("native_layer_norm", "native_layer_norm_backward"), "a layer norm over all edges or nodes"),
}


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


class Translator(Sums, Products, Rows):
    """Translates one tape: a method `_name` for each ATen op that neither formulas nor torch itself make of other ops."""

    def run(self, tape: Tape, names: Sequence[Any]) -> tuple[list[Node], list[Node | None]]:
        """Translate."""
        inputs = []
        for value, name in zip(tape.inputs, names, strict=True):
            if value.meta.dtype == torch.int64 and value.meta.dim() > 0:
                continue  # the edge index: never read as a value
            shape = value.meta.shape
            out, dtype = layout(shape), DTYPES.get(value.meta.dtype, "i64")
            node = name if isinstance(name, Node) else self.p.input(name, out.space, out.features, dtype)
            self.env[value] = self._placed(node, shape)
            inputs.append(node)
        self._follow(tape.values)
        return inputs, [None if o is None else self._output(o) for o in tape.outputs]

    def _follow(self, values: Iterable[Value]) -> None:
        for value in values:
            whole = isinstance(value.meta, torch.Tensor) and value.meta.dtype == torch.int64
            sources = mentioned(value.args)
            if whole and value.func != "constant" and not (sources and all(v in self.env for v in sources)):
                continue  # the edge index, or made from it
            self.env[value] = self._op(value)

    def _output(self, value: Value) -> Node:
        array = self.env.get(value)
        if not isinstance(array, Array):
            raise Refused("it returns the edge index or parts of it")
        if array.row not in (None, 0):
            raise Refused("its result has nodes or edges in another dimension than the first")
        return array.node

    def _op(self, value: Value) -> Any:
        func = value.func
        if func == "constant":
            return self._constant(value)
        if not hasattr(func, "_schema"):  # one of several results
            return self.env[value.args[0]][value.args[1]]
        namespace, name = func._schema.name.split("::")
        if namespace not in ("aten", "prims", "graphgdl_tape"):
            raise Refused(f"{func} is not an op of torch's own")
        name = name.lstrip("_")
        if name in POINTWISE:
            return self._pointwise(POINTWISE[name], value, *value.args)
        if name in FORMULAS:
            return self._formula(FORMULAS[name], value)
        if name in COPIES:
            return self._arg(value.args[0])
        if name in FILLS:
            return self._filled(FILLS[name], value)
        handler: Callable[..., Any] | None = getattr(self, f"_{name}", None)
        if handler is None:
            return self._decomposed(name, value)
        return handler(value, *value.args, **value.kwargs)

    def _decomposed(self, name: str, value: Value) -> Any:
        """Translate what torch's own decomposition makes of an op."""
        decomposition = decomposition_table.get(value.func)
        operands = list(dict.fromkeys(mentioned((value.args, value.kwargs))))
        if decomposition is None or not operands:
            raise Refused(f"{value.func} is not understood")
        if name in OVER_FEATURES:
            given = dict(zip((a.name for a in value.func._schema.arguments), value.args)) | value.kwargs
            dims = given.get("dim", given.get("dims", range(-len(given.get("normalized_shape", ())), 0)))
            if self._axes(self._arg(value.args[0]), [dims] if isinstance(dims, int) else dims)[0]:
                raise Refused(OVER_FEATURES[name])
        recorder = Recorder(ignore_detach=True)
        metas = {operand: torch.empty_like(operand.meta) for operand in operands}
        recorder.inputs(*metas.values())
        args, kwargs = replaced((value.args, value.kwargs), metas.__getitem__)
        try:
            with recorder:
                made = decomposition(*args, **kwargs)
            several = isinstance(made, tuple | list)
            tape = recorder.tape(made if several else [made])
            self.env.update((own, self._arg(operand)) for own, operand in zip(tape.inputs, operands, strict=True))
            self._follow(tape.values)
        except Refused as refused:
            raise Refused(f"{value.func} is not understood: {refused}") from refused
        results = [None if o is None else self._arg(o) for o in tape.outputs]
        return results if several else results[0]

    def _constant(self, value: Value) -> Array:
        numbers, shape = value.args[0], value.meta.shape
        dtype = self._number(value.meta, ())
        if value.meta.dtype == torch.int64 and any(abs(n) > 2**24 for n in numbers):
            raise Refused("it uses constants greater than 2**24")
        node = self.p.const(numbers[0], dtype) if len(numbers) == 1 else self.p.table(numbers, tuple(shape), dtype)
        return self._placed(node, shape)

    def _formula(self, formula: Callable[..., Any], value: Value) -> Any:
        """Apply a formula to aligned tensors, in the dtype of its result."""
        several = isinstance(value.meta, tuple | list)
        metas = value.meta if several else [value.meta]
        shape, dtype = metas[0].shape, self._number(metas[0], value.args)
        args, kwargs = replaced((value.args, value.kwargs), lambda v: self._term(self._aligned(v, shape, dtype)))
        made = formula(*args, **kwargs)
        terms = zip(made if several else [made], metas)
        nodes = [(t.node if isinstance(t, Term) else self.p.const(t, dtype), meta) for t, meta in terms]
        results = [self._spread(node, meta.shape) for node, meta in nodes]
        return results if several else results[0]

    # --- numbers

    def _filled(self, number: Any, value: Value) -> Array:
        out = layout(value.meta.shape)
        node = self.p.filled(number, out.space, out.features, self._dtype(value.meta))
        return self._placed(node, value.meta.shape)

    def _full(self, value: Value, size: Any, number: float, **_: Any) -> Array:
        return self._filled(number, value)

    _full_like = _full

    def _new_full(self, value: Value, x: Any, size: Any, number: float, **_: Any) -> Array:
        return self._filled(number, value)

    def _scalar_tensor(self, value: Value, number: float, **_: Any) -> Array:
        return self._filled(number, value)

"""A message recorded as ATen ops on meta tensors, and its derivatives, which torch's own autograd records.

Sizes stand for spaces: a dimension of `EDGES` is one row per edge, and so on. The sizes are primes that no feature
dimension comes near, so what a recorded op did to rows can be read off its shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

EDGES, NODES, SOURCES, DESTINATIONS = 100_000_007, 10_000_019, 10_000_079, 10_000_103
SPACES = {EDGES: "E", NODES: "N", SOURCES: "S", DESTINATIONS: "D"}
LARGEST_DIMENSION = 1_000_000  # of features: what is larger counts nodes or edges


class Refused(Exception):
    """The compiler does not understand a message; the text is the reason, and the message path runs."""


def unhooked() -> AbstractContextManager[None]:
    """Return a context in which autograd saves tensors as they are, whatever checkpoints and their like hooked in."""
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)


@dataclass(eq=False, slots=True)
class Value:
    """One recorded tensor: `func(*args, **kwargs)` with `Value`s among the arguments, its meta tensor as a pattern."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    meta: Tensor
    id: int = 0


class Tape:
    """Inputs, recorded ops in order, and outputs.

    Args:
        inputs: the edge index, and what else the record may depend on; `kept` are the positions of those it does.
        values: all recorded ops.
        outputs: the results.
        keep: whether inputs that nothing depends on stay.
    """

    def __init__(self, inputs: list[Value], values: list[Value], outputs: list[Value | None], keep: bool) -> None:
        self.outputs = outputs
        live = set(outputs)
        for value in reversed(values):
            if value in live:
                live.update(mentioned((value.args, value.kwargs)))
        self.kept = [0, *(k for k, v in enumerate(inputs) if k and (v in live or keep))]
        self.inputs = [inputs[k] for k in self.kept]
        self.values = [v for v in values if v in live]
        for number, value in enumerate([*self.inputs, *self.values]):
            value.id = number

    def text(self) -> str:
        """Return a canonical text: equal for tapes that compute the same, whatever objects they were recorded from."""
        lines = [f"input {v.id} {tuple(v.meta.shape)} {v.meta.dtype}" for v in self.inputs]
        for v in self.values:
            parts = v.meta if isinstance(v.meta, tuple | list) else [v.meta]
            shapes = [(tuple(p.shape), p.dtype) for p in parts if isinstance(p, Tensor)]
            name = v.func if isinstance(v.func, str) or hasattr(v.func, "_schema") else v.func.__name__
            lines.append(f"{v.id} {name} {_plain(v.args)} {_plain(v.kwargs)} {shapes}")
        return "\n".join([*lines, f"outputs {_plain(self.outputs)}"])

    def replay(self, inputs: Sequence[Tensor], constant: Callable[[Any, Tensor], Tensor]) -> list[Tensor | None]:
        """Run the ops on other meta tensors; `constant` makes those that stand for numbers."""
        env: dict[Value, Any] = dict(zip(self.inputs, inputs))

        def put(arg: Any) -> Any:
            return replaced(arg, env.__getitem__)

        for v in self.values:
            env[v] = constant(v.args[0], v.meta) if v.func == "constant" else v.func(*put(v.args), **put(v.kwargs))
        return [None if o is None else env[o] for o in self.outputs]

    def vjp(self, present: Sequence[int], wanted: Sequence[int]) -> tuple[Tape, list[int]]:
        """Return the tape (inputs, cotangents) -> gradients, and the inputs that have one.

        Args:
            present: which outputs have a cotangent; those that are None are not counted.
            wanted: which inputs to differentiate by.
        """
        from .recorder import Recorder  # which makes tapes

        targets = [o for o in self.outputs if o is not None]
        cotangents = [torch.empty_like(targets[k].meta) for k in present]
        recorder = Recorder(ignore_detach=True)
        inputs = [torch.empty_like(v.meta).requires_grad_(k in wanted) for k, v in enumerate(self.inputs)]
        recorder.inputs(*inputs, *cotangents)
        with recorder, torch.enable_grad(), unhooked():
            outputs = [o for o in self.replay(inputs, recorder.constant) if o is not None]
            pairs = [(outputs[k], c) for k, c in zip(present, cotangents) if outputs[k].requires_grad]
            if not pairs:
                return recorder.tape([]), []
            found = torch.autograd.grad(
                [o for o, _ in pairs],
                [inputs[k] for k in wanted],
                [c for _, c in pairs],
                allow_unused=True,
                create_graph=True,
            )
        reached = [k for k, g in zip(wanted, found) if g is not None]
        return recorder.tape([g for g in found if g is not None]), reached


def item(parts: Any, position: int) -> Any:
    """Return one of the results of an op that has several."""
    return parts[position]


def mentioned(arg: Any) -> list[Value]:
    """Return the values among nested arguments."""
    return found(Value, arg)


def replaced(arg: Any, change: Callable[[Any], Any], kind: type = Value) -> Any:
    """Apply `change` to each `kind` among nested arguments."""
    if isinstance(arg, kind):
        return change(arg)
    if isinstance(arg, tuple | list):
        return (
            type(arg)(replaced(a, change, kind) for a in arg)
            if type(arg) in (tuple, list)
            else tuple(replaced(a, change, kind) for a in arg)
        )
    if isinstance(arg, dict):
        return {k: replaced(a, change, kind) for k, a in arg.items()}
    return arg


def found(kind: type, arg: Any) -> list[Any]:
    """Return each `kind` among nested arguments."""
    things: list[Any] = []

    def keep(thing: Any) -> Any:
        things.append(thing)
        return thing

    replaced(arg, keep, kind)
    return things


def _plain(arg: Any) -> str:
    return str(replaced(arg, lambda v: f"%{v.id}"))


_INDEX_VIEWS = {
    "view",
    "expand",
    "unsqueeze",
    "squeeze",
    "_unsafe_view",
    "reshape",
    "alias",
    "_to_copy",
    "clone",
    "permute",
}


def end_of(value: Value) -> int | None:
    """Return 0 or 1 where `value` repeats row 0 or 1 of the edge index along its first dimension, else None."""
    while value.func != "input":
        name = value.func._schema.name.split("::")[1] if hasattr(value.func, "_schema") else ""
        if name == "select" and value.args[0].func == "input" and tuple(value.args[0].meta.shape) == (2, EDGES):
            return int(value.args[2]) if value.args[1] == 0 else None
        if name not in _INDEX_VIEWS or value.meta.shape[0] != EDGES:
            return None
        value = value.args[0]
    return None

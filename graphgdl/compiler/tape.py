"""A message recorded as ATen ops on meta tensors, and its derivatives, which torch's own autograd records.

Sizes stand for spaces: a dimension of `EDGES` is one row per edge, and so on. The sizes are primes that no feature
dimension comes near, so what a recorded op did to rows can be read off its shapes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from . import movers

aten = torch.ops.aten
EDGES, NODES, SOURCES, DESTINATIONS = 100_000_007, 10_000_019, 10_000_079, 10_000_103
SPACES = {EDGES: "E", NODES: "N", SOURCES: "S", DESTINATIONS: "D"}
_FACTORIES = {f"aten::{name}" for name in ("zeros", "ones", "full", "empty")}
_MAX_CONSTANT = 4096
LARGEST_DIMENSION = 1_000_000  # of features: what is larger counts nodes or edges
MOST_OPS = 20_000


class Refused(Exception):
    """The compiler does not understand a message; the text is the reason, and the message path runs."""


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
        live: set[int] = {id(o) for o in outputs}
        for value in reversed(values):
            if id(value) in live:
                live.update(id(v) for v in mentioned((value.args, value.kwargs)))
        self.kept = [0, *(k for k, v in enumerate(inputs) if k and (id(v) in live or keep))]
        self.inputs = [inputs[k] for k in self.kept]
        self.values = [v for v in values if id(v) in live]
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

    def replay(self, inputs: Sequence[Tensor], recorder: Recorder) -> list[Tensor | None]:
        """Run the ops on other meta tensors, under `recorder`."""
        env = {id(v): t for v, t in zip(self.inputs, inputs)}

        def put(arg: Any) -> Any:
            return replaced(arg, lambda v: env[id(v)])

        for v in self.values:
            env[id(v)] = (
                recorder.constant(v.args[0], v.meta) if v.func == "constant" else v.func(*put(v.args), **put(v.kwargs))
            )
        return [None if o is None else env[id(o)] for o in self.outputs]

    def vjp(self, present: Sequence[int], wanted: Sequence[int]) -> tuple[Tape, list[int]]:
        """Return the tape (inputs, cotangents) -> gradients, and the inputs that have one.

        Args:
            present: which outputs have a cotangent; those that are None are not counted.
            wanted: which inputs to differentiate by.
        """
        targets = [o for o in self.outputs if o is not None]
        cotangents = [torch.empty_like(targets[k].meta) for k in present]
        recorder = Recorder(ignore_detach=True)
        inputs = [torch.empty_like(v.meta).requires_grad_(k in wanted) for k, v in enumerate(self.inputs)]
        recorder.inputs(*inputs, *cotangents)
        with recorder, torch.enable_grad():
            outputs = [o for o in self.replay(inputs, recorder) if o is not None]
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


class Recorder(TorchDispatchMode):
    """Records every op on meta tensors; refuses what would make the record wrong.

    Args:
        index: the (2, e) edge index; only movers may use it.
        ignore_detach: autograd's own detaching is no op of the program; the user's is.
    """

    def __init__(self, ignore_detach: bool = False) -> None:
        super().__init__()
        self._ignore_detach = ignore_detach
        self._values: list[Value] = []
        self._inputs: list[Value] = []
        self._of: dict[int, Value] = {}
        self._alive: list[Tensor] = []  # so that no id is used twice
        self._made: set[int] = set()
        self._storages: dict[int, int] = {}
        self.seed: Tensor | None = None
        self.streams = 0

    def inputs(self, *tensors: Tensor) -> None:
        """Name the inputs, in order."""
        for tensor in tensors:
            self._inputs.append(self._bind(tensor, Value("input", (), {}, tensor.detach())))

    def tape(self, outputs: Sequence[Tensor | None]) -> Tape:
        """Return what was recorded; a derivative keeps all inputs of what it was derived from."""
        results = [None if o is None else self.value(o) for o in outputs]
        return Tape(self._inputs, self._values, results, keep=self._ignore_detach)

    def made(self, tensor: Tensor) -> bool:
        """Whether a tensor is of numbers made inside the message, out of nothing."""
        return id(tensor) in self._made

    def value(self, tensor: Tensor) -> Value:
        """Return the recorded value of a tensor."""
        found = self._of.get(id(tensor))
        if found is None:
            raise Refused("it uses a tensor that is neither an input nor a parameter or buffer of the layer")
        return found

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Tensor:
        """Run `func` on meta tensors, and record it."""
        kwargs = kwargs or {}
        given, named = replaced((args, kwargs), self.value, Tensor)
        out = func(*args, **kwargs)
        value = Value(func, given, named, out)
        self._values.append(value)
        self._bind(out, value)
        return out

    def _bind(self, tensor: Tensor, value: Value) -> Value:
        self._of[id(tensor)] = value
        self._alive.append(tensor)
        self._storages[_memory(tensor)] = self._storages.get(_memory(tensor), 0) + 1
        return value

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is aten.detach.default and self._ignore_detach:
            out = func(*args)
            self._bind(out, self.value(args[0]))
            return out
        if func is aten.detach.default and not self.made(args[0]):
            return self._detached(self._constant(args[0]))
        if func is aten.lift_fresh.default:
            return self._real(func(*args))
        if func is aten.bernoulli_.float or "rand" in func._schema.name or "dropout" in func._schema.name:
            return self._random(func, args, kwargs)
        tensors = _tensors((args, kwargs))
        if not tensors and func._schema.name in _FACTORIES:
            return self.record(func, args, {**kwargs, "device": torch.device("meta"), "pin_memory": None})
        made_here = all(id(t) in self._made for t in tensors)
        if not self._ignore_detach:
            self._check(func, tensors, made_here)
        if made_here and not (not tensors and torch.device(kwargs.get("device") or "cpu").type == "meta"):
            if any(n >= LARGEST_DIMENSION for n in _found(int, (args, kwargs))):
                raise Refused("it makes numbers for each node or edge out of nothing")
            return self._real(func(*args, **kwargs))  # numbers made of nothing: a constant once it meets an input
        args, kwargs = replaced((args, kwargs), self._constant, Tensor)
        if func in (aten.scatter_reduce.two, aten.scatter_reduce_.two) and args[4] in ("amax", "amin"):
            if kwargs.get("include_self", True):
                raise Refused(f"{func} that includes what it is reduced into")
            return self._extreme(func, args, kwargs)
        name = func._schema.name.split("::")[1]
        if name.endswith("_") and not name.startswith("_"):
            return self._in_place(func, name, args, kwargs)
        if (func._schema.returns and len(func._schema.returns) > 1) or isinstance(
            func._schema.returns[0].type, torch.ListType
        ):
            return self._several(func, args, kwargs)
        out = self.record(func, args, kwargs)
        return self._without_gradient(out)

    def _check(self, func: Any, tensors: list[Tensor], made_here: bool) -> None:
        """Refuse what a record cannot show."""
        if len(self._values) >= MOST_OPS:
            raise Refused(f"it runs more than {MOST_OPS} operations")
        if not torch.is_grad_enabled() and _in_own_derivative():
            raise Refused("it has a derivative of its own, a torch.autograd.Function")
        if not func._schema.is_mutable or made_here:
            return
        if not func._schema.name.endswith("_") or "::_" in func._schema.name:
            raise Refused(f"{func} writes into a tensor")
        if id(tensors[0]) in self._made:
            raise Refused(f"{func} changes a tensor of numbers in place")

    def _without_gradient(self, out: Tensor) -> Tensor:
        """Return `out`, stopped where no gradient is recorded."""
        if torch.is_grad_enabled() or self._ignore_detach:
            return out
        stopped = self._stopped(out)
        shares = stopped is not out and self._storages[_memory(out)] > 1
        return self._aliased(out, stopped) if shares else stopped

    def _detached(self, tensor: Tensor) -> Tensor:
        if has_no_gradient(self.value(tensor)) or not tensor.is_floating_point():
            return tensor
        return self._aliased(tensor, self._stopped(tensor))

    def _aliased(self, one: Tensor, other: Tensor) -> Tensor:
        """Note that two tensors are the same memory to the user, so that neither is changed in place."""
        for tensor in (one, other):
            self._storages[_memory(tensor)] += 1
        return other

    def _real(self, out: Any) -> Any:
        for tensor in _tensors(out):
            self._made.add(id(tensor))
            self._alive.append(tensor)
        return out

    def _stopped(self, tensor: Tensor) -> Tensor:
        return self.record(movers.stop, (tensor,)) if tensor.is_floating_point() else tensor

    def _constant(self, tensor: Tensor) -> Tensor:
        """Return a recorded tensor as it is, and a meta tensor that stands for small numbers made inside the message."""
        if id(tensor) in self._of:
            return tensor
        if id(tensor) not in self._made or tensor.numel() > _MAX_CONSTANT:
            raise Refused("it uses a tensor that is neither an input nor a parameter or buffer of the layer")
        with torch._C.DisableTorchFunction():
            numbers = tuple(tensor.detach().reshape(-1).tolist())
        return self.constant(numbers, torch.empty_like(tensor, device="meta"))

    def constant(self, numbers: tuple[Any, ...], meta: Tensor) -> Tensor:
        """Record numbers, which the meta tensor stands for."""
        value = Value("constant", (numbers,), {}, meta)
        self._values.append(value)
        self._bind(meta, value)
        return meta

    def _random(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is not aten.bernoulli_.float or kwargs.get("generator") is not None or self.seed is None:
            raise Refused(f"{func} draws random numbers")
        like, probability = (*args, 0.5)[:2]  # 0.5 is the default of bernoulli_
        self.streams += 1
        drawn = self.record(movers.uniform, (like, self.seed, self.streams))
        kept = self.record(aten.lt.Scalar, (drawn, probability))
        self._of[id(like)] = self.value(self.record(aten._to_copy.default, (kept,), {"dtype": like.dtype}))
        return like

    def _extreme(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record a row maximum or minimum whose derivative goes to the first edge that attains it."""
        into, dim, index, src, how = args[:5]
        end = end_of(self.value(index))
        if end is None or dim % src.dim() != 0 or not is_zero(self.value(into)):
            raise Refused(f"{func} that is not over the edges of each node")
        rows = into.shape[0]
        if how == "amax":
            out = self.record(movers.rmax, (src, end, rows))
        else:
            flipped = self.record(movers.rmax, (self.record(aten.neg.default, (src,)), end, rows))
            out = self.record(aten.neg.default, (flipped,))
        if not torch.is_grad_enabled():
            out = self._stopped(out)
        if func is not aten.scatter_reduce_.two:
            return out
        self._of[id(into)] = self.value(out)
        return into

    def _in_place(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        target = args[0]
        if self.value(target).func == "input":
            raise Refused(f"{func} changes an input in place")
        if self._storages[_memory(target)] > 1:
            raise Refused(f"{func} changes a tensor of which views exist")
        if not torch.is_grad_enabled() and not self._ignore_detach and not has_no_gradient(self.value(target)):
            raise Refused(f"{func} changes a tensor in place behind the gradient's back")
        packet = getattr(aten, name[:-1], None)
        pure = None if packet is None else getattr(packet, func._overloadname, None)
        if name == "copy_":
            pure = aten.copy.default
        if pure is None:
            raise Refused(f"{func} changes a tensor in place")
        self._of[id(target)] = self.value(self._without_gradient(self.record(pure, args, kwargs)))
        return target

    def _several(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is aten.unbind.int and args[0].shape[(*args, 0)[1]] >= LARGEST_DIMENSION:
            raise Refused("it takes edges or nodes one by one")
        given, named = replaced((args, kwargs), self.value, Tensor)
        out = func(*args, **kwargs)
        whole = Value(func, given, named, out)
        self._values.append(whole)
        for position, part in enumerate(out):
            if isinstance(part, Tensor):
                value = Value(item, (whole, position), {}, part)
                self._values.append(value)
                self._bind(part, value)
        return replaced(out, self._without_gradient, Tensor)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


_APPLY = torch.autograd.Function.apply.__func__.__code__  # type: ignore[attr-defined]


def _in_own_derivative() -> bool:
    """Whether the forward of a `torch.autograd.Function` is running."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is _APPLY:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def has_no_gradient(value: Value) -> bool:
    """Whether `value` is a number or stopped."""
    name = getattr(getattr(value.func, "_schema", None), "name", "")
    return value.func in (movers.stop, "constant") or any(word in name for word in ("zeros", "ones", "full", "empty"))


def item(parts: Any, position: int) -> Any:
    """Return one of the results of an op that has several."""
    return parts[position]


def mentioned(arg: Any) -> list[Value]:
    """Return the values among nested arguments."""
    return _found(Value, arg)


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


def _found(kind: type, arg: Any) -> list[Any]:
    found: list[Any] = []

    def keep(thing: Any) -> Any:
        found.append(thing)
        return thing

    replaced(arg, keep, kind)
    return found


def _tensors(arg: Any) -> list[Tensor]:
    return _found(Tensor, arg)


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


def is_zero(value: Value) -> bool:
    """Whether `value` was made as zeros."""
    name = getattr(getattr(value.func, "_schema", None), "name", "")
    return name in ("aten::new_zeros", "aten::zeros", "aten::zeros_like") or (
        name == "aten::full" and value.args[1] == 0
    )

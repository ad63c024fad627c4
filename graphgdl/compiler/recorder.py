"""Records what runs on meta tensors as a tape of ATen ops, and refuses what would make the record wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from . import movers
from .tape import LARGEST_DIMENSION, Refused, Tape, Value, end_of, found, item, replaced

aten = torch.ops.aten
MOST_OPS = 20_000
_RANGES = {f"aten::{name}" for name in ("arange", "linspace", "logspace", "eye")}
_FACTORIES = {f"aten::{name}" for name in ("zeros", "ones", "full", "empty")}
_MAX_CONSTANT = 4096


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

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
        """Run `func` on meta tensors, and record it."""
        kwargs = kwargs or {}
        given, named = replaced((args, kwargs), self.value, Tensor)
        out = func(*args, **kwargs)
        whole = self._add(Value(func, given, named, out))
        if isinstance(out, Tensor):
            self._bind(out, whole)
        else:
            for position, part in enumerate(out):
                if isinstance(part, Tensor):
                    self._bind(part, self._add(Value(item, (whole, position), {}, part)))
        return out

    def _add(self, value: Value) -> Value:
        self._values.append(value)
        return value

    def _bind(self, tensor: Tensor, value: Value) -> Value:
        self._of[id(tensor)] = value
        self._alive.append(tensor)
        self._storages[_memory(tensor)] = self._storages.get(_memory(tensor), 0) + 1
        return value

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is aten.detach.default and not self.made(args[0]):
            if not self._ignore_detach:
                return self._detached(self._constant(args[0]))
            out = func(*args)
            self._bind(out, self.value(args[0]))
            return out
        if func is aten.lift_fresh.default:
            return self._real(func(*args))
        if func is aten.bernoulli_.float or "rand" in func._schema.name or "dropout" in func._schema.name:
            return self._random(func, args, kwargs)
        tensors = found(Tensor, (args, kwargs))
        if not tensors and func._schema.name in _FACTORIES:
            return self.record(func, args, {**kwargs, "device": torch.device("meta"), "pin_memory": None})
        made_here = all(id(t) in self._made for t in tensors)
        if made_here and (tensors or func._schema.name in _RANGES) and kwargs.get("device") is not None:
            kwargs["device"] = "cpu"  # numbers are kept there, whatever device they are asked for on
        if not self._ignore_detach:
            self._check(func, tensors, made_here)
        if made_here and not (not tensors and torch.device(kwargs.get("device") or "cpu").type == "meta"):
            if any(n >= LARGEST_DIMENSION for n in found(int, (args, kwargs))):
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
        if func is aten.unbind.int and args[0].shape[(*args, 0)[1]] >= LARGEST_DIMENSION:
            raise Refused("it takes edges or nodes one by one")
        return replaced(self.record(func, args, kwargs), self._without_gradient, Tensor)

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
        for tensor in found(Tensor, out):
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
        self._bind(meta, self._add(Value("constant", (numbers,), {}, meta)))
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
        if end is None or dim % src.dim() != 0 or not _is_zero(self.value(into)):
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
        packet = getattr(aten, name[:-1], None)
        pure = None if packet is None else getattr(packet, func._overloadname, None)
        if name == "copy_":
            pure = aten.copy.default
        if pure is None:
            raise Refused(f"{func} changes a tensor in place")
        made = self._without_gradient(self.record(pure, args, kwargs))
        if not torch.is_grad_enabled() and not self._ignore_detach and not has_no_gradient(self.value(target)):
            made = self.record(movers.graft, (target, made))  # autograd does not see the change
        self._of[id(target)] = self.value(made)
        return target


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


def _is_zero(value: Value) -> bool:
    """Whether `value` was made as zeros."""
    name = getattr(getattr(value.func, "_schema", None), "name", "")
    return name in ("aten::new_zeros", "aten::zeros", "aten::zeros_like") or (
        name == "aten::full" and value.args[1] == 0
    )

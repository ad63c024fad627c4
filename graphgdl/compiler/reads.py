"""What a message may read of a tensor besides torch's ops, while it is recorded on tensors without values."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .guards import of_libraries
from .recorder import Recorder, has_no_gradient
from .tape import LARGEST_DIMENSION, SPACES, Refused, Value, mentioned

_DATA = {
    Tensor.tolist: "tolist",
    Tensor.data_ptr: "data_ptr",
    Tensor.__dlpack__: "__dlpack__",
    Tensor.__repr__: "repr",
    Tensor.__format__: "format",
}
_HISTORY = {getattr(Tensor, name).__get__ for name in ("grad_fn", "is_leaf", "grad", "_version", "output_nr")}
_HISTORY |= {Tensor.register_hook, Tensor.retain_grad, Tensor.register_post_accumulate_grad_hook}
_SIZES = {Tensor.size, Tensor.shape.__get__, Tensor.numel, Tensor.nelement}  # type: ignore[attr-defined]
_NUMBERS = {torch.tensor, torch.as_tensor, Tensor.new_tensor}
_NEED = Tensor.requires_grad.__get__  # type: ignore[attr-defined]


class Reads(TorchFunctionMode):
    """Answers what a message asks a tensor: the truth, or `Refused` where a record cannot show what follows from it.

    Args:
        recorder: what records the message.
        needed: the inputs that need a gradient.
        gradients: whether what is computed from them does.
    """

    def __init__(self, recorder: Recorder, needed: set[Value], gradients: bool) -> None:
        super().__init__()
        self._recorder, self._needed, self._gradients = recorder, needed, gradients

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run `func`, which the message calls or reads."""
        if func == _NEED:
            return self._needs_gradient(args[0])
        if (func in _DATA or func in _HISTORY) and not self._recorder.made(args[0]):
            raise Refused(f"it reads data by {_DATA[func]}" if func in _DATA else "it asks how a tensor was computed")
        if func in _NUMBERS and not isinstance(args[-1], Tensor):
            kwargs = {**(kwargs or {}), "device": "cpu"}  # as on another they have no values
        out = func(*args, **(kwargs or {}))
        if func is Tensor.__len__ and out >= LARGEST_DIMENSION:  # len() returns no `Count`
            _refuse("takes len(), not size(0), for")
        return _counted(out) if func in _SIZES else out

    def _needs_gradient(self, tensor: Tensor) -> bool:
        if self._recorder.made(tensor) or tensor.requires_grad:
            return tensor.requires_grad
        value = self._recorder.value(tensor)
        if value.func == "input" or not self._gradients:
            return value in self._needed
        seen, stack = set[Value](), [value]
        while stack:
            value = stack.pop()
            several = not isinstance(value.meta, Tensor)
            if value not in seen and (several or value.meta.is_floating_point()) and not has_no_gradient(value):
                stack += mentioned((value.args, value.kwargs))
            seen.add(value)
        return not self._needed.isdisjoint(seen)


def _counted(size: Any) -> Any:
    if isinstance(size, int):
        return Count(size) if size >= LARGEST_DIMENSION else size
    return type(size)(map(_counted, size))


class Count(int):
    """A number of nodes or edges, or computed from such. A user's code may calculate with it, but not branch on it."""

    __hash__ = int.__hash__


def _compared(name: str) -> Callable[..., Any]:
    compare = getattr(int, name)

    def compared(self: Count, other: Any = 0) -> Any:
        same = isinstance(other, Count) and int.__eq__(self, other)
        positive = any(int.__mod__(self, prime) == 0 for prime in SPACES)  # there are nodes, edges and features
        if isinstance(other, int | float) and not same and not (positive and other <= 0):
            _refuse("branches on")
        return compare(self, other)

    return compared


def _calculated(name: str) -> Callable[..., Any]:
    calculate = getattr(int, name)

    def calculated(self: Count, *args: Any) -> Any:
        found = calculate(self, *args)
        if isinstance(found, float) or name == "__int__":
            _refuse("calculates with")
        return Count(found) if type(found) is int else found

    return calculated


def _refuse(what: str) -> None:
    """Refuse what a user's code does with a size; PyG and torch may."""
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] in _BETWEEN:
        frame = frame.f_back  # type: ignore[assignment]
    if not of_libraries(frame.f_globals["__name__"]):
        raise Refused(f"it {what} the number of nodes or edges")


_BETWEEN = {__name__, "torch.overrides", "torch._tensor"}

for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Count, f"__{_name}__", _compared(f"__{_name}__"))
Count.__bool__ = _compared("__ne__")  # type: ignore[method-assign]
for _name in ("add", "sub", "mul", "floordiv", "mod", "pow", "truediv"):
    for _side in ("", "r"):
        setattr(Count, f"__{_side}{_name}__", _calculated(f"__{_side}{_name}__"))
for _name in ("neg", "abs", "int", "float"):
    setattr(Count, f"__{_name}__", _calculated(f"__{_name}__"))

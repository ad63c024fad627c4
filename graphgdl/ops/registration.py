"""Registration of our ops with torch, and what every CPU kernel needs: rows in, NumPy arrays in, a tensor out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, library

LIBRARY = library.Library("graphgdl", "DEF")

# What the kernels compute in, where it is not the dtype of the tensor itself.
_COMPUTE = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.int8: torch.int64,
    torch.uint8: torch.int64,
    torch.int16: torch.int64,
    torch.int32: torch.int64,
}


def define(
    schema: str,
    cpu: Callable[..., Tensor],
    fake: Callable[..., Tensor],
    backward: Callable[..., Any] | None = None,
    setup: Callable[..., None] | None = None,
) -> Any:
    """Define the op `schema` with its CPU kernel, its fake kernel and, unless it is constant, its derivative.

    `setup(ctx, inputs, output)` saves for `backward(ctx, grad)` what it needs. The autograd rule is our own and thin:
    on a molecule, torch's `register_autograd` costs more than the kernel.
    """
    name = schema.split("(")[0]
    LIBRARY.define(schema)
    LIBRARY.impl(name, cpu, "CPU")
    LIBRARY.impl(name, _no_kernel(name), "CompositeExplicitAutograd")  # any device without a kernel of its own
    library.register_fake(f"graphgdl::{name}", fake, lib=LIBRARY)
    op = getattr(torch.ops.graphgdl, name).default
    if backward is None or setup is None:
        return op
    LIBRARY.impl(name, _autograd_rule(name, op, backward, setup), "Autograd")
    return _transformable(name, op, backward, setup)


def _autograd_rule(
    name: str, op: Any, backward: Callable[..., Any], setup: Callable[..., None]
) -> Callable[..., Tensor]:
    def forward(ctx: Any, *args: Any) -> Tensor:
        with torch._C._AutoDispatchBelowAutograd():
            out = op(*args)
        setup(ctx, args, out)
        return out

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    function: Any = type(name, (torch.autograd.Function,), methods)

    def rule(*args: Any) -> Tensor:
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*args):
            return function.apply(*args)
        with torch._C._AutoDispatchBelowAutograd():
            return op(*args)

    return rule


def _transformable(
    name: str, op: Any, backward: Callable[..., Any], setup: Callable[..., None]
) -> Callable[..., Tensor]:
    """Return `op`, in the form that torch.func asks for while one of its transforms is active."""
    methods = {"forward": staticmethod(op), "setup_context": staticmethod(setup), "backward": staticmethod(backward)}
    function: Any = type(name, (torch.autograd.Function,), methods)

    def call(*args: Any) -> Tensor:
        if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
            return function.apply(*args)
        return op(*args)

    return call


def _no_kernel(name: str) -> Callable[..., Tensor]:
    def missing(*args: Any) -> Tensor:
        devices = sorted({a.device.type for a in args if isinstance(a, Tensor)})
        raise NotImplementedError(
            f"`graphgdl.ops` has no kernel of `{name}` for the device(s) {', '.join(devices)}; "
            "move every tensor to the CPU, or use the layer's lowering 'message'"
        )

    return missing


@cache
def kernel(module: str, name: str) -> Any:
    """Return a CPU kernel; the first call imports what compiles it."""
    return getattr(import_module(f".cpu.{module}", __package__), name)


def host(x: Tensor) -> Any:
    """Return the values of `x` as a contiguous NumPy array, half precision as float32 and short integers as int64."""
    dtype = _COMPUTE.get(x.dtype)
    x = x.detach() if dtype is None else x.detach().to(dtype)
    return x.contiguous().numpy()


def allocate(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return an empty tensor for the result of a kernel on tensors of `dtype`."""
    return torch.empty(shape, dtype=_COMPUTE.get(dtype, dtype))


def finish(out: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the result in the dtype of the arguments."""
    return out if out.dtype == dtype else out.to(dtype)

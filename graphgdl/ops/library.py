"""Registration of our ops with torch, and what every CPU kernel needs: rows in, NumPy arrays in, a tensor out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LIBRARY = torch.library.Library("graphgdl", "DEF")


def define(
    schema: str,
    cpu: Callable[..., Tensor],
    fake: Callable[..., Tensor],
    backward: Callable[..., Any] | None = None,
    setup_context: Callable[..., None] | None = None,
) -> Any:
    """Define the op `schema` with its CPU kernel, its fake kernel and, unless it is constant, its derivative."""
    name = schema.split("(")[0]
    LIBRARY.define(schema)
    LIBRARY.impl(name, cpu, "CPU")
    LIBRARY.impl(name, _no_kernel(name), "CompositeExplicitAutograd")  # any device without a kernel of its own
    torch.library.register_fake(f"graphgdl::{name}", fake, lib=LIBRARY)
    if backward is not None:
        torch.library.register_autograd(f"graphgdl::{name}", backward, setup_context=setup_context, lib=LIBRARY)
    return getattr(torch.ops.graphgdl, name).default


def _no_kernel(name: str) -> Callable[..., Tensor]:
    def missing(*args: Any) -> Tensor:
        devices = sorted({a.device.type for a in args if isinstance(a, Tensor)})
        raise NotImplementedError(
            f"`graphgdl.ops` has no kernel of `{name}` for the device(s) {', '.join(devices)}; "
            "move every tensor to the CPU, or use the layer's lowering 'message'"
        )

    return missing


def host(x: Tensor) -> Any:
    """Return the values of `x` as a contiguous NumPy array; half precision is widened to float32."""
    x = x.detach()
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    elif x.dtype in (torch.int8, torch.uint8, torch.int16, torch.int32):
        x = x.long()
    return x.contiguous().numpy()


def empty_like_host(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return an empty tensor of `shape` in the dtype that `host(x)` has."""
    dtype = x.dtype
    if dtype in (torch.float16, torch.bfloat16):
        dtype = torch.float32
    elif not dtype.is_floating_point:
        dtype = torch.int64
    return torch.empty(shape, dtype=dtype)

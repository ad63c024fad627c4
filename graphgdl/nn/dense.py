"""Linear maps of the features of many nodes: bias, or what they are added to, in the same pass over memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch_geometric.nn.dense.linear import Linear

from graphgdl.ops.linear import KINDS, linear

WORK = 50_000_000  # multiply-adds from which our product is the faster one
SIZES = range(32, 257)  # of both sides of the matrix


def dense(module: nn.Module, x: Tensor, onto: Tensor | None = None) -> Tensor:
    """Return `module(x)`, or `onto + module(x)`.

    Args:
        module: any module; a linear map, or a `Sequential` with some, runs faster.
        x: (n, c) features.
        onto: None, or (n, out_channels).
    """
    if _hooked(module):
        out = module(x)
    elif type(module) in (nn.Linear, Linear):
        large = _large(x, module.weight)
        if onto is not None and module.bias is None and x.dim() == onto.dim() == 2 and x.dtype == onto.dtype:
            return linear(x, module.weight, onto) if large else torch.addmm(onto, x, module.weight.t())
        out = linear(x, module.weight, module.bias) if large else module(x)
    elif type(module) is nn.Sequential:
        out = x
        for part in module:
            out = dense(part, out)
    else:
        out = module(x)
    return out if onto is None else onto + out


def _hooked(module: nn.Module) -> bool:
    own = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(own) or "forward" in module.__dict__ or _has_any_global_hook()


def _large(x: Tensor, weight: Any) -> bool:
    """Whether our product takes it, and is worth it."""
    if torch.compiler.is_compiling() or type(x) is not Tensor or x.dim() != 2 or x.dtype not in KINDS:
        return False
    if not (weight.size(0) in SIZES and weight.size(1) in SIZES and x.size(0) * weight.numel() >= WORK):
        return False
    if x.device.type != "cpu" or weight.device != x.device or weight.dtype != x.dtype or x.size(1) != weight.size(1):
        return False
    transformed = torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
    return not transformed and not torch._C._len_torch_function_stack() and not torch.is_autocast_enabled("cpu")

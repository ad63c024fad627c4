"""Linear maps of the features of many nodes: bias, or what they are added to, in the same pass over memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
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
    if type(module) in (nn.Linear, Linear) and not _hooked(module):
        weight: Any = module.weight
        bias: Any = module.bias
        product = linear if _large(x, weight) else functional.linear
        if onto is not None and bias is None and onto.dtype == x.dtype and onto.shape == (len(x), len(weight)):
            return linear(x, weight, onto) if product is linear else torch.addmm(onto, x, weight.t())
        out = product(x, weight, bias)
    elif type(module) is nn.Sequential and not _hooked(module):
        out = x
        for part in module:
            out = dense(part, out)
    else:
        out = module(x)
    return out if onto is None else onto + out


def _hooked(module: nn.Module) -> bool:
    own = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(own) or "forward" in module.__dict__ or _has_any_global_hook()


def _large(x: Tensor, weight: Tensor) -> bool:
    """Whether our product takes it, and is worth it."""
    if torch.compiler.is_compiling() or x.numel() * weight.size(0) < WORK or type(x) is not Tensor or x.dim() != 2:
        return False
    if not (weight.size(0) in SIZES and weight.size(1) in SIZES and x.size(1) == weight.size(1) and x.dtype in KINDS):
        return False
    if x.device.type != "cpu" or weight.device != x.device or weight.dtype != x.dtype:
        return False
    transformed = torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
    return not transformed and not torch._C._len_torch_function_stack() and not torch.is_autocast_enabled("cpu")

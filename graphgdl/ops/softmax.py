r"""Softmax over the edges of each segment.

.. math:: s_e = \exp(z_e - m_i) \Big/ \sum_{e' \in E(i)} \exp(z_{e'} - m_i), \qquad
   \bar z_e = s_e \Big(\bar s_e - \sum_{e' \in E(i)} s_{e'} \bar s_{e'}\Big)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .cpu.pool import run
from .registration import LIBRARY, allocate, define, finish, host, kernel
from .segment_sum import segment_expand, segment_rows, segment_sum

# Sums of products that one exponential is worth, for the choice between one thread and several.
_EXP_WORK = 8


def _cpu(src: Tensor, index: Tensor, num_segments: int) -> Tensor:
    rows = segment_rows(index, num_segments)
    out = allocate(tuple(src.shape), src.dtype)
    if out.numel():
        channels = math.prod(src.shape[1:])
        result, values = out.numpy().reshape(-1, channels), host(src).reshape(-1, channels)
        run(kernel("softmax", "segment_softmax"), rows, _EXP_WORK * src.numel(), result, values, rows.ptr, rows.edge)
    return finish(out, src.dtype)


def _fake(src: Tensor, index: Tensor, num_segments: int) -> Tensor:
    return src.new_empty(src.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, index, ctx.num_segments = inputs
    ctx.save_for_backward(output, index)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    out, index = ctx.saved_tensors
    product = grad * out
    total = segment_expand(segment_sum(product, index, ctx.num_segments, False), index, False)
    return torch.addcmul(product, out, total, value=-1), None, None


segment_softmax = define(
    "segment_softmax(Tensor src, Tensor index, SymInt num_segments) -> Tensor", _cpu, _fake, _backward, _setup
)


def _autocast_rule(device: str) -> Callable[[Tensor, Tensor, int], Tensor]:
    def rule(src: Tensor, index: Tensor, num_segments: int) -> Tensor:
        if src.dtype in (torch.float16, torch.bfloat16):  # as torch.softmax does
            src = src.float()
        with torch.autocast(device, enabled=False):
            return segment_softmax(src, index, num_segments)

    return rule


LIBRARY.impl("segment_softmax", _autocast_rule("cpu"), "AutocastCPU")
LIBRARY.impl("segment_softmax", _autocast_rule("cuda"), "AutocastCUDA")

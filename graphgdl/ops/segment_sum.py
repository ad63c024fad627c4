"""Sums over the edges of each segment, the expansion of a row to its edges (its transpose), and the degree."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .cpu.pool import run
from .library import define, empty_like_host, host
from .rows import Rows, plan


def segment_rows(index: Tensor, num_segments: int) -> Rows:
    """Return the rows that `index` (e,), or the destinations of an edge_index (2, e), gives."""
    known, axis = plan(index, "edge_index" if index.dim() == 2 else "index"), index.dim() - 1
    known.check(axis, num_segments)
    return known.rows(index, axis, num_segments)


def _segment_sum_cpu(src: Tensor, index: Tensor, num_segments: int) -> Tensor:
    from .cpu import sums

    rows = segment_rows(index, num_segments)
    out = empty_like_host(src, (num_segments, *src.shape[1:]))
    if out.numel():
        channels = math.prod(src.shape[1:])
        result, values = out.numpy().reshape(-1, channels), host(src).reshape(-1, channels)
        run(sums.segment_sum, rows, src.numel(), result, values, rows.ptr, rows.edge)
    return out.to(src.dtype)


def _segment_sum_fake(src: Tensor, index: Tensor, num_segments: int) -> Tensor:
    return src.new_empty((num_segments, *src.shape[1:]))


def _keep_index(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.num_segments = inputs[0].size(0)
    ctx.save_for_backward(inputs[1])


def _segment_sum_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return segment_expand(grad, *ctx.saved_tensors), None, None


def _segment_expand_cpu(y: Tensor, index: Tensor) -> Tensor:
    axis = index.dim() - 1
    plan(index, "edge_index" if axis else "index").check(axis, y.size(0))
    return y.index_select(0, index[1] if axis else index)


def _segment_expand_fake(y: Tensor, index: Tensor) -> Tensor:
    return y.new_empty((index.size(-1), *y.shape[1:]))


def _segment_expand_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return segment_sum(grad, *ctx.saved_tensors, ctx.num_segments), None


def _segment_count_cpu(index: Tensor, num_segments: int) -> Tensor:
    ptr = torch.from_numpy(segment_rows(index, num_segments).ptr)
    return ptr[1:] - ptr[:-1]


def _segment_count_fake(index: Tensor, num_segments: int) -> Tensor:
    return index.new_empty((num_segments,), dtype=torch.int64)


segment_sum = define(
    "segment_sum(Tensor src, Tensor index, SymInt num_segments) -> Tensor",
    _segment_sum_cpu,
    _segment_sum_fake,
    _segment_sum_backward,
    _keep_index,
)
segment_expand = define(
    "segment_expand(Tensor y, Tensor index) -> Tensor",
    _segment_expand_cpu,
    _segment_expand_fake,
    _segment_expand_backward,
    _keep_index,
)
segment_count = define(
    "segment_count(Tensor index, SymInt num_segments) -> Tensor", _segment_count_cpu, _segment_count_fake
)

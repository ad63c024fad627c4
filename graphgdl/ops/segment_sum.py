"""Sums over the edges of each segment, the expansion of a row to its edges (its transpose), and the mean."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .cpu.pool import run
from .registration import allocate, define, finish, host, kernel
from .rows import Plan, Rows, plan


def checked_plan(index: Tensor, num_segments: int, source: bool) -> tuple[Plan, int]:
    """Return the plan of `index`, and which of its rows are the segments: the destinations, or the sources."""
    pairs = index.dim() == 2
    known, axis = plan(index, "edge_index" if pairs else "index"), int(pairs and not source)
    known.check(axis, num_segments)
    return known, axis


def segment_rows(index: Tensor, num_segments: int, source: bool = False) -> Rows:
    """Return the rows that `index` (e,), or one end of an edge_index (2, e), gives."""
    known, axis = checked_plan(index, num_segments, source)
    return known.rows(axis, num_segments)


def reduce_segments(op: str, out: Tensor, src: Tensor, index: Tensor, source: bool = False) -> None:
    """Write the reduction `op` of each segment's entries into `out` (see `cpu.reductions.gather`)."""
    rows = segment_rows(index, out.size(0), source)
    if out.numel():
        flat = (-1, math.prod(src.shape[1:]))
        args = (op, out.numpy().reshape(flat), host(src).reshape(flat), rows.ptr, rows.edge)
        run(kernel("reductions", "segment"), rows, src.numel(), *args)


def _segment_sum_cpu(src: Tensor, index: Tensor, num_segments: int, source: bool) -> Tensor:
    out = allocate((num_segments, *src.shape[1:]), src.dtype)
    reduce_segments("sum", out, src, index, source)
    return finish(out, src.dtype)


def _segment_sum_fake(src: Tensor, index: Tensor, num_segments: int, source: bool) -> Tensor:
    return src.new_empty((num_segments, *src.shape[1:]))


def _keep_index(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.num_segments, ctx.source = inputs[0].size(0), inputs[-1]
    ctx.save_for_backward(inputs[1])


def _segment_sum_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return segment_expand(grad, *ctx.saved_tensors, ctx.source), None, None, None


def _segment_expand_cpu(y: Tensor, index: Tensor, source: bool) -> Tensor:
    _, axis = checked_plan(index, y.size(0), source)
    return y.index_select(0, index[axis] if index.dim() == 2 else index)


def _segment_expand_fake(y: Tensor, index: Tensor, source: bool) -> Tensor:
    return y.new_empty((index.size(-1), *y.shape[1:]))


def _segment_expand_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return segment_sum(grad, *ctx.saved_tensors, ctx.num_segments, ctx.source), None, None


def _segment_divisor_cpu(index: Tensor, num_segments: int, dtype: torch.dtype) -> Tensor:
    ptr = torch.from_numpy(segment_rows(index, num_segments).ptr)
    return torch.diff(ptr).clamp_(min=1).to(dtype)


def _segment_divisor_fake(index: Tensor, num_segments: int, dtype: torch.dtype) -> Tensor:
    return index.new_empty((num_segments,), dtype=dtype)


segment_sum = define(
    "segment_sum(Tensor src, Tensor index, SymInt num_segments, bool source) -> Tensor",
    _segment_sum_cpu,
    _segment_sum_fake,
    _segment_sum_backward,
    _keep_index,
)
segment_expand = define(
    "segment_expand(Tensor y, Tensor index, bool source) -> Tensor",
    _segment_expand_cpu,
    _segment_expand_fake,
    _segment_expand_backward,
    _keep_index,
)
segment_divisor = define(
    "segment_divisor(Tensor index, SymInt num_segments, ScalarType dtype) -> Tensor",
    _segment_divisor_cpu,
    _segment_divisor_fake,
)


def divide_by_count(total: Tensor, index: Tensor, num_segments: int) -> Tensor:
    """Turn the sum over each segment (n, ...) into the mean; an empty segment keeps its 0."""
    count = segment_divisor(index, num_segments, total.dtype)
    return total / count.view(-1, *[1] * (total.dim() - 1))

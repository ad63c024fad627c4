r"""The weighted sum over neighbours, its transpose, and the dot product at the ends of each edge.

The three are each other's derivatives, so together they can be differentiated as often as one likes:

.. math:: y_i = \sum_{(j, i) \in E} w_{ji} x_j, \qquad \bar x_j = \sum_{(j, i) \in E} w_{ji} \bar y_i, \qquad
   \bar w_{ji} = \langle x_j, \bar y_i \rangle
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from .cpu.pool import run
from .registration import allocate, define, finish, host, kernel
from .rows import plan


def reduce_neighbours(
    op: str, out: Tensor, x: Tensor, weight: Tensor | None, edge_index: Tensor, transpose: bool = False
) -> None:
    """Write the reduction `op` of each row's weighted neighbours into `out` (see `cpu.reductions.gather`)."""
    known, axis = plan(edge_index), 0 if transpose else 1
    known.check(1 - axis, x.size(0))
    known.check(axis, out.size(0))
    rows = known.rows(axis, out.size(0))
    if out.numel():
        channels = math.prod(x.shape[1:])
        heads = 1 if weight is None or weight.dim() == 1 else weight.size(1)
        shape = (-1, heads, channels // heads)
        w = None if weight is None else host(weight).reshape(-1, heads)
        args = (op, out.numpy().reshape(shape), host(x).reshape(shape), w, rows.ptr, rows.col, rows.edge)
        run(kernel("reductions", "gather"), rows, edge_index.size(1) * channels, *args)


def _weighted_sum_cpu(x: Tensor, weight: Tensor | None, edge_index: Tensor, num_rows: int, transpose: bool) -> Tensor:
    out = allocate((num_rows, *x.shape[1:]), x.dtype)
    reduce_neighbours("sum", out, x, weight, edge_index, transpose)
    return finish(out, x.dtype)


def _weighted_sum_fake(x: Tensor, weight: Tensor | None, edge_index: Tensor, num_rows: int, transpose: bool) -> Tensor:
    return x.new_empty((num_rows, *x.shape[1:]))


def _weighted_sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, edge_index, _, transpose = inputs
    ctx.num_rows, ctx.transpose = x.size(0), transpose
    keep_x = x if ctx.needs_input_grad[1] else None
    ctx.save_for_backward(keep_x, weight, edge_index)


def _weighted_sum_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, edge_index = ctx.saved_tensors
    grad_x = grad_weight = None
    if ctx.needs_input_grad[0]:
        grad_x = weighted_sum(grad, weight, edge_index, ctx.num_rows, not ctx.transpose)
    if ctx.needs_input_grad[1]:
        grad_weight = edge_dot(grad, x, edge_index) if ctx.transpose else edge_dot(x, grad, edge_index)
    return grad_x, grad_weight, None, None, None


def _edge_dot_cpu(x: Tensor, y: Tensor, edge_index: Tensor) -> Tensor:
    known = plan(edge_index)
    known.check(0, x.size(0))
    known.check(1, y.size(0))
    rows = known.rows(1, y.size(0))
    out = allocate((edge_index.size(1), *x.shape[1:-1]), x.dtype)
    if out.numel():
        heads, channels = (1, *x.shape[1:]) if x.dim() == 2 else x.shape[1:]
        left, right = host(x).reshape(-1, heads, channels), host(y).reshape(-1, heads, channels)
        result = out.numpy().reshape(-1, heads)
        run(
            kernel("reductions", "edge_dot"),
            rows,
            out.numel() * channels,
            result,
            left,
            right,
            rows.ptr,
            rows.col,
            rows.edge,
        )
    return finish(out, x.dtype)


def _edge_dot_fake(x: Tensor, y: Tensor, edge_index: Tensor) -> Tensor:
    return x.new_empty((edge_index.size(1), *x.shape[1:-1]))


def _edge_dot_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, y, edge_index = inputs
    ctx.num_src, ctx.num_dst = x.size(0), y.size(0)
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, y if ctx.needs_input_grad[0] else None, edge_index)


def _edge_dot_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, y, edge_index = ctx.saved_tensors
    grad_x = weighted_sum(y, grad, edge_index, ctx.num_src, True) if ctx.needs_input_grad[0] else None
    grad_y = weighted_sum(x, grad, edge_index, ctx.num_dst, False) if ctx.needs_input_grad[1] else None
    return grad_x, grad_y, None


weighted_sum = define(
    "weighted_sum(Tensor x, Tensor? weight, Tensor edge_index, SymInt num_rows, bool transpose) -> Tensor",
    _weighted_sum_cpu,
    _weighted_sum_fake,
    _weighted_sum_backward,
    _weighted_sum_setup,
)
edge_dot = define(
    "edge_dot(Tensor x, Tensor y, Tensor edge_index) -> Tensor",
    _edge_dot_cpu,
    _edge_dot_fake,
    _edge_dot_backward,
    _edge_dot_setup,
)

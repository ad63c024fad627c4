"""Where each row has its greatest or least value. The ops return edge ids; the values are read with torch's own ops.

Ties go to the first edge in the caller's order, and the whole gradient with them. A row without edges has id -1 and
value 0. The tensors read and written hold one entry for a row and channel, never one for an edge and channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .cpu.pool import run
from .registration import define, host, kernel
from .rows import plan
from .segment_sum import segment_rows, segment_sum
from .weighted_sum import weighted_sum


def _gather_arg_cpu(x: Tensor, weight: Tensor | None, edge_index: Tensor, num_dst: int, largest: bool) -> Tensor:
    known = plan(edge_index)
    known.check(0, x.size(0))
    known.check(1, num_dst)
    rows = known.rows(1, num_dst)
    arg = torch.empty((num_dst, *x.shape[1:]), dtype=torch.int64)
    if arg.numel():
        channels = math.prod(x.shape[1:])
        work = edge_index.size(1) * channels
        values, result = host(x), arg.numpy()
        edges = (rows.ptr, rows.col, rows.edge, largest)
        if weight is None:
            run(
                kernel("extremes", "gather_arg"),
                rows,
                work,
                result.reshape(-1, channels),
                values.reshape(-1, channels),
                *edges,
            )
        else:
            heads = 1 if weight.dim() == 1 else weight.size(1)
            shape = (-1, heads, x.size(-1))
            w = host(weight).reshape(weight.size(0), heads)
            run(
                kernel("extremes", "weighted_gather_arg"),
                rows,
                work,
                result.reshape(shape),
                values.reshape(shape),
                w,
                *edges,
            )
    return arg


def _gather_arg_fake(x: Tensor, weight: Tensor | None, edge_index: Tensor, num_dst: int, largest: bool) -> Tensor:
    return x.new_empty((num_dst, *x.shape[1:]), dtype=torch.int64)


def _segment_arg_cpu(src: Tensor, index: Tensor, num_segments: int, largest: bool) -> Tensor:
    rows = segment_rows(index, num_segments)
    arg = torch.empty((num_segments, *src.shape[1:]), dtype=torch.int64)
    if arg.numel():
        channels = math.prod(src.shape[1:])
        result, values = arg.numpy().reshape(-1, channels), host(src).reshape(-1, channels)
        run(kernel("extremes", "segment_arg"), rows, src.numel(), result, values, rows.ptr, rows.edge, largest)
    return arg


def _segment_arg_fake(src: Tensor, index: Tensor, num_segments: int, largest: bool) -> Tensor:
    return src.new_empty((num_segments, *src.shape[1:]), dtype=torch.int64)


gather_arg = define(
    "gather_arg(Tensor x, Tensor? weight, Tensor edge_index, SymInt num_dst, bool largest) -> Tensor",
    _gather_arg_cpu,
    _gather_arg_fake,
)
segment_arg = define(
    "segment_arg(Tensor src, Tensor index, SymInt num_segments, bool largest) -> Tensor",
    _segment_arg_cpu,
    _segment_arg_fake,
)


def gather_extreme(x: Tensor, weight: Tensor | None, edge_index: Tensor, num_dst: int, largest: bool) -> Tensor:
    """Return the greatest (or least) weighted neighbour of each row, channel by channel."""
    if edge_index.size(1) == 0:
        return weighted_sum(x, weight, edge_index, num_dst, False)
    detached = None if weight is None else weight.detach()
    arg = gather_arg(x.detach(), detached, edge_index, num_dst, largest)
    edge = arg.clamp(min=0)
    node = edge_index[0].index_select(0, edge.reshape(-1)).view_as(edge)
    value = x.gather(0, node.long())
    if weight is not None:
        heads = 1 if weight.dim() == 1 else weight.size(1)
        if heads > 1:
            edge = edge * heads + torch.arange(heads, device=edge.device).unsqueeze(-1)
        value = value * weight.reshape(-1).index_select(0, edge.reshape(-1)).view_as(value)
    return value.masked_fill(arg < 0, 0)


def segment_extreme(src: Tensor, index: Tensor, num_segments: int, largest: bool) -> Tensor:
    """Return the greatest (or least) entry of each segment, channel by channel."""
    if src.size(0) == 0:
        return segment_sum(src, index, num_segments, False)
    arg = segment_arg(src.detach(), index, num_segments, largest)
    return src.gather(0, arg.clamp(min=0)).masked_fill(arg < 0, 0)

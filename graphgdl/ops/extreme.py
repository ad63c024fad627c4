"""Where each row has its greatest or least value. The ops return edge ids; the values are read with torch's own ops.

Ties go to the first edge in the caller's order, and the whole gradient with them. A row without edges has id -1 and
value 0. The tensors read and written hold one entry for a row and channel, never one for an edge and channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .registration import define
from .segment_sum import reduce_segments, segment_sum
from .weighted_sum import reduce_neighbours, weighted_sum


def _gather_arg_cpu(x: Tensor, weight: Tensor | None, edge_index: Tensor, num_dst: int, largest: bool) -> Tensor:
    arg = torch.empty((num_dst, *x.shape[1:]), dtype=torch.int64)
    reduce_neighbours("greatest" if largest else "least", arg, x, weight, edge_index)
    return arg


def _gather_arg_fake(x: Tensor, weight: Tensor | None, edge_index: Tensor, num_dst: int, largest: bool) -> Tensor:
    return x.new_empty((num_dst, *x.shape[1:]), dtype=torch.int64)


def _segment_arg_cpu(src: Tensor, index: Tensor, num_segments: int, largest: bool) -> Tensor:
    arg = torch.empty((num_segments, *src.shape[1:]), dtype=torch.int64)
    reduce_segments("greatest" if largest else "least", arg, src, index)
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
    value = _read(x, node)
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
    return _read(src, arg.clamp(min=0)).masked_fill(arg < 0, 0)


def _read(x: Tensor, row: Tensor) -> Tensor:
    """Return x[row[i, b], b]; `gather` does the same at twice the time."""
    channels = math.prod(x.shape[1:])
    return x.take(row * channels + torch.arange(channels, device=x.device).view(x.shape[1:]))

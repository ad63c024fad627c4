"""The definition of every op as a plain loop over edges: slow, differentiable, sharing nothing with the kernels."""

from __future__ import annotations

import torch
from torch import Tensor


def gather_scatter(
    x: Tensor, edge_index: Tensor, num_dst: int | None = None, weight: Tensor | None = None, reduce: str = "sum"
) -> Tensor:
    """Reduce `weight * x[src]` over the edges of each destination, one edge after another."""
    messages = []
    for e, j in enumerate(edge_index[0].tolist()):
        message = x[j]
        if weight is not None:
            w = weight[e]
            while w.dim() < message.dim():
                w = w.unsqueeze(-1)
            message = w * message
        messages.append(message)
    return _reduce(messages, edge_index[1].tolist(), x.size(0) if num_dst is None else num_dst, x[:0].sum(0), reduce)


def edge_dot(x: Tensor, y: Tensor, edge_index: Tensor) -> Tensor:
    """Dot the two ends of each edge, one edge after another."""
    products = [(x[j] * y[i]).sum(-1) for j, i in edge_index.t().tolist()]
    return torch.stack(products) if products else (x[:0] * y[:0]).sum(-1)


def segment_reduce(src: Tensor, index: Tensor, num_segments: int, reduce: str = "sum") -> Tensor:
    """Reduce the entries of each segment, one entry after another."""
    return _reduce(list(src), _segments(index), num_segments, src[:0].sum(0), reduce)


def segment_softmax(src: Tensor, index: Tensor, num_segments: int) -> Tensor:
    """Take the softmax of each segment by itself."""
    segments = _segments(index)
    out: list[Tensor | None] = [None] * len(segments)
    for i in range(num_segments):
        members = [e for e, segment in enumerate(segments) if segment == i]
        if members:
            share = torch.stack([src[e] for e in members]).softmax(0)
            for position, e in enumerate(members):
                out[e] = share[position]
    return torch.stack([row for row in out if row is not None]) if out else src.clone()


def segment_expand(y: Tensor, index: Tensor, end: str = "dst") -> Tensor:
    """Give each entry the value of its segment, one entry after another."""
    segments = index[0].tolist() if end == "src" else _segments(index)
    return torch.stack([y[i] for i in segments]) if segments else y[:0]


def _segments(index: Tensor) -> list[int]:
    return (index[1] if index.dim() == 2 else index).tolist()


def _reduce(entries: list[Tensor], segments: list[int], count: int, zero: Tensor, reduce: str) -> Tensor:
    rows: list[list[Tensor]] = [[] for _ in range(count)]
    for entry, segment in zip(entries, segments, strict=True):
        rows[segment].append(entry)
    out = []
    for members in rows:
        total = members[0] if members else zero
        for entry in members[1:]:
            if reduce in ("sum", "mean"):
                total = total + entry
            else:  # of equal values the first stays; nan, once there, too
                better = (entry > total if reduce == "max" else entry < total) | entry.isnan()
                total = torch.where(better & ~total.isnan(), entry, total)
        out.append(total / len(members) if reduce == "mean" and members else total)
    return torch.stack(out) if out else zero.unsqueeze(0)[:0]

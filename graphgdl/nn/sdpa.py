r"""The lowering 'sdpa': attention over whole sets by torch's `scaled_dot_product_attention`; no edge is ever built.

The sets of a batch are sorted by size, and each size is one call on (sets, heads, elements, channels): nothing is padded,
nothing masked. Torch's fused kernels have no second derivative; under `create_graph=True` the backward pass recomputes
the weights with differentiable operations, and otherwise it is torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from graphgdl.domains.bipartite import CompleteBipartite
from graphgdl.domains.structure import Complete
from graphgdl.nn.lowering import Call, Lowered
from graphgdl.nn.memo import remembered
from graphgdl.nn.on_structure import why_not_sets


class Blocks(NamedTuple):
    """Sets of equal sizes side by side: `shapes` (sets, targets, sources) of each block; how rows get there, and back."""

    shapes: tuple[tuple[int, int, int], ...]
    targets: Tensor | None
    sources: Tensor | None
    back: Tensor | None


class Sdpa:
    """Attention on complete graphs, set by set."""

    def prepare(self, layer: Lowered, call: Call) -> Callable[[], Tensor] | str:
        """Return what runs the attention, or the reason why the graph is not whole sets."""
        graph: Any = call.edges
        reason = why_not_sets(layer, graph.dst if isinstance(graph, CompleteBipartite) else graph)
        if reason is not None:
            return reason
        dropout = float(layer.dropout) if layer.training else 0.0
        query, key, value = (call.inputs[name] for name in ("query", "key", "value"))
        return partial(attention_over_sets, query, key, value, graph, dropout)


def attention_over_sets(
    query: Tensor, key: Tensor, value: Tensor, structure: Complete | CompleteBipartite, dropout: float = 0.0
) -> Tensor:
    """Return softmax(query key^T / sqrt(c)) value within each set, differentiable any number of times.

    Args:
        query: (n, h, c).
        key, value: (n, h, c), or (m, h, c) of the sources of a `CompleteBipartite`.
        structure: the sets.
        dropout: share of the weights dropped.

    Example:
        >>> x = torch.rand(5, 1, 2, dtype=torch.float64)
        >>> out = attention_over_sets(x, x, x, Complete([0, 2, 5]))
        >>> weights = (x[:2, 0] @ x[:2, 0].t() / 2**0.5).softmax(dim=1)
        >>> assert torch.allclose(out[:2, 0], weights @ x[:2, 0])
    """
    blocks = blocks_of(structure)
    inputs = (query, key, value)
    if dropout > 0.0 or torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
        return _blockwise(partial(_formula, dropout=dropout), blocks, *inputs)
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and any(t.requires_grad for t in inputs)):
        return _blockwise(F.scaled_dot_product_attention, blocks, *inputs)
    return _Attention.apply(blocks, *inputs)


def blocks_of(structure: Complete | CompleteBipartite) -> Blocks:
    """Return the sets sorted by size; found once for each structure."""
    if isinstance(structure, CompleteBipartite):
        src, dst = structure.src.ptr, structure.dst.ptr  # both its own: the entry dies with it
        return remembered(dst, "blocks between", lambda: _sort_sets(dst, src))
    return remembered(structure.ptr, "blocks", lambda: _sort_sets(structure.ptr, structure.ptr))


def _sort_sets(dst: Tensor, src: Tensor) -> Blocks:
    sizes = torch.stack([dst.diff(), src.diff()], dim=1)
    key = sizes[:, 0] * (src[-1] + 1) + sizes[:, 1]
    order = key.argsort(stable=True)
    found, counts = sizes[order].unique_consecutive(dim=0, return_counts=True)
    shapes = tuple((sets, *pair) for sets, pair in zip(counts.tolist(), found.tolist()))
    shapes = shapes or ((0, 0, 0),)  # no set: one empty block
    if bool((key.diff() >= 0).all()):
        return Blocks(shapes, None, None, None)
    targets = _rows(dst, order)
    return Blocks(shapes, targets, targets if src is dst else _rows(src, order), targets.argsort())


def _rows(ptr: Tensor, order: Tensor) -> Tensor:
    """Return the rows of the sets in this order."""
    sizes, n = ptr.diff()[order], int(ptr[-1])
    starts = torch.stack([ptr[:-1][order], sizes.cumsum(0) - sizes])
    old, new = torch.repeat_interleave(starts, sizes, dim=1, output_size=n)
    return torch.arange(n, device=ptr.device) - new + old


def _blockwise(attend: Callable[..., Tensor], blocks: Blocks, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Apply `attend` to each block as (sets, heads, elements, channels)."""
    if blocks.targets is not None:
        query = query.index_select(0, blocks.targets)
    if blocks.sources is not None:
        key, value = key.index_select(0, blocks.sources), value.index_select(0, blocks.sources)
    at, of = [s * t for s, t, _ in blocks.shapes], [s * m for s, _, m in blocks.shapes]
    outs = []
    for (sets, t, m), q, k, v in zip(blocks.shapes, query.split(at), key.split(of), value.split(of)):
        parts = (rows.unflatten(0, (sets, size)).transpose(1, 2) for rows, size in ((q, t), (k, m), (v, m)))
        outs.append(attend(*parts).transpose(1, 2).flatten(0, 1))
    out = outs[0] if len(outs) == 1 else torch.cat(outs)
    return out if blocks.back is None else out.index_select(0, blocks.back)


def _formula(query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0) -> Tensor:
    scores = (query * query.size(-1) ** -0.5) @ key.transpose(-1, -2)
    return F.dropout(scores.softmax(dim=-1), dropout) @ value


class _Attention(torch.autograd.Function):
    """Torch's attention forward and backward; where the backward pass is to be differentiated, the formula's."""

    @staticmethod
    def forward(ctx: Any, blocks: Blocks, *inputs: Tensor) -> Tensor:
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_(t.requires_grad) for t in inputs]
            out = _blockwise(F.scaled_dot_product_attention, blocks, *leaves)
        ctx.save_for_backward(*inputs, *leaves, out)  # the inner graph too is freed after the backward pass
        ctx.blocks = blocks
        return out.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        twice = torch.is_grad_enabled()
        leaves, out = ctx.saved_tensors[3:6], ctx.saved_tensors[6]
        if twice:
            leaves = ctx.saved_tensors[:3]
            out = _blockwise(_formula, ctx.blocks, *leaves)
        wanted = [t for t in leaves if t.requires_grad]
        found = iter(torch.autograd.grad(out, wanted, grad, create_graph=twice, retain_graph=True))
        return (None, *(next(found) if t.requires_grad else None for t in leaves))

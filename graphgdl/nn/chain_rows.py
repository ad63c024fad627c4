"""Nodes of chains in the order in which a recurrence reaches them, cut into blocks for kernels.

Sorted by length, the chains that have a node at position t are the first ones, so that rows ordered by (position, chain)
fall into blocks inside which no chain ends: one call of a kernel each, nothing padded. Where a call costs as much as many
rows, blocks are merged: chains that end inside are padded, as far as that is cheaper.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphgdl.domains.structure import Chain
from graphgdl.nn.memo import remembered


class ChainRows(NamedTuple):
    """The rows of a batch of chains in the order of one direction.

    Attributes:
        nodes: node of each row, int64 (r,); rows past the end of a chain repeat its last node.
        rows: row of each node, int64 (n,).
        blocks: (positions, chains) of each block: its rows are positions x chains, and chains fall.
        chains: the chains by falling length, int64 (g,).
        places: place of each chain in `chains`, int64 (g,), its inverse.
    """

    nodes: Tensor
    rows: Tensor
    blocks: tuple[tuple[int, int], ...]
    chains: Tensor
    places: Tensor


def chain_rows(chain: Chain, reverse: bool, overhead: int = 0) -> ChainRows:
    """Return the rows of `chain`, found once per structure.

    Args:
        chain: the chains.
        reverse: from the last node of each chain to the first.
        overhead: rows that one more block costs; with 0 nothing is padded.

    Example:
        >>> rows = chain_rows(Chain([0, 1, 4]), reverse=False)
        >>> rows.nodes.tolist(), rows.blocks
        ([1, 0, 2, 3], ((1, 2), (2, 1)))
        >>> chain_rows(Chain([0, 1, 4]), reverse=True).nodes.tolist()
        [3, 0, 2, 1]
        >>> chain_rows(Chain([0, 1, 4]), reverse=False, overhead=10).nodes.tolist()
        [1, 0, 2, 0, 3, 0]
    """
    return remembered(chain.ptr, ("rows", reverse, overhead), lambda: _build(chain, reverse, overhead))


def _build(chain: Chain, reverse: bool, overhead: int) -> ChainRows:
    sizes, device = chain.ptr.diff(), chain.device
    chains = torch.argsort(sizes, descending=True, stable=True)
    blocks = _blocks(sizes[chains].cpu().numpy(), overhead)
    empty, start = chains.new_zeros(0), 0
    positions, places = [empty], [empty]
    for length, width in blocks:
        positions.append(torch.arange(start, start + length, device=device).repeat_interleave(width))
        places.append(torch.arange(width, device=device).repeat(length))
        start += length
    position, owner = torch.cat(positions), chains[torch.cat(places)]
    inside = torch.minimum(position, sizes[owner] - 1)
    nodes = chain.ptr[1:][owner] - 1 - inside if reverse else chain.ptr[owner] + inside
    rows = torch.empty(chain.num_nodes, dtype=torch.int64, device=device)
    real = (position < sizes[owner]).nonzero().flatten()
    rows[nodes[real]] = real
    return ChainRows(nodes, rows, blocks, chains, torch.argsort(chains))


def _blocks(lengths: np.ndarray, overhead: int) -> tuple[tuple[int, int], ...]:
    """Cut the positions where chains end so that `overhead` per block and the rows of all blocks are the fewest."""
    ends = np.unique(np.append(lengths, 0))  # 0, then where chains end
    widths = (lengths >= ends[1:, None]).sum(axis=1)
    best, cut = np.zeros(len(ends)), [0] * len(ends)
    for j in range(1, len(ends)):
        cost = best[:j] + overhead + (ends[j] - ends[:j]) * widths[:j]
        cut[j] = int(cost.argmin())
        best[j] = cost[cut[j]]
    blocks, j = [], len(ends) - 1
    while j > 0:
        blocks.append((int(ends[j] - ends[cut[j]]), int(widths[cut[j]])))
        j = cut[j]
    return tuple(reversed(blocks))


def spread(x: Tensor, rows: ChainRows) -> Tensor:
    """Return the values (n, c) of nodes as rows (r, c); the gradient of padding must be zero, as that of `collect` is."""
    return _Spread.apply(x, rows.nodes, rows.rows)


def collect(x: Tensor, rows: ChainRows) -> Tensor:
    """Return the values (n, c) of nodes from rows (r, c)."""
    return _Collect.apply(x, rows.rows)


class _Spread(torch.autograd.Function):
    """A gather whose gradient is a gather too, where indexing would add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, nodes: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return x.index_select(0, nodes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Collect.apply(grad, *ctx.saved_tensors), None, None


class _Collect(torch.autograd.Function):
    """A gather of different rows: its gradient is copied, where indexing would add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.length = x.size(0)
        return x.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.new_zeros(ctx.length, grad.size(1)).index_copy(0, ctx.saved_tensors[0], grad), None

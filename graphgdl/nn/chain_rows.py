"""Nodes of chains in the order in which a recurrence reaches them.

Chains of unequal length need no padding: sorted by length, those that have a node at position t are the first ones, so
that rows ordered by (position, chain) fall into blocks, inside which no chain ends. A block is one call of a kernel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphgdl.domains.structure import Chain
from graphgdl.nn.memo import remembered


class ChainRows(NamedTuple):
    """The rows of a batch of chains in the order of one direction.

    Attributes:
        nodes: node of each row, int64 (n,).
        rows: row of each node, int64 (n,), the inverse of `nodes`.
        blocks: (positions, chains) of each block: its rows are positions x chains, and chains never rise.
        chains: the chains by falling length, int64 (g,).
        places: place of each chain in `chains`, int64 (g,), its inverse.
    """

    nodes: Tensor
    rows: Tensor
    blocks: tuple[tuple[int, int], ...]
    chains: Tensor
    places: Tensor


def chain_rows(chain: Chain, reverse: bool) -> ChainRows:
    """Return the rows of `chain`, from first to last node or in reverse; found once per structure.

    Example:
        >>> rows = chain_rows(Chain([0, 1, 4]), reverse=False)
        >>> rows.nodes.tolist(), rows.blocks
        ([1, 0, 2, 3], ((1, 2), (2, 1)))
        >>> chain_rows(Chain([0, 1, 4]), reverse=True).nodes.tolist()
        [3, 0, 2, 1]
    """
    return remembered(chain.ptr, ("rows", reverse), lambda: _build(chain, reverse))


def _build(chain: Chain, reverse: bool) -> ChainRows:
    ptr, batch, sizes = chain.ptr, chain.batch, chain.ptr.diff()
    chains = torch.argsort(sizes, descending=True, stable=True)
    places = torch.argsort(chains)
    node = torch.arange(chain.num_nodes, device=ptr.device)
    position = ptr[1:][batch] - 1 - node if reverse else node - ptr[batch]
    nodes = torch.argsort(position * max(len(sizes), 1) + places[batch])
    blocks, start, lengths = [], 0, sizes[chains].tolist()
    for end in sorted({length for length in lengths if length > 0}):
        blocks.append((end - start, sum(length >= end for length in lengths)))
        start = end
    return ChainRows(nodes, torch.argsort(nodes), tuple(blocks), chains, places)


def permuted(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Return ``x[order]`` of a permutation, whose gradient is ``g[inverse]``: a gather, where indexing would scatter."""
    return _Permuted.apply(x, order, inverse)


class _Permuted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        order, inverse = ctx.saved_tensors
        return permuted(grad, inverse, order), None, None

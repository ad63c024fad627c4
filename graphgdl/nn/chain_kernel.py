"""The lowering `'rnn'`: recurrence along a `Chain` by torch's kernels, chains of unequal length hardly padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphgdl.domains.structure import Chain
from graphgdl.nn.chain_rows import chain_rows, collect, spread
from graphgdl.nn.lowering import Call, Lowered

Kernel = Callable[..., tuple[Tensor, ...]]
"""One of torch's: (input, state, weights, bias, layers, dropout, train, bidirectional, batch first) -> (out, *state)."""


class TorchKernel:
    """The form of a whole recurrence that torch's kernels compute; what of it is left to `propagate` has none."""

    def prepare(self, layer: Lowered, call: Call) -> Callable[[], Any] | str:
        """Return why the recurrence goes step by step."""
        return getattr(layer, "_stepwise", None) or "a single step is a message"


@torch.compiler.disable
def run_kernel(
    kernel: Kernel,
    x: Tensor,
    chain: Chain,
    reverse: bool,
    weights: Sequence[Tensor],
    state: tuple[Tensor, ...],
    overhead: int = 0,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one layer in one direction.

    Args:
        kernel: `torch._VF.lstm` or one of its kin.
        x: (n, c) values of the nodes.
        chain: the chains.
        reverse: from the last node of each chain to the first.
        weights: weight_ih, weight_hh and, where there is a bias, bias_ih and bias_hh.
        state: the tensors of the initial state, (g, h) each.
        overhead: rows that one more call of the kernel costs; see `chain_rows`.

    Returns:
        (n, h) outputs in the order of the nodes, and the final state of each chain in the form of `state`,
        which is right with `overhead` 0 only: the state of a padded chain goes on.
    """
    rows = chain_rows(chain, reverse, overhead)
    if len(rows.blocks) == 1 and rows.blocks[0][0] * chain.num_graphs == chain.num_nodes:  # all of one length
        ((positions, width),) = rows.blocks
        block = x.view(width, positions, -1).transpose(0, 1)
        out, state = _run_block(kernel, block.flip(0) if reverse else block, weights, state)
        return (out.flip(0) if reverse else out).transpose(0, 1).reshape(x.size(0), -1), state
    x = spread(x, rows)
    state = tuple(s[rows.chains] for s in state)
    outs, ends, start = [x.new_zeros(0, weights[1].size(1))], [], 0
    for positions, width in rows.blocks:
        ends.append(tuple(s[width:] for s in state))
        block = x[start : start + positions * width].view(positions, width, -1)
        out, state = _run_block(kernel, block, weights, tuple(s[:width] for s in state))
        outs.append(out.reshape(positions * width, -1))
        start += positions * width
    ends.append(state)
    final = [torch.cat(parts)[rows.places] for parts in zip(*reversed(ends))]  # the shortest chains ended first
    return collect(torch.cat(outs), rows), tuple(final)


def _run_block(
    kernel: Kernel, block: Tensor, weights: Sequence[Tensor], state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run chains of equal length, (positions, chains, c)."""
    hidden = tuple(s[None].contiguous() for s in state)
    given: Any = hidden if len(hidden) > 1 else hidden[0]
    block = block.contiguous()  # once: oneDNN would copy it again in the backward pass
    out, *last = kernel(block, given, list(weights), len(weights) > 2, 1, 0.0, False, False, False)
    return out, tuple(s[0] for s in last)

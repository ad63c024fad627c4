"""Heavy-edge matching: pairs of neighbours, the heaviest first."""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.ops.check import check_count, check_index

_HASH = (-7046029254386353131, -4658895280553007687)  # odd 64-bit words, those of SplitMix64
SLOW = 8  # a round that leaves more than all but one in so many pairs is the last


def heavy_edge_matching(
    edge_index: Tensor, edge_weight: Tensor, num_nodes: int, number: Tensor | None = None
) -> Tensor:
    """Match each node with at most one neighbour, greedily: of all pairs of free nodes, always the heaviest.

    The matching is maximal, and weighs at least half of the heaviest there is (Preis 1999, Linear time 1/2-approximation
    algorithm for maximum weighted matching). It is found in rounds: a pair that is the heaviest at both of its ends is
    in the greedy matching, so all of these are taken at once; where few are, as along a path of falling weights, the rest
    is matched pair by pair. Integers decide: the same on every device.

    Args:
        edge_index: (2, e); direction does not count, loops are ignored.
        edge_weight: (e,); of parallel and opposite edges the heaviest counts. Of equally heavy pairs the one with the
            smaller hash of its node numbers counts as heavier, so that unweighted graphs need few rounds.
        num_nodes: number of nodes n.
        number: int64 (n,), the numbers that are hashed; default: 0, 1, ... Numbers within each graph match the graphs of a
            batch as each is matched alone.

    Returns:
        int64 (n,): the partner of each node, itself where it is alone.

    Raises:
        TypeError, ValueError: an argument of the wrong type, shape or range.

    Example:
        >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> heavy_edge_matching(path, torch.tensor([1.0, 3.0, 2.0]), 4).tolist()
        [0, 2, 1, 3]
    """
    check_count(num_nodes, "num_nodes")
    edge_index = check_index(edge_index, "edge_index")
    if edge_weight.shape != edge_index.shape[1:]:
        raise ValueError(
            f"`edge_weight` must have one entry for each edge of `edge_index` (2, e), got shapes "
            f"{tuple(edge_weight.shape)} and {tuple(edge_index.shape)}"
        )
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        found = f"{int(edge_index.min())} .. {int(edge_index.max())}"
        raise ValueError(f"`edge_index` must hold indices in 0 .. {num_nodes - 1}, got {found}")
    mate = torch.arange(num_nodes, device=edge_index.device)
    number = mate if number is None else number.long()
    if number.shape != mate.shape:
        raise ValueError(f"`number` must have one entry for each of {num_nodes} nodes, got {tuple(number.shape)}")
    low, high = _heaviest_first(*heaviest_pairs(edge_index, edge_weight, num_nodes), number)
    rank = torch.arange(low.size(0), device=low.device)
    while rank.numel():
        first = mate.new_full((num_nodes,), int(rank[-1]) + 1)
        for end in (low, high):
            first.scatter_reduce_(0, end, rank, "amin")
        taken = (first[low] == rank) & (first[high] == rank)
        mate[low[taken]], mate[high[taken]] = high[taken], low[taken]
        free = mate == torch.arange(num_nodes, device=mate.device)
        left = free[low] & free[high]
        before = rank.numel()
        low, high, rank = low[left], high[left], rank[left]
        if SLOW * rank.numel() > (SLOW - 1) * before:
            return _one_by_one(mate, low, high)
    return mate


def heaviest_pairs(edge_index: Tensor, edge_weight: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pairs of neighbours low < high, once each, and the weight of the heaviest edge of each."""
    apart = edge_index[0] != edge_index[1]
    low, high = edge_index[:, apart].long().sort(dim=0).values
    weight = edge_weight[apart].detach()
    pair, position = torch.unique(low * num_nodes + high, return_inverse=True)
    heaviest = weight.new_empty(pair.size(0)).scatter_reduce(0, position, weight, "amax", include_self=False)
    return pair // max(num_nodes, 1), pair % max(num_nodes, 1), heaviest


def _one_by_one(mate: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Match the pairs in their order, those that still are free."""
    partner = mate.tolist()
    for i, j in zip(low.tolist(), high.tolist()):
        if partner[i] == i and partner[j] == j:
            partner[i], partner[j] = j, i
    return torch.tensor(partner, device=mate.device)


def _heaviest_first(low: Tensor, high: Tensor, heaviest: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs in the order in which a greedy matching looks at them."""
    word = (number[low] * _HASH[0] ^ number[high]) * _HASH[1]
    by_word = torch.argsort((word >> 32) ^ word, stable=True)
    order = by_word[torch.argsort(heaviest[by_word], descending=True, stable=True)]
    return low[order], high[order]

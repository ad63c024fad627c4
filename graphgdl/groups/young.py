"""Permutations that keep to blocks: the symmetry of a batch of sets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphgdl.groups.permutation import Permutation


class YoungSubgroup(Permutation):
    """The permutations of n nodes that take each block of consecutive nodes to itself, S_a x S_b x ...

    Args:
        sizes: number of nodes of each block.

    Raises:
        ValueError: a size is negative.

    Example:
        >>> group = YoungSubgroup([2, 3])
        >>> g = group.sample(torch.Generator().manual_seed(0))
        >>> sorted(g[:2].tolist()), sorted(g[2:].tolist())
        ([0, 1], [2, 3, 4])
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        if any(size < 0 for size in sizes):
            raise ValueError(f"`sizes` must be numbers of nodes, got {list(sizes)}")
        super().__init__(sum(sizes))
        self.sizes = tuple(sizes)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a uniformly random element."""
        parts, first = [self.identity()[:0]], 0
        for size in self.sizes:
            parts.append(first + torch.randperm(size, generator=generator))
            first += size
        return torch.cat(parts)

    def _check(self, g: Tensor) -> Tensor:
        block = torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes, dtype=torch.int64))
        if not torch.equal(block[super()._check(g).cpu()], block):
            raise ValueError(f"`g` must keep each node within its block of sizes {self.sizes}, got {g.tolist()}")
        return g

    def __repr__(self) -> str:
        return f"YoungSubgroup({self.sizes})"

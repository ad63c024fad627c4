r"""JanossyPooling: the sum or mean of a function over all k-tuples of a set.

.. math:: r = \sum_{(i_1, \dots, i_k)} f(x_{i_1}, \dots, x_{i_k}), \qquad
          r_i = \sum_{(i_2, \dots, i_k)} f(x_i, x_{i_2}, \dots, x_{i_k})

The function need not be symmetric; the sum over all orders makes it so. With k = 1 this is Deep Sets. With k = 2 at a
marked element, f = exp(q_i k_j) v_j and f = exp(q_i k_j) are numerator and denominator of self-attention.

Law: invariant to permutations within each set, equivariant with a marked element; with samples in expectation.
Power: k = 1 with wide networks suffices in principle; larger k reaches interactions of k elements with narrow ones.
Source: Murphy et al. (2019), Janossy Pooling, section 2.
Differs: a tuple may repeat elements (`distinct=False`), and its first may be marked; `reduce` may be the sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains.structure import Complete
from graphgdl.groups import Law
from graphgdl.nn.laws import permutation_laws
from graphgdl.nn.on_structure import check_sets
from graphgdl.nn.readout import global_add_pool


class JanossyPooling(nn.Module):
    """Pooling over k-tuples, all of them or a sample.

    Args:
        k: length of the tuples.
        function: f, a module or a function (t, k, c) -> (t, ...), t tuples at a time.
        num_samples: tuples drawn for each set (or marked element), with replacement; None takes all. The result is an
            unbiased estimate of that over all tuples.
        reduce: 'sum' or 'mean' over the tuples.
        distinct: whether the elements of a tuple are distinct; otherwise any n^k tuples count.
        marked: whether the first of a tuple is fixed, with one result for each element in the place of one for each set.

    Shapes:
        x (n, c); structure `Complete` -> (g, ...), or (n, ...) with `marked`; a set without tuples gives 0.

    Raises:
        ValueError: `k` or `num_samples` below 1, an unknown `reduce`.
        TypeError, ValueError: see `graphgdl.nn.on_structure.check_sets`.

    Example:
        >>> pool = JanossyPooling(2, lambda pairs: pairs[:, 0] * pairs[:, 1])
        >>> pool(torch.tensor([[1.0], [2.0], [4.0]]), Complete(3)).tolist()
        [[28.0]]
        >>> self_too = JanossyPooling(2, lambda pairs: pairs[:, 1], distinct=False, marked=True)
        >>> self_too(torch.tensor([[1.0], [2.0], [4.0]]), Complete(3)).tolist()
        [[7.0], [7.0], [7.0]]
    """

    def __init__(
        self,
        k: int,
        function: Callable[[Tensor], Tensor],
        num_samples: int | None = None,
        reduce: str = "sum",
        distinct: bool = True,
        marked: bool = False,
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"`k` must be at least 1, got {k}")
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"`num_samples` must be at least 1, or None for all tuples, got {num_samples}")
        if reduce not in ("sum", "mean"):
            raise ValueError(f"`reduce` must be 'sum' or 'mean', got {reduce!r}")
        self.k, self.function, self.num_samples = k, function, num_samples
        self.reduce, self.distinct, self.marked = reduce, distinct, marked

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return what permutations within each set do: exactly over all tuples, in expectation over a sample."""
        laws = permutation_laws(self, data, invariant=not self.marked)
        return laws if self.num_samples is None else tuple(replace(law, kind="distribution") for law in laws[:1])

    def forward(self, x: Tensor, structure: Complete, generator: torch.Generator | None = None) -> Tensor:
        """Return the pooled function; `generator` draws the sample, None is torch's own."""
        check_sets(structure, x)
        sizes = structure.sizes
        counts = [self._count(size) for size in sizes for _ in range(size if self.marked else 1)]
        takes = [min(count, 1) * (self.num_samples or count) for count in counts]
        centre = torch.repeat_interleave(torch.tensor(takes, dtype=torch.int64)).to(x.device)
        graph = structure.batch[centre] if self.marked else centre
        size = structure.ptr.diff()[graph]
        place = self._sampled(size, generator) if self.num_samples else self._all(size, centre, takes)
        if self.marked:
            place = [centre - structure.ptr[graph], *place]
        tuples = torch.stack(_distinct(place) if self.distinct else place, dim=1) + structure.ptr[graph, None]
        values = self.function(x[tuples])
        total = torch.tensor(counts, dtype=values.dtype) / torch.tensor(takes).clamp(min=1).to(values.dtype)
        out = global_add_pool(values, centre, len(counts))
        if self.reduce == "mean":
            total = total / torch.tensor(counts, dtype=values.dtype).clamp(min=1)
        return out * total.to(out.device).view(-1, *[1] * (out.dim() - 1))

    def _count(self, size: int) -> int:
        """Number of tuples in a set."""
        return math.prod(max(self._choices(size, m), 0) for m in range(int(self.marked), self.k))

    def _choices(self, size: int, m: int) -> int:
        """How many elements may stand at place m of a tuple."""
        return size - m if self.distinct else size

    def _all(self, size: Tensor, centre: Tensor, takes: list[int]) -> list[Tensor]:
        """Return the choice at each place, for every tuple: the digits of its number."""
        starts = torch.tensor([0, *takes]).cumsum(0)[:-1].to(centre.device)
        number = torch.arange(centre.size(0), device=centre.device) - starts[centre]
        digits = []
        for m in reversed(range(int(self.marked), self.k)):
            base = size - m * self.distinct
            digits.append(number % base)
            number = number // base
        return digits[::-1]

    def _sampled(self, size: Tensor, generator: torch.Generator | None) -> list[Tensor]:
        """Return a uniform choice at each place."""
        device = generator.device if generator is not None else size.device
        digits = []
        for m in range(int(self.marked), self.k):
            draw = torch.rand(size.shape, dtype=torch.float64, generator=generator, device=device).to(size.device)
            digits.append((draw * (size - m * self.distinct)).long())
        return digits


def _distinct(choices: list[Tensor]) -> list[Tensor]:
    """Turn choices among what is left at each place into elements: each skips those that stand before it."""
    out: list[Tensor] = []
    for choice in choices:
        element = choice
        if out:
            for taken in torch.stack(out).sort(dim=0).values:
                element = element + (element >= taken)
        out.append(element)
    return out

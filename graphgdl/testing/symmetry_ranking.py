r"""Which groups is a labelled data set invariant under? Candidates ranked, with p-values that hold for any sample size.

For each candidate the samples of one half are moved by random elements, and their labels compared with those of the
nearest samples of the other half (`NeighbourLabels`). Two hypotheses are tested:

*Invariant*: (g.x, y) is distributed as (x, y). Then a sample and its K copies, moved by uniform elements, can change places:
the loss of the unmoved one has a uniform rank among the K + 1, independently for each sample. The test compares the sum of
those losses with sums of one drawn at random from each K + 1.

*Unrelated*: labels do not depend on samples. Then they can be permuted, and the loss of the moved samples stays as it is
in distribution.

A symmetry is *kept* when the second is rejected and the first is not, and *broken* when the first is rejected; else the data
are too few to say. Both p-values are uniform under their hypothesis, ties broken at random, and corrected for the number
of candidates by Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure. Source of the exchange: Hoeffding
(1952), The Large-Sample Power of Tests Based on Permutations of Observations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from graphgdl.testing.label_curve import Features, NeighbourLabels, departure


class Candidate(Protocol):
    """A group that moves one sample: one of `graphgdl.groups`, or `GridRotations`. `sample` must draw uniformly."""

    def sample(self, generator: torch.Generator) -> Any:
        """Return a uniformly random element."""

    def act(self, g: Any, x: Tensor) -> Tensor:
        """Return the sample moved by g."""


@dataclass(frozen=True)
class SymmetryScore:
    """What the data say about one candidate.

    Args:
        name: of the candidate.
        departure: how far labels move, 0 not at all and 1 as far as by chance; see `graphgdl.testing.label_curve`.
        distance: distance of the moved samples to their neighbours over that of the unmoved ones.
        p_invariant: corrected p-value of the hypothesis that the data set is invariant.
        p_unrelated: corrected p-value of the hypothesis that labels do not depend on samples.
        verdict: 'kept', 'broken' or 'undecided'.
    """

    name: str
    departure: float
    distance: float
    p_invariant: float
    p_unrelated: float
    verdict: Literal["kept", "broken", "undecided"]


def rank_symmetries(
    samples: Tensor,
    labels: Tensor,
    candidates: Mapping[str, Candidate],
    *,
    features: Features | None = None,
    k: int = 1,
    draws: int = 1,
    permutations: int = 999,
    level: float = 0.05,
    seed: int = 0,
) -> list[SymmetryScore]:
    """Return a score for each candidate group, the one under which labels move least first.

    A data set that is invariant only up to interpolation, such as rotated images, needs `features` that do not see what
    interpolation costs, such as a blur; else the unmoved samples are told from the moved ones by their sharpness.

    Args:
        samples, labels, features, k: see `NeighbourLabels`.
        candidates: groups by name.
        draws: how often each sample is moved.
        permutations: how many random ones the p-values come from; the smallest p-value is 1 / (permutations + 1).
        level: of significance, after the correction.
        seed: of everything random.

    Raises:
        TypeError: see `NeighbourLabels`, or a candidate that is no group.
        ValueError: see `NeighbourLabels`, or no candidate, no draw, no permutation.

    Example:
        >>> from graphgdl.groups import Cyclic, Dihedral
        >>> points = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> quadrant = (points[:, 0] * points[:, 1] > 0).long()
        >>> scores = rank_symmetries(points, quadrant, {"reflections": Dihedral(1), "half turns": Cyclic(2)})
        >>> [(score.name, score.verdict) for score in scores]
        [('half turns', 'kept'), ('reflections', 'broken')]
    """
    if not candidates:
        raise ValueError("`candidates` must name at least one group, got none")
    for name, group in candidates.items():
        if not (hasattr(group, "sample") and hasattr(group, "act")):
            raise TypeError(
                f"`candidates` must be groups by name, such as {{'turns': SO(2)}}, got {group!r} for {name!r}"
            )
    for name, value in (("draws", draws), ("permutations", permutations)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}")
    data = NeighbourLabels(samples, labels, features, k, seed)
    generator = torch.Generator().manual_seed(seed)
    kept, near = data.look_up(data.tested)
    floor, chance = float(data.loss(kept).mean()), data.chance(kept)
    rows: list[tuple[str, float, float]] = []
    p_invariant, p_unrelated = [], []
    for name, group in candidates.items():
        moved = [
            data.look_up(torch.stack([group.act(group.sample(generator), x) for x in data.tested]))
            for _ in range(draws)
        ]
        losses = torch.stack([data.loss(predicted) for predicted, _ in moved], dim=1)
        p_invariant.append(_p_invariant(data.loss(kept), losses, permutations, generator))
        p_unrelated.append(_p_unrelated(data, [predicted for predicted, _ in moved], permutations, generator))
        far = torch.stack([distance for _, distance in moved])
        rows.append((name, departure(float(losses.mean()), floor, chance), float(far.mean() / near.mean())))
    scores = [
        SymmetryScore(*row, invariant, unrelated, _verdict(invariant, unrelated, level))
        for row, invariant, unrelated in zip(rows, holm(p_invariant), holm(p_unrelated))
    ]
    return sorted(scores, key=lambda score: score.departure)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: the i-th smallest of m times m - i, from i = 0, never falling.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    m = len(p_values)
    corrected, largest = [0.0] * m, 0.0
    for i, at in enumerate(sorted(range(m), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (m - i) * p_values[at]))
        corrected[at] = largest
    return corrected


def _verdict(invariant: float, unrelated: float, level: float) -> Literal["kept", "broken", "undecided"]:
    if invariant <= level:
        return "broken"
    return "kept" if unrelated <= level else "undecided"


def _p_invariant(own: Tensor, moved: Tensor, permutations: int, generator: torch.Generator) -> float:
    """Is the loss of the unmoved samples (n,) smaller than that of one drawn from them and their copies (n, K)?"""
    losses = torch.cat([own.view(-1, 1), moved], dim=1)
    n, copies = losses.shape
    chosen = torch.randint(copies, (permutations, n), generator=generator)
    return _p_value(float(own.sum()), losses[torch.arange(n), chosen].sum(dim=1), generator)


def _p_unrelated(data: NeighbourLabels, moved: list[Tensor], permutations: int, generator: torch.Generator) -> float:
    """Is the loss of the moved samples smaller than against the labels of others?"""
    mean = torch.stack(moved).mean(
        dim=0
    )  # up to what does not depend on the order of the labels, the loss is linear in it
    null = [
        float((mean * data.targets[torch.randperm(len(mean), generator=generator)]).sum()) for _ in range(permutations)
    ]
    return _p_value(-float((mean * data.targets).sum()), -torch.tensor(null, dtype=torch.float64), generator)


def _p_value(observed: float, null: Tensor, generator: torch.Generator) -> float:
    """Return the share of the null, the observed value counted in, that is smaller, with ties in random order."""
    ties = int(torch.isclose(null, torch.tensor(observed, dtype=null.dtype), rtol=1e-12, atol=1e-12).sum())
    below = int((null < observed - 1e-12 * (1 + abs(observed))).sum())
    place = int(torch.randint(ties + 1, (), generator=generator))
    return (1 + below + place) / (len(null) + 1)

r"""How far the labels of a data set are from invariant, judged by the data's own neighbours.

.. math:: \ell_i(g) = \ell\big(y_i,\; \hat y(g.x_i)\big), \qquad
          \text{departure}(s) = \frac{E\,\ell_i(g_s) - E\,\ell_i(1)}{\text{chance} - E\,\ell_i(1)}

where the label at a place is taken from the k nearest samples of a reference half, i runs over the other half, and chance
is the loss against the label of another sample. The loss is the share of neighbours with another label for k = 1 and
classes (for k > 1 half the squared distance of the shares of votes from the truth, Brier's), and for numbers the squared
error over the variance. Departure is 0 where labels stay, 1 where they are what any sample's would be, above 1 where the
transformation leads to other classes.

Where the transformation leads out of the data there is no label to compare with: the neighbours are then far, which
`distance` shows, and the loss says that the data set is not invariant, not that the world is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphgdl.testing.curves import Curve, directions
from graphgdl.testing.paths import Path

Features = Callable[[Tensor], Tensor]
PAIRS = 2**22
"""Number of distances that are in memory at a time, 32 MiB."""


class NeighbourLabels:
    """Labels at any place, from the nearest samples of a random half of a data set; the other half is to be tested.

    Args:
        samples: floating (m, ...), at least 4 of them; images for `GridRotations` and its kin as (m, h * w), or with
            channels (m, h * w, c), their places in rows.
        labels: integers (m,) for classes, floating (m,) or (m, t) for numbers.
        features: what distances are between, samples (m, ...) -> (m, ...); default: the samples as they are.
        k: number of neighbours.
        seed: of the halves.

    Attributes:
        tested: samples of the other half (n, ...).
        targets: their labels (n, t), classes as one-hot vectors.
        scale: what a squared distance of labels is divided by.

    Raises:
        TypeError: samples or labels are no tensors.
        ValueError: too few samples, labels of another number, or of one value only, or not finite; `k` out of range.
    """

    def __init__(self, samples: Tensor, labels: Tensor, features: Features | None = None, k: int = 1, seed: int = 0):
        for name, values in (("samples", samples), ("labels", labels)):
            if not isinstance(values, Tensor):
                raise TypeError(f"`{name}` must be a tensor, got {type(values).__name__}; use `torch.as_tensor`")
            if not bool(values.isfinite().all()):
                raise ValueError(f"`{name}` must be finite numbers, got {int((~values.isfinite()).sum())} that are not")
        m = samples.size(0)
        if m < 4:
            raise ValueError(f"`samples` must be at least 4, two to look up and two to test, got {m}")
        if labels.dim() == 0 or labels.size(0) != m:
            raise ValueError(f"`labels` must be one for each of the {m} samples, got shape {tuple(labels.shape)}")
        if not labels.is_floating_point() and labels.dim() != 1:
            raise ValueError(f"`labels` of classes must have shape ({m},), got {tuple(labels.shape)}; flatten them")
        if not 1 <= k <= m // 2:
            raise ValueError(f"`k` must lie in 1 .. {m // 2}, half the number of samples, got {k}")
        if bool((labels == labels[0]).all()):
            raise ValueError("`labels` must take at least two values, got one: it is invariant under anything")
        if labels.is_floating_point():
            targets = labels.to(torch.float64).view(m, -1)
            self.scale = float(targets.var(dim=0, correction=0).sum())
        else:
            targets = torch.nn.functional.one_hot(labels.unique(return_inverse=True)[1]).to(torch.float64)
            self.scale = 2.0
        order = torch.randperm(m, generator=torch.Generator().manual_seed(seed))
        known, other = order[: m // 2], order[m // 2 :]
        self.k, self.features = k, features
        self.tested, self.targets = samples[other], targets[other]
        self.known_targets, self.known = targets[known], self._described(samples[known])

    def look_up(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean label (n, t) of the nearest known samples, and the mean distance (n,) to them."""
        found = []
        for block in self._described(samples).split(max(1, PAIRS // self.known.size(0))):
            near = torch.cdist(block, self.known).topk(self.k, dim=1, largest=False)
            found.append((self.known_targets[near.indices].mean(dim=1), near.values.mean(dim=1)))
        labels, distances = zip(*found)
        return torch.cat(labels), torch.cat(distances)

    def loss(self, predicted: Tensor) -> Tensor:
        """Return the loss of each prediction for the tested samples, (n,)."""
        return (predicted - self.targets).square().sum(dim=1) / self.scale

    def chance(self, predicted: Tensor) -> float:
        """Return the mean loss of the predictions against the labels of all tested samples."""
        p, y = predicted, self.targets
        squares = p.square().sum(dim=1).mean() + y.square().sum(dim=1).mean()
        return float(squares - 2 * p.mean(dim=0) @ y.mean(dim=0)) / self.scale

    def _described(self, samples: Tensor) -> Tensor:
        described = samples if self.features is None else self.features(samples)
        return described.flatten(1).to(torch.float64)


def departure(loss: Any, floor: float, chance: float) -> Any:
    """Return the loss above the floor in units of what chance has above it; not a number where chance does as well."""
    return (loss - floor) / (chance - floor if chance > floor else math.nan)


@dataclass(frozen=True)
class LabelCurve(Curve):
    """Loss of the labels over the sizes of a transformation; `errors` are losses, `floor` is that of the unmoved samples.

    Args:
        chance: the loss against the label of another sample.
        distance: float64 (k, draws), distance of the moved samples to their neighbours over that of the unmoved ones;
            far above 1 the transformation leads out of the data.
    """

    chance: float = 1.0
    distance: Tensor | None = None

    @property
    def departure(self) -> Tensor:
        """Mean loss above the floor, in units of what chance has above it, (k,)."""
        assert self.floor is not None
        return departure(self.mean, float(self.floor[0, 0]), self.chance)


def label_curve(
    samples: Tensor,
    labels: Tensor,
    path: Path,
    sizes: Sequence[float],
    *,
    features: Features | None = None,
    k: int = 1,
    seed: int = 0,
    draws: int = 4,
) -> LabelCurve:
    """Measure how far labels are from invariant under transformations of growing size.

    Args:
        samples, labels, features, k: see `NeighbourLabels`.
        path: transformations with a size; its `act(g, x)` moves one sample, a tensor.
        sizes: angles, lengths, stretches: what the path says.
        seed: of the halves and directions.
        draws: how often each sample is moved at each size.

    Raises:
        ValueError: see `NeighbourLabels`, or no size, or no draw.

    Example:
        >>> from graphgdl.groups import SO
        >>> from graphgdl.testing import Rotations
        >>> points = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> right, far = (points[:, 0] > 0).long(), (points.norm(dim=1) > 1.2).long()
        >>> for labels in (right, far):
        ...     curve = label_curve(points, labels, Rotations(SO(2)), [0.0, 1.0, 3.14], draws=1)
        ...     print([bool(value > 0.1) for value in curve.departure])
        [False, True, True]
        [False, False, False]
    """
    if not len(sizes):
        raise ValueError("`sizes` must hold at least one size, got none")
    data = NeighbourLabels(samples, labels, features, k, seed)
    kept, near = data.look_up(data.tested)
    losses, distances = [], []
    for direction in directions(seed, draws):
        for size in sizes:
            generator = torch.Generator().manual_seed(direction)
            moved = torch.stack([path.act(path.of_size(size, generator), x) for x in data.tested])
            predicted, far = data.look_up(moved)
            losses.append(float(data.loss(predicted).mean()))
            distances.append(float(far.mean() / near.mean()))
    errors, distance = (torch.tensor(values, dtype=torch.float64).view(draws, -1).T for values in (losses, distances))
    floor = torch.full_like(errors, float(data.loss(kept).mean()))
    return LabelCurve(torch.tensor(sizes, dtype=torch.float64), errors, floor, data.chance(kept), distance)

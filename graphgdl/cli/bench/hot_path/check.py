"""A wrong side has no time: compare what a step computed with the plain peer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphgdl.cli.bench.hot_path.problem import Result

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-4
KINKS_TOLERANCE = 5e-3


def deviation(result: Result, expected: Result, kinks: bool = False) -> tuple[float, float]:
    """Return how far `result` is from `expected`, infinite where it is not even finite, and the tolerance (float32).

    Each value is measured against its own largest entry, each gradient against its own or a hundredth of the largest
    gradient's: some gradients are zero but for rounding (a bias on the keys of a softmax). The measure is the largest
    difference. With `kinks` the gradients are compared in the Euclidean norm instead: where two messages of a maximum
    agree to the last digits, or the input of a ReLU is zero but for them, rounding decides where the gradient goes, and
    among millions a handful do (float32 beside float64 on PyG's EdgeConv: 2e-2 in one entry, 6e-4 in the norm).
    """
    values = list(zip(result.values, expected.values, strict=True))
    gradients = list(zip(result.gradients, expected.gradients, strict=True))
    if any(a.shape != b.shape for a, b in values + gradients):
        return math.inf, TOLERANCE
    worst = max((_largest(a, b) for a, b in values), default=0.0)
    if kinks and gradients and worst <= TOLERANCE:
        return _finite(_distance(gradients)), KINKS_TOLERANCE
    least = max((float(b.abs().max()) for _, b in gradients if b.numel()), default=0.0) / 100
    return max([worst, *(_largest(a, b, least) for a, b in gradients)]), TOLERANCE


def _largest(a: Tensor, b: Tensor, least: float = 0.0) -> float:
    if not b.numel():
        return 0.0
    apart = _finite(float((a - b).abs().max()))
    scale = max(float(b.abs().max()), least)
    return apart / scale if scale else apart


def _distance(pairs: list[tuple[Tensor, Tensor]]) -> float:
    apart = sum(float((a - b).double().square().sum()) for a, b in pairs)
    whole = sum(float(b.double().square().sum()) for _, b in pairs)
    return math.sqrt(apart / whole if whole else apart) if math.isfinite(apart) else math.inf


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf

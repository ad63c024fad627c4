r"""How far a module is from its law, as a curve over the size of the transformation, and its slope at size 0.

.. math:: \epsilon(s) = \frac{\|f(g_s.x) - g_s.f(x)\|}{\|f(x)\|}, \qquad
          \epsilon'(0) = \frac{\|\mathcal{L} f(x)\|}{\|f(x)\|}, \quad
          \mathcal{L} f(x) = \frac{d}{ds}\Big|_0 \big(f(g_s.x) - g_s.f(x)\big)

with the norm over all entries, and f(x) in the place of g.f(x) for invariance. With deformations in the place of rotations
the same curve shows stability. Source: Gruver, Finzi, Goldblum and Wilson (2022), The Lie Derivative for Measuring Learned
Equivariance (the slope; there along g^-1 f(g.x), which has the same norm where g keeps lengths).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from graphgdl.testing.equivariance import Call, call_module, prepared, tensors
from graphgdl.testing.paths import Path


@dataclass(frozen=True)
class Curve:
    """Relative errors over the sizes of a transformation.

    Args:
        sizes: float64 (k,).
        errors: float64 (k, draws), one column for each random direction.
        floor: float64 (k, draws), the change of f(x) when x is moved there and back: 0 where the action is exact, what
            interpolation costs where it is not. An error near the floor says nothing about the module. None where
            the transformations have no inverse.
    """

    sizes: Tensor
    errors: Tensor
    floor: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """Mean over the draws, (k,)."""
        return self.errors.mean(dim=1)

    @property
    def std(self) -> Tensor:
        """Standard deviation over the draws, (k,); 0 for one draw."""
        return self.errors.std(dim=1, correction=min(1, self.errors.size(1) - 1))


def equivariance_curve(
    module: Module,
    data: Data,
    path: Path,
    sizes: Sequence[float],
    *,
    invariant: bool = False,
    seed: int = 0,
    draws: int = 8,
    dtype: torch.dtype = torch.float64,
    call: Call = call_module,
) -> Curve:
    """Measure how far f(g.x) is from g.f(x), or from f(x), for transformations g of growing size.

    Module and data are copied, cast to `dtype` and put into eval mode. A draw is a direction, the same at every size.

    Args:
        module: the layer or model f.
        data: the input x.
        path: transformations with a size: `Rotations`, `GridRotations`, `GridDeformations`, `EdgeDropping`, ...
        sizes: angles, lengths, stretches, shares: what the path says.
        invariant: whether the output should stay as it is.
        seed, draws: of the directions.
        dtype: what to compute in.
        call: how to call the module; see `call_module`.

    Raises:
        ValueError: no size or no draw, f(x) = 0, or an output that changes its shape.

    Example:
        >>> from graphgdl.groups import SO
        >>> from graphgdl.testing import Rotations
        >>> class FirstCoordinate(torch.nn.Module):
        ...     def forward(self, pos):
        ...         return pos[:, 0].sum()
        >>> data = Data(pos=torch.tensor([[2.0, 0.0]]))
        >>> curve = equivariance_curve(FirstCoordinate(), data, Rotations(SO(2)), [0.0, math.pi / 3], invariant=True)
        >>> [round(float(value), 6) for value in curve.mean]
        [0.0, 0.5]
    """
    if not len(sizes):
        raise ValueError("`sizes` must hold at least one size, got none")
    undo = getattr(path, "inverse", None)
    f, x = prepared(module, data, dtype)
    errors, floors = [], []
    with torch.no_grad():
        before = tensors(call(f, x))
        scale = _scale(before)
        for direction in directions(seed, draws):
            for size in sizes:
                g = path.of_size(size, torch.Generator().manual_seed(direction))
                errors.append(_norm(_gap(f, path, g, x, before, invariant, call)) / scale)
                if undo is not None:
                    back = path.act(undo(g), path.act(g, x))
                    floors.append(_norm(_minus(tensors(call(f, back)), before)) / scale)
    table = [torch.tensor(values, dtype=torch.float64).view(draws, -1).T for values in (errors, floors) if values]
    return Curve(torch.tensor(sizes, dtype=torch.float64), *table)


def equivariance_slope(
    module: Module,
    data: Data,
    path: Path,
    *,
    invariant: bool = False,
    seed: int = 0,
    draws: int = 8,
    step: float = 1e-4,
    call: Call = call_module,
) -> float:
    """Measure the slope of the curve at size 0: the norm of the Lie derivative relative to the output, mean over draws.

    Computed in float64 by one-sided differences at two sizes, extrapolated: the error is of order step^2. A path whose
    transformations come in whole steps, such as `EdgeDropping`, has no slope.

    Args:
        module, data, path, invariant, seed, draws, call: see `equivariance_curve`.
        step: the larger of the two sizes.

    Raises:
        ValueError: a `step` that is not positive, no draw, f(x) = 0, or an output that changes its shape.

    Example:
        >>> from graphgdl.groups import SO
        >>> from graphgdl.testing import Rotations
        >>> class FirstCoordinate(torch.nn.Module):
        ...     def forward(self, pos):
        ...         return pos[:, 0].sum()
        >>> data = Data(pos=torch.tensor([[2.0, 1.0]]))
        >>> round(equivariance_slope(FirstCoordinate(), data, Rotations(SO(2)), invariant=True), 6)
        0.5
    """
    if not step > 0:
        raise ValueError(f"`step` must be a size above 0, got {step}")
    f, x = prepared(module, data, torch.float64)
    slopes = []
    with torch.no_grad():
        before = tensors(call(f, x))
        scale = _scale(before)
        for direction in directions(seed, draws):
            near, far = (
                _gap(f, path, path.of_size(size, torch.Generator().manual_seed(direction)), x, before, invariant, call)
                for size in (step / 2, step)
            )
            slopes.append(_norm([(4 * a - b) / step for a, b in zip(near, far)]) / scale)
    return sum(slopes) / draws


def directions(seed: int, draws: int) -> list[int]:
    """Return a seed for each draw."""
    if draws < 1:
        raise ValueError(f"`draws` must be at least 1, got {draws}; no draw proves nothing")
    return torch.randint(2**62, (draws,), generator=torch.Generator().manual_seed(seed)).tolist()


def _gap(f: Module, path: Path, g: Any, x: Data, before: list[Tensor], invariant: bool, call: Call) -> list[Tensor]:
    expected = before if invariant else [path.act(g, out) for out in before]
    return _minus(tensors(call(f, path.act(g, x))), expected)


def _minus(left: list[Tensor], right: list[Tensor]) -> list[Tensor]:
    if [a.shape for a in left] != [b.shape for b in right]:
        shapes = [[tuple(a.shape) for a in side] for side in (left, right)]
        raise ValueError(
            f"`module` must return outputs of one shape for an input that moves, got {shapes[0]}, {shapes[1]}"
        )
    return [a - b for a, b in zip(left, right)]


def _norm(parts: list[Tensor]) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(part)) for part in parts))


def _scale(before: list[Tensor]) -> float:
    scale = _norm(before)
    if scale == 0:
        raise ValueError("`module` must not return zeros only: no error is relative to them")
    return scale

"""How far a module is from one law, measured as the kind of the law means it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from graphgdl.groups import Law
from graphgdl.testing.equivariance import TOLERANCE, Call, call_module, equivariance_errors, moving, prepared, tensors

SLACK = 0.25
"""How much less than stated the fitted order of a limit may be."""
DRAWS = 100
"""Number of calls, each with other random numbers, for each side of a law in distribution."""
ALPHA = 1e-6
"""Probability that a law that holds in distribution is rejected."""


@dataclass(frozen=True)
class Measurement:
    """An error, relative to the largest output; whether the law holds by it; for a limit the fitted order."""

    error: float
    holds: bool
    order: float | None = None


def measure(
    module: Module | Sequence[Module],
    family: Sequence[Data],
    laws: Sequence[Law],
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    draws: int = 4,
    call: Call = call_module,
) -> Measurement:
    """Measure one law.

    Exact laws and those of a subgroup: the largest error over the drawn elements, against `TOLERANCE`. A limit: the same
    at each resolution, and the slope of its logarithm over that of `data.spacing`, which must reach the stated order less
    `SLACK`. In distribution: means of both sides over `DRAWS` calls in training mode, at one element, whose difference must
    be below a multiple of its standard error that chance exceeds with probability `ALPHA` anywhere in the output.

    Args:
        module: what promises; for a limit also one module for each input.
        family: one input, or for a limit inputs from coarse to fine, each with its `spacing`.
        laws: the law, as stated for each of them.
        dtype, seed, draws, call: see `assert_equivariant`.

    Raises:
        ValueError: a limit with fewer than three resolutions, or without spacings.
    """
    law = laws[0]
    modules = [module] * len(family) if isinstance(module, Module) else module
    if law.kind == "distribution":
        return _in_distribution(modules[0], family[0], law, dtype, seed, call)
    if law.kind != "limit":
        error = _worst(modules[0], family[0], law, dtype, seed, draws, call)
        return Measurement(error, error <= TOLERANCE[dtype])
    if len(family) < 3 or any(data.get("spacing") is None for data in family):
        raise ValueError(
            f"`data` must be three resolutions, each with its `spacing`, to fit the order of {law.statement!r}, got "
            f"{len(family)} with {[data.get('spacing') for data in family]}"
        )
    errors = [_worst(f, data, each, dtype, seed, draws, call) for f, data, each in zip(modules, family, laws)]
    if max(errors) <= TOLERANCE[dtype]:
        return Measurement(errors[-1], True)
    order = _slope([float(data.spacing) for data in family], errors)
    return Measurement(errors[-1], order >= (law.order or 0.0) - SLACK, order)


def _worst(module: Module, data: Data, law: Law, dtype: torch.dtype, seed: int, draws: int, call: Call) -> float:
    kind = "invariant" if law.invariant else "equivariant"
    return max(equivariance_errors(module, data, law.group, kind, seed, draws, dtype, call))  # type: ignore[arg-type]


def _slope(spacings: list[float], errors: list[float]) -> float:
    """Least-squares slope of log error over log spacing; no number where an error is none."""
    x, y = [math.log(spacing) for spacing in spacings], [math.log(max(error, 1e-16)) for error in errors]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)


def _in_distribution(module: Module, data: Data, law: Law, dtype: torch.dtype, seed: int, call: Call) -> Measurement:
    f, x = prepared(module, data, dtype)
    f.train()
    g = moving(law.group, torch.Generator().manual_seed(seed))
    moved = law.group.act(g, x)
    left, right = [], []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(DRAWS):
            left.append(_flat(tensors(call(f, moved))))
            out = tensors(call(f, x))
            right.append(_flat(out if law.invariant else [law.group.act(g, part) for part in out]))
    if left[0].shape != right[0].shape:
        return Measurement(math.inf, False)
    a, b = torch.stack(left), torch.stack(right)
    gap, scale = (a.mean(0) - b.mean(0)).abs(), float(b.mean(0).abs().max())
    standard_error = ((a.var(0) + b.var(0)) / DRAWS).sqrt()
    bound = NormalDist().inv_cdf(1 - ALPHA / (2 * gap.numel())) * standard_error + TOLERANCE[dtype] * scale
    return Measurement(float(gap.max()) / (scale or 1.0), bool((gap <= bound).all()))


def _flat(out: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in out]).double()

r"""Hotelling's T2 on the differences of paired embeddings, and the verdicts that stand on it.

.. math:: T^2 = \bar d^\top S^{+} \bar d, \quad S = \frac{1}{q-1} \sum_i (d_i - \bar d)(d_i - \bar d)^\top

Source: Hotelling (1931); Wang and Zhang (2023), "Towards better evaluation of GNN expressiveness with BREC dataset".
Differs: the paper multiplies by the number of couples q, its released code does not but keeps the threshold. The
code's form is the default here (`rpc`), the paper's is stored beside it (`rpc_paper`); `rpc_eps` adds a ridge to S, since
a model that is invariant to the last bit has S = 0 and the pseudo-inverse then answers 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from graphgdl.expressivity.settings import Settings

RPC_VERDICTS = ("rpc", "rpc_eps", "rpc_paper")


def hotelling_t2(differences: np.ndarray, ridge: float = 0.0) -> float:
    """T2 of the rows of `differences` against zero, without the factor q.

    Singular directions of the covariance are cut at d times the rounding unit of the *input's* dtype, as the released code
    does by working in float32; the arithmetic itself is float64.

    Shapes: `differences` (q, d), float32 or float64; any NaN or infinity gives NaN.

    Raises:
        ValueError: not two-dimensional, or fewer than two rows.

    >>> d = np.random.default_rng(0).normal(size=(32, 2)) + [5.0, 0.0]
    >>> hotelling_t2(d) > 10, hotelling_t2(np.ones((32, 2)))
    (True, 0.0)
    """
    if differences.ndim != 2 or differences.shape[0] < 2:
        raise ValueError(f"`differences` must have shape (q, d) with q >= 2, got {differences.shape}")
    unit = np.finfo(differences.dtype).eps
    d = differences.astype(np.float64)
    if not np.isfinite(d).all():
        return math.nan
    mean = d.mean(axis=0)
    centred = d - mean
    covariance = centred.T @ centred / (len(d) - 1)
    covariance[np.diag_indices_from(covariance)] += ridge
    return float(mean @ np.linalg.pinv(covariance, rcond=d.shape[1] * unit, hermitian=True) @ mean)


@dataclass(frozen=True)
class Verdict:
    """One form of the test on one pair.

    Args:
        t2: statistic between copies of the two graphs.
        t2_rel: statistic between copies of one graph.
        separated: t2 above the threshold and not close to t2_rel.
        reliable: t2_rel below the threshold; False if a statistic is NaN.
    """

    t2: float
    t2_rel: float
    separated: bool
    reliable: bool


def judge(pair: np.ndarray, same: np.ndarray, settings: Settings) -> dict[str, Verdict]:
    """The three verdicts of the paired comparison.

    Args:
        pair: (q, d) differences f(copy of G) - f(copy of H).
        same: (q, d) differences between copies of one graph.
        settings: threshold, ridge and closeness.

    Returns:
        `rpc` (released code), `rpc_eps` (covariance plus ridge), `rpc_paper` (both statistics times q).
    """
    plain = hotelling_t2(pair), hotelling_t2(same)
    ridged = hotelling_t2(pair, settings.ridge), hotelling_t2(same, settings.ridge)
    scaled = len(pair) * plain[0], len(same) * plain[1]
    return {name: _decide(*t2, settings) for name, t2 in zip(RPC_VERDICTS, (plain, ridged, scaled))}


def _decide(t2: float, t2_rel: float, settings: Settings) -> Verdict:
    if math.isnan(t2) or math.isnan(t2_rel):
        return Verdict(t2, t2_rel, separated=False, reliable=False)
    close = abs(t2 - t2_rel) <= settings.close + 1e-5 * abs(t2_rel)
    return Verdict(t2, t2_rel, t2 > settings.threshold and not close, t2_rel < settings.threshold)

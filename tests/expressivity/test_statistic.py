import numpy as np
import pytest

from graphgdl.expressivity.settings import Settings
from graphgdl.expressivity.statistic import RPC_VERDICTS, hotelling_t2, judge

Q, D = 32, 16


def normal(seed, shift=0.0, dtype=np.float64):
    return (np.random.default_rng(seed).normal(size=(Q, D)) + shift).astype(dtype)


def test_threshold_is_hotellings_bound():
    from scipy.stats import f

    bound = (Q - 1) * D / (Q - D) * f.ppf(0.95, D, Q - D)
    assert Settings().threshold == pytest.approx(bound, abs=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_against_linear_regression_form(seed):
    # Independent formula: T2 (with factor q) = (q - 1) R^2 / (1 - R^2), R^2 of regressing the constant 1 on the rows.
    d = normal(seed, 0.3)
    ones = np.ones(Q)
    fitted = d @ np.linalg.lstsq(d, ones, rcond=None)[0]
    r2 = ones @ fitted / Q
    assert Q * hotelling_t2(d) == pytest.approx((Q - 1) * r2 / (1 - r2), rel=1e-9)


def test_singular_covariance_is_cut():
    d = normal(0)
    doubled = np.concatenate([d[:, :8], d[:, :8]], axis=1)
    assert hotelling_t2(doubled) == pytest.approx(hotelling_t2(d[:, :8]), rel=1e-9)


def test_exactly_invariant_model_needs_the_ridge():
    gap, none = np.full((Q, D), 0.1, np.float32), np.zeros((Q, D), np.float32)
    verdicts = judge(gap, none, Settings())
    assert {name: v.separated for name, v in verdicts.items()} == {"rpc": False, "rpc_eps": True, "rpc_paper": False}
    assert verdicts["rpc_eps"].t2 == pytest.approx(D * 0.01 / 1e-7, rel=1e-4)


def test_the_factor_q_is_in_the_papers_form_alone():
    verdicts = judge(normal(1, 0.5), normal(2), Settings())
    assert verdicts["rpc_paper"].t2 == pytest.approx(Q * verdicts["rpc"].t2)
    assert not verdicts["rpc"].separated
    assert verdicts["rpc_paper"].separated


def test_false_positives_of_the_papers_form_are_five_percent():
    hits = [judge(normal(seed), normal(10_000 + seed), Settings()) for seed in range(1000)]
    assert 30 <= sum(v["rpc_paper"].t2 > 72.34 for v in hits) <= 75
    assert sum(v["rpc"].t2 > 72.34 for v in hits) == 0


def test_close_statistics_do_not_separate():
    gap = normal(3, 100.0)
    verdict = judge(gap, gap, Settings())["rpc"]
    assert verdict.t2 > 72.34
    assert not verdict.separated
    assert not verdict.reliable


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_a_failure(bad):
    broken = normal(4)
    broken[3, 5] = bad
    for pair, same in ((broken, normal(5)), (normal(5), broken)):
        verdicts = judge(pair, same, Settings())
        assert not any(verdicts[name].separated or verdicts[name].reliable for name in RPC_VERDICTS)


def test_errors():
    with pytest.raises(ValueError, match=r"`differences` must have shape \(q, d\)"):
        hotelling_t2(np.zeros(4))
    with pytest.raises(ValueError, match="`copies` must exceed `channels`"):
        Settings(copies=16)
    with pytest.raises(ValueError, match="`couples` must be at least 1"):
        Settings(couples=0)
    with pytest.raises(ValueError, match="`epochs` must not be negative"):
        Settings(epochs=-1)

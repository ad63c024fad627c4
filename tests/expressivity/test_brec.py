"""The paired comparison on BREC: a few pairs always, the whole suite and the controls by hand (`-m slow`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphgdl.expressivity.compare import compare
from graphgdl.expressivity.models import GIN, NodeMarkingGIN
from graphgdl.expressivity.rpc import PairResult, compare_pair
from graphgdl.expressivity.score import Score
from graphgdl.expressivity.settings import Settings
from graphgdl.expressivity.suites import load_suite
from tests.expressivity.models_for_tests import BatchPosition, RandomFeatures

pytestmark = pytest.mark.data


def run(root: Path, model: type, pair: int) -> PairResult:
    suite = load_suite("brec", root)
    g, h = suite.pair(pair)
    return compare_pair(model, (suite.graphs[g], suite.graphs[h]), Settings(), pair=pair)


@pytest.mark.parametrize("pair", [0, 60, 110, 262])
def test_gin_is_blind_and_reliable(data_root: Path, pair: int) -> None:
    result = run(data_root, GIN, pair)
    for name in ("rpc", "rpc_eps"):
        assert not result.verdicts[name].separated
        assert result.verdicts[name].reliable


@pytest.mark.parametrize("pair", [30, 170])
def test_node_marking_sees_what_its_oracle_sees(data_root: Path, pair: int) -> None:
    result = run(data_root, NodeMarkingGIN, pair)
    assert result.verdicts["rpc"].separated
    assert result.verdicts["rpc"].reliable


def trained(root: Path, model: type | str, seeds: int) -> dict[str, Score]:
    scores = compare(["brec"], [model], seeds=range(100, 100 * seeds + 1, 100), jobs=2, root=root)
    return {score.verdict: score for score in scores}


@pytest.mark.slow
def test_gin_on_all_of_brec(data_root: Path) -> None:
    scores = trained(data_root, "gin", 1)
    assert scores["rpc"].separated == scores["rpc"].reliability_failures == 0


@pytest.mark.slow
def test_random_features_control(data_root: Path) -> None:
    scores = trained(data_root, RandomFeatures, 1)
    assert scores["rpc"].separated == scores["rpc"].reliability_failures == 0
    assert 7 <= scores["rpc_paper"].reliability_failures <= 36  # 5 % of 400, within three standard deviations
    assert scores["exact"].separated == 0


@pytest.mark.slow
def test_batch_position_control(data_root: Path) -> None:
    scores = trained(data_root, BatchPosition, 1)
    assert scores["rpc"].reliability_failures == scores["rpc_paper"].reliability_failures == 400

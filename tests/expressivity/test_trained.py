import errno
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from graphgdl.expressivity.ceiling import ceiling
from graphgdl.expressivity.compare import Reporter, compare, failures_note
from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.journal import Journal
from graphgdl.expressivity.models import load_model
from graphgdl.expressivity.oracles import ORACLES
from graphgdl.expressivity.settings import Settings
from graphgdl.expressivity.suites import Suite
from graphgdl.expressivity.trained import compare_trained
from graphgdl.expressivity.workers import Workers

sys.path.insert(0, str(Path(__file__).parent))
import models_for_tests as controls

QUICK = Settings(epochs=1)


def cycles(n):
    return Graph.from_edges(n, [(i, (i + 1) % n) for i in range(n)])


def union(g, h):
    return Graph.from_edges(g.n + h.n, np.concatenate([g.edges, h.edges + g.n]))


GRAPHS = (cycles(6), union(cycles(3), cycles(3)), cycles(7), union(cycles(3), cycles(4)), cycles(8))
GRAPHS += (union(cycles(4), cycles(4)),)
SUITE = Suite("cycles", GRAPHS, np.arange(6).reshape(3, 2), ("a", "a", "b"))


def stripped(scores):
    return [{**s.as_json(), "seconds": 0} for s in scores]


def test_scores_and_log(tmp_path):
    path = tmp_path / "log.jsonl"
    with Journal(path) as journal:
        scores = compare_trained(load_model("node-marking-gin"), SUITE, [100, 200], QUICK, journal=journal)
    assert [s.verdict for s in scores] == ["rpc", "rpc_eps", "rpc_paper"]
    assert scores[0].by_category == {"a": [2, 2], "b": [1, 1]}
    assert scores[0].pairs == []
    assert scores[0].per_seed == (3, 3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((line["seed"], line["pair"]) for line in lines) == [(s, p) for s in (100, 200) for p in range(3)]
    assert all(line["settings"] == QUICK.as_dict() for line in lines)


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_resume_gives_the_same_rows(tmp_path, keep):
    model, path = load_model("node-marking-gin"), tmp_path / "log.jsonl"
    with Journal(path) as journal:
        whole = compare_trained(model, SUITE, [100], QUICK, journal=journal)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:keep]) + '{"run":"half a li')
    ran = []
    with Journal(path) as journal:
        assert len(journal) == keep
        report = lambda done, total: ran.append(done)  # noqa: E731
        again = compare_trained(model, SUITE, [100], QUICK, journal=journal, progress=report)
    assert len(ran) == 3 - keep
    assert stripped(again) == stripped(whole)
    assert sorted(line["pair"] for line in Journal(path)) == [0, 1, 2]


def test_lines_of_other_settings_or_sources_are_not_trusted(tmp_path):
    path = tmp_path / "log.jsonl"
    for settings in (QUICK, Settings(epochs=2)):
        with Journal(path) as journal:
            compare_trained(load_model("gin"), SUITE, [100], settings, journal=journal)
    assert len(path.read_text().splitlines()) == 6


def test_two_processes_give_the_same(tmp_path):
    model = load_model("node-marking-gin")
    alone = compare_trained(model, SUITE, [100], QUICK)
    with Workers(2) as workers:
        together = compare_trained(model, SUITE, [100], QUICK, workers=workers)
    assert stripped(alone) == stripped(together)


def test_hopeless_pairs_are_trained_under_the_first_seed_only(tmp_path):
    path = tmp_path / "log.jsonl"
    bound = ceiling(ORACLES["1-wl"], SUITE)
    with Journal(path) as journal:
        scores = compare_trained(load_model("gin"), SUITE, [100, 200], QUICK, bound, journal=journal)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {(line["seed"], line["trained"]) for line in lines} == {(100, True), (200, False)}
    assert scores[0].ceiling == 0
    assert scores[0].separated == 0
    assert scores[0].leaks == 0


def test_leak_above_the_ceiling_is_flagged():
    scores = compare([SUITE], [controls.Triangles], settings=QUICK)
    assert scores[0].separated == 2
    assert scores[0].ceiling == 0
    assert scores[0].leaks == 2
    assert "2 pairs above the exact ceiling" in failures_note(scores)[0]
    whole = Suite("all", GRAPHS[:2])
    assert compare([whole], [controls.Triangles])[0].leaks == 1


def test_nan_and_random_models_fail_reliability_under_exact():
    for model in (controls.NaN, controls.RandomFeatures):
        for suite, failures in ((SUITE, 3), (Suite("all", GRAPHS), 15)):
            [score] = compare([suite], [model])
            assert score.separated == 0
            assert score.reliability_failures == failures
            assert "not valid" in failures_note([score])[0]


def test_majority_of_seeds():
    scores = compare_trained(load_model("node-marking-gin"), SUITE, [100, 200, 300], QUICK)
    assert scores[0].separated == 3
    assert scores[0].seeds == [100, 200, 300]


def test_predicted_time_is_announced_first():
    notes = []
    compare_trained(load_model("gin"), SUITE, [100], QUICK, announce=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("predicted: at most")

    class Notes(Reporter):
        def note(self, text):
            notes.append(text)

    compare([SUITE], oracles=["1-wl"], reporter=Notes())
    assert notes[1].startswith("predicted: about")


def test_full_disk_is_a_clear_error(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    with Journal(path) as journal:
        compare_trained(load_model("gin"), SUITE, [100], QUICK, journal=journal)
        before = path.read_bytes()

        def full(text):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(journal._file, "write", full, raising=False)
        with pytest.raises(OSError, match=r"cannot write the log .*No space left.*3 lines are safe.*resume"):
            compare_trained(load_model("gin"), SUITE, [200], QUICK, journal=journal)
        monkeypatch.undo()
    assert path.read_bytes() == before


def test_foreign_log_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello\nworld\n")
    with pytest.raises(ValueError, match=r"notes\.txt, line 1: expected one JSON object a line"):
        Journal(path)
    assert path.read_text() == "hello\nworld\n"


def test_errors():
    with pytest.raises(ValueError, match="`seeds` must hold at least one seed"):
        compare_trained(load_model("gin"), SUITE, [])
    with pytest.raises(ValueError, match="`jobs` must be at least 1, got 0"):
        Workers(0)
    with pytest.raises(ValueError, match=r"`oracle` must be one of 1-wl.*got '7-wl'"):
        compare([SUITE], oracles=["7-wl"])
    with pytest.raises(ValueError, match="pairs, more than 5000 to train on"):
        compare_trained(load_model("gin"), Suite("big", tuple(cycles(3) for _ in range(110))), [100])


def explode(shared, task):
    raise ValueError(f"bad {task}")


def die(shared, task):
    import os

    os._exit(3)


def test_errors_of_a_worker_reach_the_caller():
    with Workers(2) as workers, pytest.raises(ValueError, match="bad 1"):
        list(workers.run(explode, None, [1]))
    with Workers(2) as workers, pytest.raises(RuntimeError, match="a worker process died at task 1, out of memory"):
        list(workers.run(die, None, [1]))


def test_a_partial_class_is_a_model():
    from graphgdl.expressivity.models import GIN

    assert load_model(partial(GIN, layers=2)).power is None

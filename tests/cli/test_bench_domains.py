"""`graphgdl bench domains`: every side is checked before it is timed, and the rows say what was measured."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from graphgdl.cli.bench.contests import cases, contest
from graphgdl.cli.main import app

SMALL = {
    "convolution": lambda: cases.convolution(batch=2, size=5, channels=3),
    "convolution-periodic": lambda: cases.convolution(ring=True, batch=2, size=5, channels=3),
    "convolution-messages": lambda: cases.convolution_by_messages(batch=2, size=5, channels=3),
    "lstm": lambda: cases.recurrence(batch=3, length=6, channels=4),
    "gru": lambda: cases.recurrence("GRU", batch=3, length=6, channels=4),
    "lstm-uneven": lambda: cases.uneven_recurrence(batch=5, longest=7, channels=4),
    "encoder": lambda: cases.encoder(batch=3, size=5, channels=16),
    "attention-compiled": lambda: cases.attention_on_edges(batch=3, size=5, channels=16),
    "attention-messages": lambda: cases.attention_on_edges("message", batch=3, size=5, channels=16),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    torch.manual_seed(0)
    assert list(SMALL) == list(cases.CASES)
    monkeypatch.setattr(cases, "CASES", SMALL)


def run(*args):
    return CliRunner().invoke(app, ["bench", "domains", "--repeats", "3", *map(str, args)])


def test_every_case_is_checked_and_timed(tmp_path):
    result = run("--json", tmp_path / "rows.jsonl")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(r["case"], r["step"]) for r in rows] == [(c, s) for c in SMALL for s in ("forward", "forward+backward")]
    for row in rows:
        ours, *peers = row["ms"]
        fastest = min(peers, key=row["ms"].get)
        assert row["fastest_peer"] == fastest
        assert row["ratio"] == pytest.approx(row["ms"][ours] / row["ms"][fastest])
        assert row["environment"]["torch"] == torch.__version__
        assert row["name"] in result.output.replace("\n", "")


@pytest.mark.parametrize("name", SMALL)
def test_a_side_that_is_wrong_is_not_timed(name):
    made = SMALL[name]()
    ours = next(iter(made.sides))
    side = made.sides[ours]
    late = replace(side, run=lambda v: 1.01 * side.run(v))
    with pytest.raises(ValueError, match=rf"{ours}.* differs from .*, above"):
        contest.Contest(made.name, {**made.sides, ours: late}, made.most).measure(3)


def test_gradients_are_checked_too():
    class Cut(nn.Module):
        def forward(self, x):
            return 2 * x + (x - x.detach())

    twice, cut = nn.Module(), Cut()
    x = torch.randn(4, 3).requires_grad_()
    sides = {"cut": contest.Side(cut, cut, x), "twice": contest.Side(twice, lambda v: 2 * v, x)}
    with pytest.raises(ValueError, match="cut differs from twice"):
        contest.Contest("doubling", sides, 1.0).measure(3)


def test_bad_input(tmp_path):
    result = run("--case", "pooling")
    assert result.exit_code == 2
    assert "`--case` must be one of convolution, " in result.stderr
    result = run("--json", tmp_path / "missing" / "rows.jsonl")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr

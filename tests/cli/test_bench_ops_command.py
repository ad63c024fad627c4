"""`graphgdl bench ops` as a command: rows, figure, comparison, exit codes, an interrupt."""

from __future__ import annotations

import json

import pytest
import torch
from quick_bench import TINY, quick  # noqa: F401 - a fixture of this module
from typer.testing import CliRunner

from graphgdl.cli.bench.hot_path import job, sums
from graphgdl.cli.bench.hot_path.problem import OURS
from graphgdl.cli.main import app


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "QUICK", TINY)
    return lambda *args: CliRunner().invoke(app, ["bench", "ops", *(str(a) for a in args)])


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_command_writes_rows_and_figure_and_compares(run, tmp_path):
    args = ("--layer", "GCNConv", "--layer", "sum", "--graph", "grid", "--channels", 8, "--quick", "--threads", 1)
    before = torch.get_num_threads()
    result = run(*args, "--json", "rows.jsonl", "--plot", "figure.png")
    assert result.exit_code == 0, result.output
    assert torch.get_num_threads() == before
    assert "predicted: about" in result.stderr
    assert "GCNConv" in result.output
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    found = rows(tmp_path / "rows.jsonl")
    assert len(found) == 2 * 4 + 2 * 6
    assert {r["environment"]["threads"] for r in found} == {1}
    assert all(r["environment"]["torch"] == torch.__version__ for r in found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "rows.jsonl"]

    args = args[2:]  # without GCNConv
    again = run(*args, "--compare", "rows.jsonl", "--tolerance", 1000)
    assert again.exit_code == 0, again.output
    assert "sum on grid, forward: time against the plain peer x " in again.output
    for r in found:  # an earlier run that was a thousand times faster
        r["ratio_plain"] = r["ratio_plain"] and 1000 * r["ratio_plain"]
    (tmp_path / "fast.jsonl").write_text("".join(json.dumps(r) + "\n" for r in found))
    again = run(*args, "--compare", "fast.jsonl")
    assert again.exit_code == 1
    assert "WORSE: sum on grid, forward+backward: time against the plain peer x " in again.stderr


def test_wrong_result_is_exit_code_1(run, monkeypatch):
    def wrong(graph):
        right = sums._gather_and_add(graph)
        return lambda x, w, edges: 2 * right(x, w, edges)

    monkeypatch.setattr(sums, "_ours", wrong)
    result = run("--layer", "sum", "--graph", "grid", "--channels", 8, "--quick", "--json", "rows.jsonl")
    assert result.exit_code == 1
    assert "Error: sum on grid, forward, graphgdl: wrong by 1.0e+00, tolerance 1e-04" in result.stderr


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_command_on_a_gpu(run, tmp_path):
    args = ("--layer", "GCNConv", "--layer", "sum", "--graph", "grid", "--channels", 8, "--quick", "--device", "cuda")
    result = run(*args, "--json", "rows.jsonl")
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "rows.jsonl")
    assert {r["device"] for r in found} == {"cuda"}
    timed = {r["side"] for r in found if r["status"] == "ok" and r["median_ms"] > 0 and r["peak_mib"] >= 0}
    assert {OURS, "PyG tensor", "PyG compiled", "gather + index_add", "torch CSR"} <= timed
    ours = [r for r in found if r["side"] == OURS]
    assert all(r["status"] == "ok" and r["busy_ms"] > 0 and r["gather_share"] > 0 for r in ours)
    assert {r["lowering"] for r in ours if r["kind"] == "layer"} == {"compiled"}
    assert all(r["environment"]["gpu"] for r in found)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--layer", "nope"], "`layer` must be one of TransformerConv, GATConv"),
        (["--graph", "nope"], "`graph` must be one of random-20k, random-100k"),
        (["--channels", 6], "`channels` must be a positive multiple of 4, for the heads, got 6"),
        (["--device", "tpu"], "`device` must be cpu or cuda, got 'tpu'"),
        (["--json", "no/such/folder/x.json"], "does not exist"),
        (["--compare", "missing.jsonl"], "missing.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, args, text):
    result = run(*args)
    assert result.exit_code == 2
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_interrupt_keeps_what_is_done(run, monkeypatch, tmp_path):
    whole = job.measure

    def second_is_interrupted(problem, *args):
        if problem.name == "weighted-sum":
            raise KeyboardInterrupt
        return whole(problem, *args)

    monkeypatch.setattr(job, "measure", second_is_interrupted)
    args = ("--layer", "sum", "--layer", "weighted-sum", "--graph", "grid", "--channels", 8, "--quick")
    result = run(*args, "--json", "rows.jsonl")
    assert result.exit_code == 130
    assert "Interrupted; 12 rows are in rows.jsonl." in result.stderr
    assert len(rows(tmp_path / "rows.jsonl")) == 12
    assert "Interrupted; nothing was written." in run(*args).stderr

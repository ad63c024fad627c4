import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import graphgdl
from graphgdl.cli.bench import wl as wl_module
from graphgdl.cli.main import app

KEYS = [
    *("suite", "name", "kind", "verdict", "separated", "total", "by_category", "ceiling"),
    *("reliability_failures", "seeds", "seconds", "pairs"),
]
PAIRS = "EhEG\nEwCW\n"  # hexagon, two triangles


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(app, [str(a) for a in args])


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_version(run):
    assert run("--version").output.strip() == graphgdl.__version__


def test_info(run):
    text = run("info").output
    assert "torch_geometric" in text
    facts = json.loads(run("info", "--json").output)
    assert facts["packages"]["torch"] is not None
    assert facts["backends"]["cpu"] is None
    assert any(device.startswith("cpu") for device in facts["devices"])


def test_json_rows_and_figure(run, tmp_path):
    result = run(
        *("bench", "wl", "--suite", "sr16", "--suite", "csl", "--oracle", "1-wl", "--oracle", "pair-marking"),
        *("--model", "gin", "--jobs", 1, "--json", "rows.jsonl", "--plot", "figure.png"),
    )
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "rows.jsonl")
    assert all(list(row) == KEYS for row in found)
    scores = {(row["suite"], row["name"]): (row["separated"], row["total"], row["ceiling"]) for row in found}
    assert scores["sr16", "pair-marking"] == (1, 1, None)
    assert scores["csl", "gin"] == (0, 45, 0)
    assert "arXiv 2406.08993" in result.output
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_trained_model_of_the_user_and_resume(run, tmp_path, monkeypatch):
    (tmp_path / "pairs.g6").write_text(PAIRS)
    (tmp_path / "my_model.py").write_text(
        "from graphgdl.expressivity.models import NodeMarkingGIN\nclass Mine(NodeMarkingGIN):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    command = ["bench", "wl", "--suite", "pairs.g6", "--model", "my_model:Mine", "--seeds", 1, "--jobs", 1]
    command += ["--json", "rows.jsonl", "--log", "log.jsonl"]
    assert run(*command).exit_code == 0
    first, log = rows(tmp_path / "rows.jsonl"), (tmp_path / "log.jsonl").read_text()
    assert [row["verdict"] for row in first] == ["exact", "rpc", "rpc_eps", "rpc_paper"]
    assert first[1]["separated"] == 1
    assert first[1]["seeds"] == [100]
    assert first[1]["pairs"] == []
    assert run(*command).exit_code == 0
    assert (tmp_path / "log.jsonl").read_text() == log
    assert rows(tmp_path / "rows.jsonl")[1:] == first[1:]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--suite", "nope"], "unknown suite 'nope'; choose one of csl, atlas"),
        (["--suite", "missing.g6"], "expected a graph6 file"),
        (["--suite", "csl", "--model", "nope"], "`model` must be one of"),
        (["--suite", "csl", "--oracle", "nope"], "`oracle` must be one of"),
        (["--suite", "csl", "--oracle", "1-wl", "--json", "no/such/folder/x.json"], "does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, args, text):
    result = run("bench", "wl", *args)
    assert result.exit_code == 2
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_download_fetches_what_has_a_source(run, tmp_path, monkeypatch):
    from graphgdl.expressivity.suites import remote

    fetched = []
    monkeypatch.setattr(remote, "fetch", lambda name, root, show_progress: fetched.append((name, root)))
    result = run(
        "bench", "wl", "--suite", "csl", "--suite", "brec", "--oracle", "1-wl", "--download", "--root", tmp_path
    )
    assert fetched == [("brec", tmp_path)]
    assert result.exit_code == 2  # nothing was put there
    assert "suite brec: expected brec/raw" in result.stderr
    monkeypatch.delenv("GRAPHGDL_DATA", raising=False)
    result = run("bench", "wl", "--suite", "brec", "--download")
    assert (result.exit_code, result.stderr.strip()) == (
        2,
        "Error: `--download` needs `--root`, the folder to download into",
    )


def test_interrupt_says_how_to_resume(run, monkeypatch):
    import graphgdl.expressivity.compare as compare_module

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_module, "compare", interrupted)
    result = run("bench", "wl", "--suite", "csl", "--model", "gin", "--seeds", 1)
    assert result.exit_code == 130
    assert "graphgdl-wl-log.jsonl: run the same command again to resume" in result.stderr


def test_write_is_all_or_nothing(tmp_path, monkeypatch):
    path, other = tmp_path / "rows.jsonl", tmp_path / "other"
    other.touch()
    wl_module.write_atomically(path, b"old")
    assert path.stat().st_mode == other.stat().st_mode  # as readable as any file of the user's
    other.unlink()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        wl_module.write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_python_m_graphgdl(tmp_path):
    command = [
        sys.executable,
        "-m",
        "graphgdl",
        "bench",
        "wl",
        "--suite",
        "sr16",
        "--oracle",
        "all",
        "--json",
        "r.jsonl",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "predicted" in done.stderr
    parted = {row["name"] for row in rows(tmp_path / "r.jsonl") if row["separated"]}
    assert parted == {"pair-marking", "3-fwl", "search-tree-2", "search-tree-3"}

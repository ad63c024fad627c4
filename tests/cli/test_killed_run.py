"""A run that is killed in the middle, by force, ends in the same rows as one that is not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [
    sys.executable,
    "-m",
    "graphgdl",
    "bench",
    "wl",
    "--suite",
    "sr28",
    "--model",
    "gin",
    "--seeds",
    "2",
    "--jobs",
    "1",
]


def rows(path: Path) -> list[dict]:
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in path.read_text().splitlines()]


def test_killed_run_resumes_to_the_same_rows(tmp_path: Path) -> None:
    whole = [*COMMAND, "--log", "whole.jsonl", "--json", "whole.rows.jsonl"]
    subprocess.run(whole, cwd=tmp_path, check=True, capture_output=True)
    killed = [*COMMAND, "--log", "killed.jsonl", "--json", "killed.rows.jsonl"]
    log = tmp_path / "killed.jsonl"
    process = subprocess.Popen(killed, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and log.read_bytes().count(b"\n") >= 3):
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = log.read_bytes()
    assert 3 <= before.count(b"\n") < 12
    assert not (tmp_path / "killed.rows.jsonl").exists()
    with log.open("ab") as file:
        file.write(b'{"run": "cut sh')  # what a crash in the middle of a line leaves
    subprocess.run(killed, cwd=tmp_path, check=True, capture_output=True)
    assert log.read_bytes().startswith(before)
    assert [json.loads(line)["seed"] for line in log.read_text().splitlines()].count(100) == 6
    assert rows(tmp_path / "killed.rows.jsonl") == rows(tmp_path / "whole.rows.jsonl")

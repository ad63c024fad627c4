"""The README's python blocks run, in order, in one namespace; its `graphgdl` commands run beside the files it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    line.split("#")[0].strip()
    for language, code in BLOCKS
    if language == "bash"
    for line in code.splitlines()
    if line.startswith("graphgdl ") and "brec" not in line
]


def file_name(code: str) -> str | None:
    """A block whose first line is `# name.py` is a file of the user's."""
    match = re.match(r"# (\w+\.py)\n", code)
    return match[1] if match else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    for code in PYTHON:
        if name := file_name(code):
            (folder / name).write_text(code)
    return folder


def test_snippets_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    snippets = [code for code in PYTHON if not file_name(code)]
    assert len(snippets) >= 3
    namespace: dict[str, object] = {}
    for code in snippets:
        exec(compile(code, "README.md", "exec"), namespace)


def test_commands_run(folder: Path) -> None:
    assert any("--model" in command and "--suite" in command for command in COMMANDS)
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if k != "GRAPHGDL_DATA"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

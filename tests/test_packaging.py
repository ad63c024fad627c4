"""The wheel holds `graphgdl/` alone, needs no other torch, and works outside the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CI")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")  # a copy: the build leaves nothing in the work tree
    tracked = run(
        "git", "ls-files", "graphgdl", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", cwd=ROOT
    ).split()
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", out, source, cwd=out)
    return next(out.glob("graphgdl-*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment in which the dependencies are there, torch among them, but graphgdl's source is not."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    bin_dir = home / ("Scripts" if os.name == "nt" else "bin")
    site = Path(
        run(bin_dir / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    )
    if list(site.glob("setuptools")):  # an old one comes with some Pythons' pip and would hide the one torch needs
        run(bin_dir / "python", "-m", "pip", "uninstall", "--yes", "setuptools", cwd=home)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    run(bin_dir / "python", "-m", "pip", "install", "--no-deps", "--force-reinstall", "--no-index", wheel, cwd=home)
    return bin_dir


def test_wheel_holds_the_package_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"graphgdl", f"graphgdl-{wheel.name.split('-')[1]}.dist-info"}
    shipped = {name for name in names if name.startswith("graphgdl/")}
    tracked = set(run("git", "ls-files", "graphgdl", cwd=ROOT).split())
    code = {name for name in tracked if name.endswith((".py", "py.typed"))}
    assert code <= shipped <= tracked
    assert not [name for name in shipped if "EXP" in name], "the EXP files are GPL and must not be shipped"


def test_metadata_is_content_with_the_installed_torch(environment: Path, wheel: Path, tmp_path: Path) -> None:
    report = run(
        environment / "python", "-m", "pip", "install", "--dry-run", "--quiet", "--no-index", "--report", "-", wheel,
        cwd=tmp_path,
    )  # fmt: skip
    names = [item["metadata"]["name"] for item in json.loads(report)["install"]]
    assert set(names) <= {"graphgdl"}


def test_commands_run_outside_the_repository(environment: Path, tmp_path: Path) -> None:
    place = run(environment / "python", "-c", "import graphgdl; print(graphgdl.__file__)", cwd=tmp_path).strip()
    assert Path(place).is_relative_to(environment.parent)
    info = json.loads(run(environment / "graphgdl", "info", "--json", cwd=tmp_path))
    assert "graphgdl" in json.dumps(info)
    run(
        environment / "graphgdl", "bench", "wl", "--suite", "sr16", "--oracle", "all", "--json", "rows.jsonl",
        "--plot", "figure.png", cwd=tmp_path,
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    separated = {row["name"]: row["separated"] for row in rows}
    assert separated["2-fwl"] == 0
    assert separated["3-fwl"] == 1
    assert (tmp_path / "figure.png").stat().st_size > 1000

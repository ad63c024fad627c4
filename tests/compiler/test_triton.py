"""Runs the cases of `triton_cases`: under Triton's interpreter in a process of its own, and on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CASES = Path(__file__).with_name("triton_cases.py")


def run(arguments: list[str], interpreted: bool) -> None:
    """Run the cases; Triton reads TRITON_INTERPRET when it is imported."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    environment |= {"TRITON_INTERPRET": "1" if interpreted else "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(CASES), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=CASES.parents[2])
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
@pytest.mark.parametrize(
    "part", ["second_derivative or odd_sizes", "mutants", "not (second_derivative or odd_sizes or mutants)"]
)
def test_interpreted(part):
    run(["-k", part], interpreted=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_interpreted_at_more_sizes():
    run(["-m", "slow"], interpreted=True)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    run(["-m", "slow or not slow"], interpreted=False)

"""Runs `triton_cases`, and `device_cases` of the layers: under Triton's interpreter, and on a GPU where there is one.

Triton reads TRITON_INTERPRET when it is imported, so each run is a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parents[1]
KERNELS, LAYERS = TESTS / "compiler" / "triton_cases.py", TESTS / "nn" / "device_cases.py"


def run(cases: Path, arguments: list[str], interpreted: bool) -> None:
    """Run the cases of a file."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    environment |= {"TRITON_INTERPRET": "1" if interpreted else "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(cases), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=TESTS.parent)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
@pytest.mark.parametrize(
    ("cases", "part"),
    [
        (KERNELS, "second_derivative or odd_sizes"),
        (KERNELS, "mutants"),
        (KERNELS, "not (second_derivative or odd_sizes or mutants)"),
        (LAYERS, "test"),
    ],
)
def test_interpreted(cases, part):
    run(cases, ["-k", part], interpreted=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
@pytest.mark.parametrize("cases", [KERNELS, LAYERS])
def test_interpreted_at_more_sizes(cases):
    run(cases, ["-m", "slow"], interpreted=True)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("cases", [KERNELS, LAYERS])
def test_on_a_gpu(cases):
    run(cases, ["-m", "slow or not slow"], interpreted=False)

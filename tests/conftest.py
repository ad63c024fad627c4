"""Data sets for the tests that read them, and one thread per worker when the tests run in parallel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# The same examples in every run, and no clock: a busy machine is not a bug.
settings.register_profile("graphgdl", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("graphgdl")

# Compiled kernels of the tests stay out of the user's cache folder; commands that a test starts inherit it.
os.environ.setdefault("GRAPHGDL_CACHE", str(Path(__file__).parent.parent / ".pytest_cache" / "kernels"))

REQUIRED = bool(os.environ.get("GRAPHGDL_REQUIRE_DATA"))
skipped_data_tests: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("PYTEST_XDIST_WORKER"):
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = os.environ.get("GRAPHGDL_DATA")
    if root and Path(root).is_dir():
        return
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason="GRAPHGDL_DATA does not name a folder with the public data sets"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if REQUIRED and report.skipped and "data" in report.keywords:
        skipped_data_tests.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if skipped_data_tests:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for nodeid in skipped_data_tests:
        terminalreporter.write_line(f"FAILED {nodeid}: GRAPHGDL_REQUIRE_DATA is set and the test was skipped", red=True)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder with the public data sets (see datasets/README.md)."""
    root = os.environ.get("GRAPHGDL_DATA")
    if not root:
        pytest.skip("GRAPHGDL_DATA does not name a folder with the public data sets")
    return Path(root)

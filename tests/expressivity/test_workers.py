"""Worker processes end with the process that started them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from graphgdl.expressivity.workers import Workers

HERE = Path(__file__).parent


def busy(folder: str, task: int) -> None:
    """Say which process this is, then compute for a minute."""
    part = Path(folder, f"{task}.part")
    part.write_text(str(os.getpid()))
    part.rename(Path(folder, f"{task}.pid"))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill(pid, 0) ends a process on Windows")
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGKILL", marks=pytest.mark.slow)])
def test_workers_end_at_once_with_their_parent(name, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    parent = subprocess.Popen([sys.executable, __file__, str(tmp_path)], env=environment, stderr=subprocess.DEVNULL)
    files = [tmp_path / "0.pid", tmp_path / "1.pid"]
    try:
        assert within(100, lambda: all(f.exists() for f in files))
        pids = [int(f.read_text()) for f in files]
        assert all(map(alive, pids))
        parent.send_signal(getattr(signal, name))
        assert parent.wait(20) != 0
        assert within(10, lambda: not any(map(alive, pids)))
    finally:
        parent.kill()
        parent.wait()


if __name__ == "__main__":
    import test_workers

    with Workers(2) as workers:
        list(workers.run(test_workers.busy, sys.argv[1], [0, 1]))

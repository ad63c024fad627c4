"""Peak memory of a call: what it adds to the process above the level before it."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 2.0**20


def peak_mib(run: Callable[[], Any], device: str = "cpu") -> float:
    """Return the most memory in MiB that `run` held at once, above the level before the call.

    Results count, inputs and whatever a side keeps between calls do not. On CUDA torch's allocator says it. On Linux
    the kernel keeps the largest resident size since the last reset, exactly; elsewhere a thread reads the resident size
    every half millisecond and may miss a short peak. Freed memory goes back to the system first, where the C library
    can do that: otherwise its reuse would not show.
    """
    gc.collect()
    if device != "cpu":
        return _peak_cuda(run)
    _give_back()
    if _resets():
        before = _status("VmRSS")
        _CLEAR.write_text("5")
        kept = run()
        peak = _status("VmHWM")
        del kept
        return max(peak - before, 0) / MIB
    return _watched(run)


def available_bytes(device: str = "cpu") -> int:
    """Memory that a new tensor may take."""
    if device == "cpu":
        import psutil  # type: ignore[import-untyped]

        return int(psutil.virtual_memory().available)
    import torch

    return int(torch.cuda.mem_get_info()[0])


def _peak_cuda(run: Callable[[], Any]) -> float:
    import torch

    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    kept = run()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated()
    del kept
    return (peak - before) / MIB


def _give_back() -> None:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    trim(0)


def _resets() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return _status("VmHWM") > 0


def _status(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def _watched(run: Callable[[], Any]) -> float:
    import psutil

    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.0005):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        kept = run()
        peak = max(peak, process.memory_info().rss)
        del kept
    finally:
        done.set()
        thread.join()
    return (peak - before) / MIB

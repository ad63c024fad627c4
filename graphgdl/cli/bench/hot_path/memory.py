"""Peak memory of a call: what it adds to the process above the level before it."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
MIB = 2.0**20
_LARGE = 2**17  # bytes


def peak_mib(run: Callable[[], Any], device: str = "cpu") -> float:
    """Return the most memory in MiB that `run` held at once, above the level before the call.

    Results count, inputs and whatever a side keeps between calls do not. On CUDA torch's allocator says it. On Linux
    the kernel keeps the largest resident size since the last reset, exactly; elsewhere a thread reads the resident size
    every half millisecond and may miss a short peak.
    """
    if device != "cpu":
        return _peak_cuda(run)
    with _prompt_allocator():
        return _counted(run) if _resets() else _watched(run)


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


@contextmanager
def _prompt_allocator() -> Iterator[None]:
    """Let glibc take each block of 128 KiB or more from the system, and return it as soon as it is freed.

    Otherwise the reuse of freed blocks would not show, and neither would blocks that could not be reused be told from
    memory that is needed (glibc before 2.38 seldom reuses a large aligned block). Free blocks of the heap would be used
    first, and stay resident: they are held meanwhile, untouched. Afterwards the limits are those that glibc itself
    arrives at when large blocks were freed: 32 MiB, and 64 MiB kept.
    """
    try:
        libc = ctypes.CDLL(None)
        trim, option = libc.malloc_trim, libc.mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        yield
        return
    option(_M_MMAP_THRESHOLD, _LARGE)
    held = _free_blocks(libc)
    trim(0)
    try:
        yield
    finally:
        for block in held:
            libc.free(block)
        option(_M_MMAP_THRESHOLD, 2**25)
        option(_M_TRIM_THRESHOLD, 2**26)


def _free_blocks(libc: ctypes.CDLL) -> list[ctypes.c_void_p]:
    """Allocate the large free blocks of the heap: all that malloc returns without asking the system for a mapping."""
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.mallinfo.restype = _Mallinfo
    held = []
    size = 2**30
    while size >= _LARGE:
        mappings = libc.mallinfo().hblks
        block = ctypes.c_void_p(libc.malloc(size))
        if libc.mallinfo().hblks == mappings and block:
            held.append(block)
        else:
            libc.free(block)
            size = size * 3 // 4
    return held


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo` of malloc.h, of which `hblks`, the number of mappings, is read."""

    _fields_: ClassVar = [("before", ctypes.c_int * 3), ("hblks", ctypes.c_int), ("after", ctypes.c_int * 6)]


def _counted(run: Callable[[], Any]) -> float:
    before = _status("VmRSS")
    _CLEAR.write_text("5")
    kept = run()
    peak = _status("VmHWM")
    del kept
    return max(peak - before, 0) / MIB


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

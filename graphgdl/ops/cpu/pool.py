"""Run a row kernel over all rows, on as many threads as torch uses.

Kernels release the interpreter lock, so plain Python threads run them side by side: nothing to configure, safe after
a fork and under several calling threads. Chunks hold whole rows, so the result does not depend on the number of
threads. The caller works too; if the pool is busy it does everything itself.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch

from ..rows import Rows

# Multiply-adds below which one thread is faster: waking the others costs up to 100 us, and this many take about 200.
SERIAL_WORK = 1_000_000

_lock = threading.Lock()
_executor: ThreadPoolExecutor | None = None
_workers = 0


def run(kernel: Callable[..., None], rows: Rows, work: int, *args: Any) -> None:
    """Call `kernel(*args, start, stop)` over all of `rows`; `work` is its number of multiply-adds."""
    threads = torch.get_num_threads()
    if threads < 2 or work < SERIAL_WORK:
        kernel(*args, 0, rows.num_rows)
        return
    bounds = list(pairwise(rows.cuts(4 * threads)))
    each(lambda part: kernel(*args, *bounds[part]), len(bounds))


def each(task: Callable[[int], None], count: int) -> None:
    """Call `task(0)` to `task(count - 1)`, each once, on as many threads as torch uses; tasks must be independent."""
    threads = min(torch.get_num_threads(), count)
    if threads < 2:
        for part in range(count):
            task(part)
        return
    todo = deque(range(count))

    def drain() -> None:
        while True:
            try:
                part = todo.popleft()
            except IndexError:
                return
            task(part)

    helpers = _start(drain, threads - 1)
    try:
        drain()
    finally:
        todo.clear()
        for helper in helpers:
            if not helper.cancel():
                helper.result()


def _start(task: Callable[[], None], workers: int) -> list[Future[None]]:
    global _executor, _workers
    with _lock:
        if _executor is None or _workers < workers:
            if _executor is not None:
                _executor.shutdown(wait=False)
            _executor, _workers = ThreadPoolExecutor(workers, thread_name_prefix="graphgdl"), workers
        try:
            return [_executor.submit(task) for _ in range(workers)]
        except RuntimeError:  # the interpreter is shutting down: the caller works alone
            return []


def _forget() -> None:
    global _lock, _executor, _workers
    _lock, _executor, _workers = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):  # a forked child has none of the threads
    os.register_at_fork(after_in_child=_forget)

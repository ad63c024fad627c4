"""Worker processes that share one task at a time; started by spawn, so the same on every platform."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from types import TracebackType
from typing import Any

Function = Callable[[Any, Any], Any]


class Workers:
    """`jobs` processes, one torch thread each; with one job everything runs in the calling process.

    Use as a context manager: leaving it, by an error or Ctrl-C too, ends the processes at once, and so does the end of this
    process, however it comes.

    Args:
        jobs: number of processes.

    Raises:
        ValueError: `jobs` is not positive.
    """

    def __init__(self, jobs: int = 1) -> None:
        if jobs < 1:
            raise ValueError(f"`jobs` must be at least 1, got {jobs}")
        self.jobs = jobs
        self._pipes: list[Any] = []
        self._processes: list[Any] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()
        self._pipes, self._processes = [], []

    def run(self, function: Function, shared: Any, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield (task, function(shared, task)) as they are done; `shared` is sent once to each process.

        Tasks start in the given order. `function` must be importable by name. A generator that is not read to its end
        leaves tasks running: leave the context then.

        Raises:
            RuntimeError: a process died, out of memory most likely.
        """
        if self.jobs == 1:
            for task in tasks:
                yield task, function(shared, task)
            return
        self._start()
        for pipe in self._pipes:
            pipe.send((function, shared))
        waiting = iter(tasks)
        running: dict[Any, Any] = {}
        for pipe in self._pipes:
            self._hand_out(pipe, waiting, running)
        while running:
            pipes: list[Any] = list(connection.wait(list(running)))
            for pipe in pipes:
                task = running.pop(pipe)
                try:
                    ok, result = pipe.recv()
                except EOFError:
                    raise RuntimeError(
                        f"a worker process died at task {task}, out of memory? what is logged is safe; run again with "
                        f"fewer jobs than {self.jobs}"
                    ) from None
                if not ok:
                    error, text = result
                    raise error from RuntimeError(text)
                self._hand_out(pipe, waiting, running)
                yield task, result

    @staticmethod
    def _hand_out(pipe: Any, waiting: Iterator[Any], running: dict[Any, Any]) -> None:
        for task in waiting:
            pipe.send(task)
            running[pipe] = task
            return

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        while len(self._processes) < self.jobs:
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there,), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)


def _work(pipe: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    gc.freeze()  # what the imports left is not searched again at every collection
    function: Function | None = None
    shared: Any = None
    while True:
        try:
            message = pipe.recv()
        except EOFError:
            return
        if isinstance(message, tuple) and callable(message[0]):
            function, shared = message
            continue
        assert function is not None
        try:
            answer = True, function(shared, message)
        except Exception as error:
            answer = False, (_picklable(error), traceback.format_exc())
        pipe.send(answer)


def _end_with_parent() -> None:
    """Leave this process, in the middle of a task too, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error

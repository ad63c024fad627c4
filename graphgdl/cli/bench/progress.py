"""Progress of a benchmark on the terminal."""

from __future__ import annotations

from types import TracebackType

import rich.progress
from rich.console import Console

from graphgdl.expressivity.compare import Reporter


class Progress(Reporter):
    """A bar on stderr that shows the piece of work, its share done and the time left; notes stay above it."""

    def __init__(self) -> None:
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description:44}"),
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("predicting the time", total=1.0)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, label: str) -> None:
        """A piece of work begins."""
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task(label, total=1.0)

    def advance(self, done: float, total: float) -> None:
        """So much of it is done."""
        self._bar.update(self._task, completed=done / total if total else 1.0)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, highlight=False)

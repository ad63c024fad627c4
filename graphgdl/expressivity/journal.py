"""The log of a run: one JSON object a line, flushed as soon as it is known, so that an interrupted run resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO


class Journal:
    """Append-only JSON Lines file; a last line that was cut short by a crash is dropped when the file is opened.

    Args:
        path: the file; it and its folder are made at the first line. None keeps the lines in memory.

    Raises:
        ValueError: a line other than the last is no JSON object; nothing is changed then.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._lines: list[dict[str, Any]] = []
        self._whole = 0
        if path is not None and path.exists():
            self._read(path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._lines)

    def append(self, line: dict[str, Any]) -> None:
        """Write one object and flush it.

        Raises:
            OSError: it could not be written, for instance for lack of space; all lines before are safe.
        """
        if self.path is not None:
            text = json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n"
            try:
                if self._file is None:
                    self._file = self._open(self.path)
                self._file.write(text)
                self._file.flush()
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"cannot write the log {self.path}: {error.strerror}; its {len(self)} lines are safe: make room and run "
                    f"the same command again to resume",
                ) from None
        self._lines.append(line)

    def _open(self, path: Path) -> TextIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > self._whole:
            os.truncate(path, self._whole)
        return path.open("a", encoding="utf-8", newline="\n")

    def _read(self, path: Path) -> None:
        raw = path.read_bytes()
        for number, line in enumerate(raw.split(b"\n")[:-1], start=1):
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict):
                raise ValueError(f"{path}, line {number}: expected one JSON object a line; name another `--log` file")
            self._lines.append(value)
        self._whole = raw.rfind(b"\n") + 1

"""Compare with an earlier run: our time relative to the plain peer's, timed in turns, so that the machine cancels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphgdl.cli.bench.hot_path.problem import OURS

_KEY = ("case", "graph", "num_edges", "channels", "dtype", "device", "work")


@dataclass(frozen=True)
class Change:
    """One row then and now. Above 1 is slower.

    `relative` compares our median divided by the plain peer's, `absolute` our median alone, `memory` our peak over the
    plain peer's. `lost` says why the row has no time any more.
    """

    key: tuple[Any, ...]
    relative: float | None
    absolute: float | None
    memory: float | None
    lost: str = ""

    def is_worse(self, tolerance: float) -> bool:
        """Whether our side became slower than the tolerance allows, or has no time any more."""
        return bool(self.lost) or (self.relative is not None and self.relative > 1 + tolerance)

    def __str__(self) -> str:
        """Return one line."""
        case, graph, _, _, _, _, work = self.key
        head = f"{case} on {graph}, {work}: "
        if self.lost:
            return head + f"no time any more: {self.lost}"
        parts = [("time against the plain peer", self.relative), ("time", self.absolute), ("memory", self.memory)]
        return head + ", ".join(f"{name} x {value:.2f}" for name, value in parts if value is not None)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a file of `--json`.

    Raises:
        ValueError: a line that is no such row, naming file and line.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            missing = [key for key in (*_KEY, "side", "status", "environment") if key not in row]
        except (json.JSONDecodeError, TypeError):
            missing = ["a JSON object"]
        if missing:
            raise ValueError(
                f"{path}, line {number}: expected a row of `graphgdl bench ops --json`, without {missing[0]}"
            )
        rows.append(row)
    return rows


def changes(new: Sequence[dict[str, Any]], old: Sequence[dict[str, Any]]) -> list[Change]:
    """Our rows that had a time in `old` and were asked for in `new`.

    Raises:
        ValueError: there is no such row.
    """
    before = {_key(row): row for row in old if row["side"] == OURS and row["status"] == "ok"}
    found = [_change(_key(row), row, before[_key(row)]) for row in new if row["side"] == OURS and _key(row) in before]
    if not found:
        raise ValueError(
            "`--compare`: the two runs have no timed row in common; take the same layers, graphs and channels"
        )
    return found


def differences(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """What of the environment is different, one line each."""
    keys = [key for key in new if key not in ("date", "load") and new[key] != old.get(key)]
    return [f"{key}: {old.get(key)} then, {new[key]} now" for key in keys]


def _change(key: tuple[Any, ...], new: dict[str, Any], old: dict[str, Any]) -> Change:
    if new["status"] != "ok":
        return Change(key, None, None, None, lost=new["reason"] or new["status"])
    return Change(
        key,
        relative=_over(old.get("ratio_plain"), new.get("ratio_plain")),
        absolute=_over(new.get("median_ms"), old.get("median_ms")),
        memory=_over(new.get("memory_plain"), old.get("memory_plain")),
    )


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in _KEY)


def _over(value: float | None, by: float | None) -> float | None:
    return value / by if value is not None and by else None

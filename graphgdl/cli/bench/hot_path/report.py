"""The tables on the terminal: one for the layers and one for the ops of each graph."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from graphgdl.cli.bench.hot_path.problem import OURS
from graphgdl.cli.bench.hot_path.row import OK, Row

_LEFT = 2  # columns that repeat on a narrow terminal: case and step
LEGEND = (
    "ms: median. best, plain: the fastest and the plain peer's time over ours. first: first call of the "
    "step; new: with edges never seen.\nMiB: peak above the level before the call; peer: the fastest peer's. "
    "copy %, gather %: compulsory traffic at the speed of a plain copy, of a plain gather of the neighbours' rows = 100."
)


def print_report(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print every row; on a narrow terminal the columns go into several tables, so that no number is cut."""
    console = console or Console()
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.graph, row.kind), []).append(row)
    for (graph, kind), group in groups.items():
        columns = _columns(group)
        if not console.is_terminal:
            console = Console(file=console.file, width=max(console.width, _width(columns)))
        size = f"n = {group[0].num_nodes:,}, e = {group[0].num_edges:,}"
        for part in _parts(columns, console.width):
            console.print(_table(part, f"{kind}s on {graph}, {size}, {group[0].dtype}"))
    if rows:
        console.print(LEGEND, highlight=False)


def _columns(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The cells of each column, its head first."""
    keys = list(dict.fromkeys((row.case, row.work) for row in rows))
    found = {(row.case, row.work, row.side): row for row in rows}
    sides = sorted({row.side for row in rows}, key=lambda side: [row.side for row in rows].index(side))
    ours = [found.get((*key, OURS)) for key in keys]
    fastest = [found.get((*key, row.best_peer)) if row is not None else None for key, row in zip(keys, ours)]
    widths = [next(row.channels for row in rows if row.case == case) for case, _ in keys]
    several = len(set(widths)) > 1
    columns = [
        ("case", *(f"{case} (c = {c})" if several else case for (case, _), c in zip(keys, widths))),
        ("step", *(work for _, work in keys)),
    ]
    for side in sides:
        cells = [found.get((*key, side)) for key in keys]
        columns.append((f"{side}\nms", *(_time(row) for row in cells)))
        if side == OURS:
            columns.append(("\nquartiles", *(_spread(row) for row in cells)))
    columns += [
        ("best\nx", *(_number(row, "ratio_best", 2) for row in ours)),
        ("plain\nx", *(_number(row, "ratio_plain", 2) for row in ours)),
        ("first\nms", *(_number(row, "first_ms", 0) for row in ours)),
        ("new\nms", *(_number(row, "new_edges_ms", 1) for row in ours)),
        ("peak\nMiB", *(_number(row, "peak_mib", 1) for row in ours)),
        ("peer\nMiB", *(_number(row, "peak_mib", 1) for row in fastest)),
        ("copy\n%", *(_number(row, "copy_share", 0, times=100) for row in ours)),
        ("gather\n%", *(_number(row, "gather_share", 0, times=100) for row in ours)),
        ("ran", *(row.lowering.split(" ")[0] if row else "" for row in ours)),
    ]
    return [column for column in columns if any(column[1:])]


def _time(row: Row | None) -> str:
    if row is None:
        return ""
    return _number(row, "median_ms", 2) if row.status == OK else row.status


def _spread(row: Row | None) -> str:
    return "" if row is None or row.q1_ms is None else f"{_number(row, 'q1_ms', 2)} - {_number(row, 'q3_ms', 2)}"


def _number(row: Row | None, field: str, digits: int, times: float = 1.0) -> str:
    """Return fewer digits behind the point for a large number: nobody reads 1234.56 ms."""
    value = None if row is None else getattr(row, field)
    if value is None:
        return ""
    value *= times
    return f"{value:.{digits}f}" if value < 100 else f"{value:.0f}"


def _parts(columns: list[tuple[str, ...]], width: int) -> list[list[tuple[str, ...]]]:
    left, rest = columns[:_LEFT], columns[_LEFT:]
    parts: list[list[tuple[str, ...]]] = [[]]
    for column in rest:
        if parts[-1] and _width([*left, *parts[-1], column]) > width:
            parts.append([])
        parts[-1].append(column)
    return [[*left, *part] for part in parts]


def _width(columns: Sequence[tuple[str, ...]]) -> int:
    return 1 + sum(3 + max(len(line) for cell in column for line in cell.split("\n")) for column in columns)


def _table(columns: Sequence[tuple[str, ...]], title: str) -> Table:
    table = Table(title=title)
    for i, column in enumerate(columns):
        table.add_column(column[0], no_wrap=True, justify="left" if i < _LEFT else "right")
    for i in range(1, len(columns[0])):
        if i > 1 and columns[0][i] != columns[0][i - 1]:
            table.add_section()
        table.add_row(*(column[i] for column in columns))
    return table

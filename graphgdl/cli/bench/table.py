"""The table of scores on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from graphgdl.expressivity.compare import matrix
from graphgdl.expressivity.oracles import ORACLES
from graphgdl.expressivity.score import Score

TITLE = "Pairs of graphs told apart; <= n: short of n, the exact ceiling of the model's family"


def print_table(scores: Sequence[Score], console: Console | None = None) -> None:
    """Architectures in rows, suites or their categories in columns, separated pairs in the cells.

    On a narrow terminal the columns go into several tables, so that no number is cut; a file or a pipe is wide enough.
    """
    if not scores:
        return
    rows, heads, cells = matrix(scores)
    bounds = {(s.kind, s.name): s.bound for s in scores}
    seconds = dict.fromkeys(rows, 0.0)
    for s in scores:
        seconds[s.kind, s.name, s.verdict] += s.seconds
    left = [("", *(ORACLES[name].title if kind == "oracle" else name for kind, name, _ in rows))]
    left += [("bounds / is bounded by", *(_bound(kind, name, bounds[kind, name]) for kind, name, _ in rows))]
    left += [("verdict", *(verdict for _, _, verdict in rows))]
    right = [
        (f"{head}\nof {size}", *(_cell(*cell) for cell in column))
        for head, size, column in zip(heads, cells[:, :, 1].max(axis=0), cells.transpose(1, 0, 2).tolist())
    ]
    right += [("seconds", *(f"{seconds[row]:.1f}" for row in rows))]
    console = console or Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, _width([*left, *right])))
    if _width([*left, *right]) > console.width:
        left = [left[0], left[2]]
    kinds = [kind for kind, _, _ in rows]
    for i, part in enumerate(_parts(right, console.width - _width(left))):
        console.print(_table([*left, *part], len(left), kinds, TITLE if i == 0 else None))


def _parts(columns: list[tuple[str, ...]], room: int) -> Iterator[list[tuple[str, ...]]]:
    """As many columns at a time as fit, at least one."""
    part: list[tuple[str, ...]] = []
    for column in columns:
        if part and _width([*part, column]) > room:
            yield part
            part = []
        part.append(column)
    yield part


def _width(columns: Sequence[Sequence[str]]) -> int:
    return 1 + sum(3 + max(len(line) for cell in column for line in cell.split("\n")) for column in columns)


def _table(columns: Sequence[Sequence[str]], left: int, kinds: list[str], title: str | None) -> Table:
    table = Table(title=title)
    for i, column in enumerate(columns):
        table.add_column(column[0], no_wrap=True, justify="left" if i < left else "right")
    for i, kind in enumerate(kinds):
        if i and kind != kinds[i - 1]:
            table.add_section()
        table.add_row(*(column[i + 1] for column in columns))
    return table


def _cell(separated: int, total: int, ceiling: int) -> str:
    if total < 0:
        return ""
    return f"{separated}" if ceiling in (-1, separated) else f"{separated} <= {ceiling}"


def _bound(kind: str, name: str, bound: str | None) -> str:
    if kind == "oracle":
        return ORACLES[name].counterpart
    return "" if bound is None else f"<= {ORACLES[bound].title}"

"""The table of scores on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from graphgdl.expressivity.compare import matrix
from graphgdl.expressivity.models import MODELS
from graphgdl.expressivity.oracles import ORACLES
from graphgdl.expressivity.score import Score


def print_table(scores: Sequence[Score], console: Console | None = None) -> None:
    """Architectures in rows, suites or their categories in columns, separated pairs in the cells."""
    if not scores:
        return
    rows, heads, cells = matrix(scores)
    seconds: dict[tuple[str, str, str], float] = {}
    for s in scores:
        key = s.kind, s.name, s.verdict
        seconds[key] = seconds.get(key, 0.0) + s.seconds
    table = Table(title="Pairs of graphs told apart; <= n: short of n, the exact ceiling of the model's family")
    for head in ("", "bounds / is bounded by", "verdict"):
        table.add_column(head, no_wrap=True)
    for head, size in zip(heads, cells[:, :, 1].max(axis=0)):
        table.add_column(f"{head}\nof {size}", justify="right")
    table.add_column("seconds", justify="right")
    previous = rows[0][0]
    for row, line in zip(rows, cells.tolist()):
        kind, name, verdict = row
        if kind != previous:
            table.add_section()
            previous = kind
        title = ORACLES[name].title if kind == "oracle" else name
        bound = ORACLES[name].counterpart if kind == "oracle" else _power(name)
        table.add_row(title, bound, verdict, *(_cell(*cell) for cell in line), f"{seconds[row]:.1f}")
    console = console or Console()
    if console.width < 160 and not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def _cell(separated: int, total: int, ceiling: int) -> str:
    if total < 0:
        return ""
    return f"{separated}" if ceiling in (-1, separated) else f"{separated} <= {ceiling}"


def _power(name: str) -> str:
    power = getattr(MODELS.get(name), "power", None)
    return "" if power is None else f"<= {ORACLES[power].title}"

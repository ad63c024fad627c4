"""The table of scores on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from graphgdl.expressivity.compare import columns, matrix
from graphgdl.expressivity.models import MODELS
from graphgdl.expressivity.oracles import ORACLES
from graphgdl.expressivity.score import Score


def print_table(scores: Sequence[Score], console: Console | None = None) -> None:
    """Architectures in rows, suites or their categories in columns, separated pairs in the cells."""
    if not scores:
        return
    heads = columns(scores)
    rows, separated, total = matrix(scores)
    suites = list(dict.fromkeys(suite for suite, _ in heads))
    ceilings = {(s.kind, s.name, s.verdict, s.suite): s.ceiling for s in scores}
    seconds: dict[tuple[str, str, str], float] = {}
    for s in scores:
        key = s.kind, s.name, s.verdict
        seconds[key] = seconds.get(key, 0.0) + s.seconds
    table = Table(
        title="pairs of graphs told apart; ceiling: what the exact oracle of the model's family parts, in all"
    )
    table.add_column("")
    table.add_column("bounds or is bounded by")
    table.add_column("verdict")
    sizes = total.max(axis=0)
    for suite, category in heads:
        j = heads.index((suite, category))
        table.add_column(f"{suite if category == suite else category}\nof {sizes[j]}", justify="right")
    summed = [suite for suite in suites if sum(other == suite for other, _ in heads) > 1]
    for suite in summed:
        table.add_column(f"{suite}\ntotal", justify="right")
    table.add_column("ceiling", justify="right")
    table.add_column("s", justify="right")
    previous = "oracle"
    for i, (kind, name, verdict) in enumerate(rows):
        if kind != previous:
            table.add_section()
            previous = kind
        cells = ["" if separated[i, j] < 0 else str(separated[i, j]) for j in range(len(heads))]
        for suite in summed:
            part = [separated[i, j] for j, (other, _) in enumerate(heads) if other == suite]
            cells.append("" if min(part) < 0 else str(sum(part)))
        title = ORACLES[name].title if kind == "oracle" else name
        bound = ORACLES[name].counterpart if kind == "oracle" else _power(name)
        known = [ceilings.get((kind, name, verdict, suite)) for suite in suites]
        reached = "" if kind == "oracle" or None in known else str(sum(c for c in known if c is not None))
        table.add_row(title, bound, verdict, *cells, reached, f"{seconds[kind, name, verdict]:.1f}")
    console = console or Console()
    if console.width < 160 and not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def _power(name: str) -> str:
    power = getattr(MODELS.get(name), "power", None)
    return "" if power is None else f"<= {ORACLES[power].title}"

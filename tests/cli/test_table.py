"""The printed table holds every score whole, on wide and narrow terminals."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from graphgdl.cli.bench.table import print_table
from graphgdl.expressivity.compare import compare


@pytest.mark.parametrize("width", [60, 80, 120, 250])
def test_no_number_is_cut(width: int) -> None:
    scores = compare(["csl", "sr16", "sr25", "sr28", "latin36"], ["gin"], ["1-wl", "pair-marking"])
    out = io.StringIO()
    print_table(scores, Console(file=out, width=width, force_terminal=True, color_system=None))
    text = out.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= max(width, 60)
    for total in ("of 45", "of 1", "of 105", "of 6", "of 66"):
        assert text.count(f"{total} ") == 1
    rows = [line for line in text.splitlines() if line.startswith("│ (node, neighbour) marking")]
    numbers = [int(n) for line in rows for n in re.findall(r"│\s+(\d+) (?=│)", line)]
    assert numbers == [45, 1, 105, 6, 66]
    assert ("<= 1-WL" in text) == (width == 250)


def test_nothing_to_print() -> None:
    out = io.StringIO()
    print_table([], Console(file=out))
    assert out.getvalue() == ""

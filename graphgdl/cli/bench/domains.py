"""`graphgdl bench domains`: layers of grids, sequences and sets beside torch's layers, in the layout torch likes best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from graphgdl.cli.bench.wl import check_folder, write_atomically


def domains(
    case: Annotated[list[str] | None, typer.Option(help="Case by name; all by default.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; torch's choice by default.")] = None,
    repeats: Annotated[int, typer.Option(min=3, help="Rounds; more of a short step.")] = 21,
    seed: Annotated[int, typer.Option(help="Of parameters and inputs.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write one JSON object a row.")] = None,
) -> None:
    """Does a layer written as message passing lose time? Every result is checked before it is timed."""
    import torch

    from graphgdl.cli.bench.contests.cases import CASES
    from graphgdl.cli.bench.hot_path.environment import environment
    from graphgdl.cli.bench.progress import Progress

    names, before = case or list(CASES), torch.get_num_threads()
    try:
        for name in names:
            if name not in CASES:
                raise ValueError(f"`--case` must be one of {', '.join(CASES)}, got {name!r}")
        check_folder(json_file)
        if threads is not None:
            torch.set_num_threads(threads)
        rows: list[dict[str, Any]] = []
        facts = environment()
        typer.echo(f"predicted: about {5 * len(names)} s")
        with Progress() as bar, torch.random.fork_rng():
            for i, name in enumerate(names):
                bar.start(name)
                bar.advance(i, len(names))
                torch.manual_seed(seed)
                rows += [{"case": name, **row} for row in CASES[name]().measure(repeats)]
                if json_file is not None:
                    lines = (json.dumps({**row, "environment": facts}) + "\n" for row in rows)
                    write_atomically(json_file, "".join(lines).encode())
        _print(rows)
    except (ValueError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    finally:
        torch.set_num_threads(before)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "what", "step", "graphgdl ms", "fastest peer ms", "ratio", "at most", title="Median of rounds in turns"
    )
    for row in rows:
        ours, peer = next(iter(row["ms"])), row["fastest_peer"]
        ratio = f"{row['ratio']:.2f}"
        table.add_row(
            row["name"],
            row["step"],
            f"{row['ms'][ours]:.2f}",
            f"{row['ms'][peer]:.2f} ({peer})",
            ratio if row["ratio"] <= row["most"] else f"[red]{ratio}[/red]",
            f"{row['most']:.2f}",
        )
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(table)

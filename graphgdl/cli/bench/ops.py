"""`graphgdl bench ops`: how fast the layers and ops are beside PyG, torch_scatter and torch_sparse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphgdl.cli.bench.wl import write_atomically

if TYPE_CHECKING:
    from graphgdl.cli.bench.hot_path.row import Row

CHANNELS, REPEATS, TOLERANCE = 64, 7, 0.15


def ops(
    layer: Annotated[
        list[str] | None, typer.Option(help="Layer or op by name, or all; some of each kind by default.")
    ] = None,
    graph: Annotated[
        list[str] | None, typer.Option(help="Graph by name, or all; random-20k and molecules by default.")
    ] = None,
    channels: Annotated[int, typer.Option(help="Channels c; NNConv takes a quarter.")] = CHANNELS,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; torch's choice by default.")] = None,
    repeats: Annotated[int, typer.Option(min=3, help="Rounds; fewer of a long step, more of a short one.")] = REPEATS,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write one JSON object a row.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw times and memory into this file.")] = None,
    compare: Annotated[Path | None, typer.Option(help="An earlier --json file; exit code 1 where slower.")] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="How much slower is still well, for --compare.")] = TOLERANCE,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="Graphs of a tenth of the size, three rounds.")] = False,
) -> None:
    """How fast are the layers? Ours beside PyG's in each of PyG's input forms; every result is checked first."""
    import torch

    from graphgdl.cli.bench.hot_path.environment import environment
    from graphgdl.cli.bench.hot_path.job import QUICK, Job, failures, notes, run_job
    from graphgdl.cli.bench.hot_path.plot import write_plot
    from graphgdl.cli.bench.hot_path.regression import read_rows
    from graphgdl.cli.bench.hot_path.report import print_report
    from graphgdl.cli.bench.progress import Progress

    class Bar(Progress):
        def move(self, label: str, share: float) -> None:
            self._bar.update(self._task, description=label, completed=share)

    rows: list[Row] = []
    before_threads = torch.get_num_threads()
    try:
        for path in (json_file, plot):
            if path is not None and not path.parent.is_dir():
                raise ValueError(f"{path}: the folder {path.parent} does not exist")
        old = read_rows(compare) if compare is not None else None
        job = Job(
            tuple(layer or ()),
            tuple(graph or ()),
            channels,
            repeats=3 if quick else repeats,
            device=device,
            scale=QUICK if quick else 1.0,
        )
        if threads is not None:
            torch.set_num_threads(threads)
        facts = environment(device)
        bar = Bar()
        with bar:
            for found in run_job(job, bar.note, bar.move):
                rows += found
                if json_file is not None:  # what is done stays when the run is interrupted
                    _write_rows(json_file, rows, facts)
        print_report(rows)
        for text in notes(rows):
            typer.echo(text)
        if plot is not None:
            write_plot(plot, rows)
        wrong = failures(rows)
        for text in wrong:
            typer.echo(f"Error: {text}", err=True)
        worse = _compare(rows, old, facts, tolerance) if old is not None else False
        if wrong or worse:
            raise typer.Exit(1)
    except (ValueError, TypeError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        kept = f"{len(rows)} rows are in {json_file}" if json_file is not None and rows else "nothing was written"
        typer.echo(f"Interrupted; {kept}.", err=True)
        raise typer.Exit(130) from None
    finally:
        torch.set_num_threads(before_threads)


def _write_rows(path: Path, rows: Sequence[Row], facts: dict[str, Any]) -> None:
    """One JSON object a line, all or nothing."""
    write_atomically(path, "".join(json.dumps(row.as_json(facts)) + "\n" for row in rows).encode())


def _compare(rows: Sequence[Row], old: list[dict[str, Any]], facts: dict[str, Any], tolerance: float) -> bool:
    """Print the changes since an earlier run; True where one is worse than the tolerance."""
    from graphgdl.cli.bench.hot_path.regression import changes, differences

    for text in differences(facts, old[0]["environment"] if old else {}):
        typer.echo(f"differs: {text}")
    found = changes([row.as_json(facts) for row in rows], old)
    for change in found:
        worse = change.is_worse(tolerance)
        typer.echo(f"{'WORSE: ' if worse else ''}{change}", err=worse)
    return any(change.is_worse(tolerance) for change in found)

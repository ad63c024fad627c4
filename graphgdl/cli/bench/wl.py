"""`graphgdl bench wl`: which architectures tell which graphs apart."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graphgdl.expressivity.score import Score

CAUTION = (
    "Caution: separating graphs is not accuracy. On common data sets expressive power alone does not drive it, and tuned "
    "classic layers are strong (arXiv 2406.08993, 2502.14546)."
)
LOG = Path("graphgdl-wl-log.jsonl")
FIGURE = Path("graphgdl-wl.png")


def wl(
    suite: Annotated[
        list[str] | None, typer.Option(help="Suite by name, or a graph6 file of pairs; all embedded suites by default.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Built-in model by name, or module:Class.")] = None,
    oracle: Annotated[list[str] | None, typer.Option(help="Exact oracle by name, or all.")] = None,
    root: Annotated[
        Path | None, typer.Option(envvar="GRAPHGDL_DATA", help="Folder of the suites that are read from files.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="First download what is missing below --root, with its checksum.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=0, help="Train too: paired comparison with so many seeds.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write one JSON object a row.")] = None,
    plot: Annotated[Path | None, typer.Option(help=f"The figure; {FIGURE} by default.")] = None,
    log: Annotated[Path | None, typer.Option(help=f"Log of trained pairs; {LOG} by default.")] = None,
) -> None:
    """Which architectures tell which graphs apart? Without arguments: every oracle and model on the embedded suites."""
    from graphgdl.cli.bench.progress import Progress
    from graphgdl.cli.bench.table import print_table
    from graphgdl.expressivity.compare import compare, failures_note
    from graphgdl.expressivity.models import MODELS
    from graphgdl.expressivity.suites import SUITES

    suites = suite or [name for name, entry in SUITES.items() if entry.embedded]
    default = not model and not oracle
    log = (log or LOG) if seeds else None
    try:
        for path in (json_file, plot):
            check_folder(path)
        if download:
            _download(suites, root)
        with Progress() as progress:
            scores = compare(
                suites,
                model or (list(MODELS) if default else []),
                oracle or (["all"] if default else []),
                seeds=range(100, 100 * seeds + 1, 100),
                jobs=jobs,
                root=root,
                log=log,
                reporter=progress,
            )
        print_table(scores)
        for note in failures_note(scores):
            typer.echo(note)
        typer.echo(CAUTION)
        if json_file is not None:
            write_rows(json_file, scores)
        if plot is not None or default:
            from graphgdl.cli.bench.figure import write_figure

            write_figure(plot or FIGURE, scores)
            typer.echo(f"figure: {plot or FIGURE}")
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        hint = f"the pairs done are in {log}: run the same command again to resume" if log else "nothing was written"
        typer.echo(f"Interrupted; {hint}.", err=True)
        raise typer.Exit(130) from None


def write_rows(path: Path, scores: Sequence[Score]) -> None:
    """One JSON object a line, all or nothing."""
    write_atomically(path, "".join(json.dumps(score.as_json()) + "\n" for score in scores).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then move into place: a reader never sees half a file."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _download(suites: Sequence[str], root: Path | None) -> None:
    from graphgdl.expressivity.suites.remote import REMOTE, fetch

    if root is None:
        raise ValueError("`--download` needs `--root`, the folder to download into")
    for name in suites:
        if name in REMOTE:
            fetch(name, root, show_progress=True)


def check_folder(path: Path | None) -> None:
    """Raise ValueError where a file cannot be written because its folder is not there."""
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")

"""The command `graphgdl`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import graphgdl
from graphgdl.cli.bench.domains import domains
from graphgdl.cli.bench.ops import ops
from graphgdl.cli.bench.wl import wl
from graphgdl.cli.info import info
from graphgdl.cli.verify import verify
from graphgdl.cli.warmup import warmup

app = typer.Typer(help="Geometric deep learning as message passing.", no_args_is_help=True, add_completion=False)
bench = typer.Typer(help="Benchmarks.", no_args_is_help=True)
bench.command("wl")(wl)
bench.command("ops")(ops)
bench.command("domains")(domains)
app.add_typer(bench, name="bench")
app.command("verify")(verify)
app.command("info")(info)
app.command("warmup")(warmup)


@bench.callback()
def _bench() -> None:
    """Benchmarks."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(graphgdl.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Geometric deep learning as message passing on PyTorch Geometric."""


def main() -> None:
    """Entry point of `python -m graphgdl`."""
    sys.exit(app())

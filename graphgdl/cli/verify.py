"""`graphgdl verify`: every law of every layer, proved or refuted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphgdl.cli.bench.wl import check_folder, write_atomically

if TYPE_CHECKING:
    from rich.table import Table

    from graphgdl.testing.examples import Example
    from graphgdl.testing.verify import Verdict

DTYPES = ("float64", "float32", "both")


def verify(
    layer: Annotated[
        list[str] | None,
        typer.Argument(help="Layers and models by name, or module:Class; all of the package by default."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="In the place of the stated laws: permutation, or C4, D4, SO(2), O(3), SE(3), E(3), ... on `pos`."
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            help="What the output does under --group: auto, invariant, vectors (it turns), points (it moves)."
        ),
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="float64 proves, float32 is a sanity check, or both.")] = "both",
    seed: Annotated[int, typer.Option(min=0, help="Of parameters, inputs and group elements.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write one JSON object a law.")] = None,
) -> None:
    """Prove f(g.x) = g.f(x) for each law of each layer, with controls that must fail.

    A module:Class is called as Class(in_channels=4, out_channels=6) where it takes these, else without arguments, and tried
    on a random graph with `x`, `pos`, and what of `edge_attr`, `edge_weight` and `z` its forward names. It states its laws
    by `laws(data)`; if it has none, permutations of the nodes. With --group, an output of shape (..., d) must move as points
    under SE(d) and E(d), as vectors under the others; any other output must stay; --output says otherwise. Parameters that
    cannot matter, as the bias of an energy to its forces, are named in the attribute `inert` of the module. Predicted time
    for all layers: under a minute. Exit code 1: a law fails.
    """
    import rich.progress
    from rich.console import Console

    try:
        if dtype not in DTYPES:
            raise ValueError(f"`--dtype` must be one of {', '.join(DTYPES)}, got {dtype!r}")
        check_folder(json_file)
        chosen = _choose(layer or [], group)
        stderr = Console(stderr=True)
        steps = rich.progress.track(chosen.items(), "proving laws", console=stderr, transient=True)
        verdicts = []
        for name, example in steps:
            try:
                verdicts += _verify(name, example, group, output, dtype, seed)
            except (ValueError, TypeError, RuntimeError, ImportError) as error:
                raise ValueError(f"{name}: {error}") from error
        console = Console()
        table = _table(verdicts)
        if not console.is_terminal:
            console = Console(width=200)
        console.print(table)
        for verdict in verdicts:
            for failure in verdict.failures:
                console.print(f"{verdict.module}, {verdict.law}: {failure}", style="red", highlight=False, markup=False)
        console.print(summary([(v.module, v.kind) for v in verdicts]), highlight=False)
        if json_file is not None:
            write_atomically(json_file, "".join(json.dumps(v.as_json()) + "\n" for v in verdicts).encode())
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("Interrupted; nothing was written.", err=True)
        raise typer.Exit(130) from None
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(1)


def public() -> dict[str, Example]:
    """Return an example of every layer and model of the package."""
    from graphgdl.expressivity.models import MODELS
    from graphgdl.testing.examples import EXAMPLES
    from graphgdl.testing.user_module import example_of

    return EXAMPLES | {name: example_of(build) for name, build in MODELS.items()}


def summary(laws: Sequence[tuple[str, str]]) -> str:
    """Return the number of laws by kind, for (example, kind) of each law."""
    layers = {base(name) for name, _ in laws}
    kinds = Counter(kind for _, kind in laws)
    parts = ", ".join(f"{kinds[kind]} {kind}" for kind in ("exact", "subgroup", "limit", "distribution"))
    return f"{len(laws)} laws of {len(layers)} layers and models: {parts}"


def base(name: str) -> str:
    """Return the layer of an example: a variant says more after a comma."""
    return name.partition(",")[0]


def _choose(names: Sequence[str], group: str | None) -> dict[str, Example]:
    from graphgdl.expressivity.models import import_class
    from graphgdl.testing.named_group import group_of
    from graphgdl.testing.user_module import example_of

    known = public()
    if not names:
        return known
    chosen = {}
    for name in names:
        if ":" in name:
            dim = group_of(group).d if group not in (None, "permutation") else 3
            build = import_class(name)
            try:
                chosen[name] = example_of(build, dim)
            except Exception as error:
                raise ValueError(f"{name}: {error}") from error
            continue
        found = {key: value for key, value in known.items() if name in (key, base(key))}
        if not found:
            layers = {base(key).lower(): base(key) for key in known}
            near = [layers[key] for key in get_close_matches(name.lower(), layers)]
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"`layer` must be module:Class or one of {', '.join(layers.values())}, got {name!r}{hint}")
        chosen |= found
    return chosen


def _verify(name: str, example: Example, group: str | None, output: str, dtype: str, seed: int) -> list[Verdict]:
    import torch

    from graphgdl.testing.named_group import group_of, laws_under
    from graphgdl.testing.verify import laws_of, permutations, verify

    dtypes = [torch.float64] * (dtype != "float32") + [torch.float32] * (dtype != "float64")
    named = {None: laws_of, "permutation": permutations}
    laws = named.get(group) or laws_under(group_of(str(group)), output)
    module, data = example.make(seed)
    try:
        found = verify(module, data, laws=laws, dtypes=dtypes, seed=seed)
    except RuntimeError as error:
        raise ValueError(f"{error}; its input was {data}, see `--help`") from error
    return [replace(verdict, module=name) for verdict in found]


def _table(verdicts: Sequence[Verdict]) -> Table:
    from rich.table import Table

    table = Table(title="f(g.x) = g.f(x); invariance: f(g.x) = f(x)")
    for column in ("module", "law", "kind"):
        table.add_column(column)
    for column in ("float64", "float32", "union", "twin"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("varies")
    table.add_column("proved")
    for v in verdicts:
        vacuous = any("vacuous" in failure for failure in v.failures)
        law = v.law + ", invariance" * (v.invariant and "invariance" not in v.law)
        table.add_row(
            v.module,
            law,
            v.kind if v.order is None else f"{v.kind}, order {v.order:.2f}",
            *("" if e is None else f"{e:.0e}" for e in (v.float64, v.float32, v.union, v.twin)),
            "no" if vacuous else "yes",
            "yes" if v.holds else "[red]NO",
        )
    return table

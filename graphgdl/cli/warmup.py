"""`graphgdl warmup`: compile the package's own layers ahead of their first use."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


def warmup(
    channels: Annotated[list[int] | None, typer.Option(help="Features of each node; repeatable.")] = None,
    heads: Annotated[int, typer.Option(help="Heads of the attention layers; `channels` is divided by it.")] = 4,
    double: Annotated[bool, typer.Option("--double", help="float64 too.")] = False,
) -> None:
    """Compile the package's layers for these sizes, forward and backward, into the cache folder.

    Predicted time: about a second for each size; a layer's first call then takes some tens of milliseconds.
    """
    import torch

    from graphgdl.ops.cpu.machine_code import folder

    table = Table(title=f"compiled into {folder()}")
    for column in ("layer", "channels", "dtype", "seconds", "ran"):
        table.add_column(column)
    for size in channels or [64]:
        if size < 1 or heads < 1 or size % heads:
            raise typer.BadParameter(f"`--channels` must be a positive multiple of `--heads` ({heads}), got {size}")
        for dtype in (torch.float32, torch.float64) if double else (torch.float32,):
            for name in _layers(size, heads):
                started = time.perf_counter()
                ran = _once(name, size, heads, dtype)
                table.add_row(name, str(size), str(dtype)[6:], f"{time.perf_counter() - started:.2f}", ran)
    Console().print(table)


def _layers(channels: int, heads: int) -> dict[str, Any]:
    from torch import nn

    from graphgdl import nn as gdl

    def network(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Linear(outputs, outputs))

    c = channels
    return {
        "GCNConv": lambda: gdl.GCNConv(c, c),
        "SAGEConv": lambda: gdl.SAGEConv(c, c),
        "GraphConv": lambda: gdl.GraphConv(c, c),
        "GINConv": lambda: gdl.GINConv(network(c, c)),
        "GINEConv": lambda: gdl.GINEConv(network(c, c), edge_dim=16),
        "GATConv": lambda: gdl.GATConv(c, c // heads, heads=heads),
        "GATv2Conv": lambda: gdl.GATv2Conv(c, c // heads, heads=heads),
        "TransformerConv": lambda: gdl.TransformerConv(c, c // heads, heads=heads),
        "NNConv": lambda: gdl.NNConv(c // heads, c // heads, nn.Linear(16, (c // heads) ** 2)),
        "EdgeConv": lambda: gdl.EdgeConv(network(2 * c, c)),
    }


def _once(name: str, channels: int, heads: int, dtype: Any) -> str:
    """Run a layer forward and backward on a small graph, inference too; return what ran."""
    import torch

    from graphgdl.nn import explain_lowering

    layer = _layers(channels, heads)[name]().to(dtype)
    width = channels // heads if name == "NNConv" else channels  # its messages have width times width weights
    x = torch.rand(4, width, dtype=dtype, requires_grad=True)
    edge_index = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    extra = (torch.rand(4, 16, dtype=dtype),) if name in ("GINEConv", "NNConv") else ()
    layer(x, edge_index, *extra).sum().backward()
    with torch.no_grad():
        return explain_lowering(layer, x, edge_index, *extra)[0].ran

"""`graphgdl info`: versions, devices, backends, what is missing and how to get it."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

PACKAGES = ("torch", "torch_geometric", "numpy", "scipy", "numba", "networkx", "rdkit", "matplotlib", "typer", "rich")
OPTIONAL = {
    "torch_scatter": "pip install --no-build-isolation graphgdl[pyg-ext]",
    "torch_sparse": "pip install --no-build-isolation graphgdl[pyg-ext]",
    "triton": "comes with CUDA builds of torch on Linux",
}


def info(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show versions, devices and backends, what is missing and how to get it."""
    facts = collect()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"graphgdl {facts['graphgdl']}, Python {facts['python']}, {facts['platform']}")
    for name, value in facts["packages"].items():
        typer.echo(f"  {name:16} {value or 'missing'}")
    typer.echo("devices")
    for device in facts["devices"]:
        typer.echo(f"  {device}")
    typer.echo("backends of graphgdl.ops")
    for name, reason in facts["backends"].items():
        typer.echo(f"  {name:16} {reason or 'usable'}")
    for name, remedy in facts["missing"].items():
        typer.echo(f"missing: {name}; {remedy}")


def collect() -> dict[str, Any]:
    """What `graphgdl info` shows, as plain data."""
    import torch

    import graphgdl
    from graphgdl import ops

    packages = {name: _version(name) for name in (*PACKAGES, *OPTIONAL)}
    devices = [f"cpu: {torch.get_num_threads()} threads"]
    devices += [f"cuda:{i}: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    missing = {name: f"pip install {name}" for name in PACKAGES if packages[name] is None}
    return {
        "graphgdl": graphgdl.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "devices": devices,
        "backends": ops.available_backends(),
        "missing": missing | {name: remedy for name, remedy in OPTIONAL.items() if packages[name] is None},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

"""A user's module as an example: how it is built, and on what graph it is tried."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import Module
from torch_geometric.data import Data

from graphgdl.testing.examples import EDGE, OUT, C, Example, N, graph


def example_of(build: Callable[..., Any], dim: int = 3) -> Example:
    """Return the example of a class.

    It is called as `build(in_channels=4, out_channels=6)` where it takes these, else without arguments. Its input is a
    random graph of 7 nodes with `x` (n, in_channels), 4 channels unless the module has another `in_channels`, `pos`
    (n, dim), and what of `edge_attr` (e, edge_dim or 3), `edge_weight` (e,) and atomic numbers `z` (n,) its forward names;
    one that takes `data` gets `edge_attr` and `z`.

    Args:
        build: the class.
        dim: dimension of the positions.

    Raises:
        TypeError: it cannot be called so, or makes no module.
    """
    name = getattr(build, "__name__", repr(build))
    if not callable(build):
        raise TypeError(f"`module` {name} must be a class, got {type(build).__name__}")
    takes = inspect.signature(build).parameters
    named = {"in_channels": C, "out_channels": OUT} if {"in_channels", "out_channels"} <= set(takes) else {}
    missing = [
        p.name
        for p in takes.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in named
    ]
    if missing:
        raise TypeError(
            f"`module` {name} must be callable as {name}(in_channels={C}, out_channels={OUT}) or {name}(), but it needs "
            f"`{'`, `'.join(missing)}`; give them defaults or subclass it"
        )
    with torch.random.fork_rng(devices=[]):
        module = build(**named)
    if not isinstance(module, Module):
        raise TypeError(f"`module` {name} must make a torch.nn.Module, got {type(module).__name__}")
    channels = getattr(module, "in_channels", C)
    edge_dim = getattr(module, "edge_dim", None) or EDGE
    wanted = {*inspect.signature(module.forward).parameters}
    if wanted & {"data"}:
        wanted |= {"edge_attr", "z"}
    edge = {key: size for key, size in {"edge_attr": edge_dim, "edge_weight": 0}.items() if key in wanted}

    def draw(generator: torch.Generator) -> Data:
        data = graph(**edge)(generator)
        data.x = torch.randn(N, channels if isinstance(channels, int) and channels > 0 else C, generator=generator)
        data.pos = torch.randn(N, dim, generator=generator)
        if "z" in wanted:
            data.z = torch.randint(1, 10, (N,), generator=generator)
        return data

    return Example(lambda: build(**named), draw)

"""How the tests of this folder write a user's layer: a message in a class body, run compiled or by PyG's message path."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphgdl.nn.lowering import Lowered


class UserLayer(Lowered):
    """A layer of node features x and edge features e; subclasses write `message`."""

    def __init__(self, channels: int = 4, **kwargs: Any) -> None:
        kwargs.setdefault("aggr", "sum")
        kwargs.setdefault("node_dim", 0)
        super().__init__(**kwargs)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(channels)
            self.lin = nn.Linear(channels, channels)
            self.weight = nn.Parameter(torch.randn(channels))
        self.double()

    def forward(self, x: Any, edge_index: Tensor, **inputs: Any) -> Tensor:
        return self.propagate(edge_index, x=x, **inputs)

    def message(self, x_j: Tensor) -> Tensor:
        return self.lin(x_j)


def reason(layer: Lowered, *args: Any, **kwargs: Any) -> str | None:
    """Return why the compiler refuses a call, None if it does not; the call's result must be that of the message path."""
    layer.lowering = "auto"
    layer._record = []
    try:
        layer(*args, **kwargs)
        refused = [ran.refused.get("compiled") for ran in layer._record]
    finally:
        layer._record = None
    return next((r for r in refused if r is not None), None)

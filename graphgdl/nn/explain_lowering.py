"""Which lowering ran in each layer of a model, and why the faster ones did not."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn
from torch_geometric.nn.conv import MessagePassing

from graphgdl.nn.accelerate import left_alone
from graphgdl.nn.lowering import Lowered


class LayerLowering(NamedTuple):
    """One layer of a model: its name and class, the lowerings that ran, and why each faster one did not."""

    name: str
    layer: str
    ran: str
    refused: dict[str, str]


class LoweringReport(tuple[LayerLowering, ...]):
    """The rows of `explain_lowering`, in the order of `model.named_modules()`; `print` shows a table."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the table as text."""
        head = ("name", "layer", "ran", "why not faster")
        rows = [head] + [(r.name, r.layer, r.ran, "; ".join(f"{k}: {v}" for k, v in r.refused.items())) for r in self]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join([cell.ljust(width) for cell, width in zip(row, widths)] + [row[3]]).rstrip() for row in rows]
        return "\n".join(lines)


def explain_lowering(model: nn.Module, *args: Any, **kwargs: Any) -> LoweringReport:
    """Run ``model(*args, **kwargs)`` once, as it stands, and return which lowering ran in each message-passing layer.

    A layer that was not reached says so; one that is not accelerated is always on its message path, with the reason
    where `accelerate` leaves it alone. A layer called several times, or in two steps (scores and weighted sum) with
    different lowerings, lists each.

    Example:
        >>> import torch
        >>> from graphgdl.nn import GCNConv
        >>> report = explain_lowering(GCNConv(4, 4), torch.rand(2, 4), torch.tensor([[0, 1], [1, 0]]))
        >>> assert report[0].ran == "compiled" and "GCNConv" in str(report)
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, MessagePassing)}
    lowered = [module for module in layers.values() if isinstance(module, Lowered)]
    try:
        for module in lowered:
            module._record = []
        model(*args, **kwargs)
        return LoweringReport(_row(name, module) for name, module in layers.items())
    finally:
        for module in lowered:
            module._record = None


def _row(name: str, module: MessagePassing) -> LayerLowering:
    layer = type(module).__name__
    if not isinstance(module, Lowered):
        own = "PyG's own" if type(module).__module__.startswith("torch_geometric.") else "not accelerated"
        return LayerLowering(
            name or "model", layer, "message", {"compiled": left_alone(module) or f"the layer is {own}"}
        )
    record = module._record or []
    ran = sorted({step.lowering for step in record}) or ["not reached"]
    refused = {key: reason for step in record for key, reason in step.refused.items()}
    return LayerLowering(name or "model", layer, " + ".join(ran), refused)

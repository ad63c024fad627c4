"""What a layer takes and gives: the type of its channels, and the domain it needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, get_type_hints

from torch import nn
from torch_geometric.nn import GINConv, GINEConv, norm
from torch_geometric.nn.aggr import MeanAggregation, SumAggregation

from graphgdl.domains.structure import Chain, Complete, Grid
from graphgdl.groups import FieldType, scalars, trivial
from graphgdl.models.state import arguments
from graphgdl.nn import GridGlobalPool, GridPool, GridUpsample, HeavyEdgePool, Readout, TransformerEncoderLayer, Unpool
from graphgdl.nn.recurrence import Recurrence

POINTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.LogSigmoid),
    *(nn.Tanh, nn.Softplus, nn.Softsign, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.Hardtanh, nn.Hardswish),
    *(nn.Hardsigmoid, nn.Threshold, nn.Dropout, nn.AlphaDropout),
)
"""Layers that treat all channels alike, each by itself: they commute with permutations of the channels."""

REDUCING = (Readout, HeavyEdgePool, GridPool, GridGlobalPool)
"""Layers that add up the channels of several nodes, or take the largest, each by itself."""

LINEAR = (nn.Identity, Unpool, GridUpsample, MeanAggregation, SumAggregation)
"""Layers that add up the channels of several nodes: they commute with every representation."""

PER_CHANNEL = (
    *(nn.BatchNorm1d, nn.LayerNorm, nn.RMSNorm, nn.PReLU, nn.RReLU, nn.Softmax, nn.LogSoftmax),
    *(getattr(norm, name) for name in norm.__all__),
)
"""Layers that treat channels unlike each other, or mix them, and keep their number."""

_INVARIANTS = "make invariants first, by `NormPool`"


def is_trivial(fields: FieldType) -> bool:
    """Whether channels do not transform."""
    return fields.representation == trivial(fields.group)


def fits(given: FieldType, taken: FieldType) -> bool:
    """Whether channels of one type can be taken for channels of another; under any group, scalars are scalars."""
    return given == taken or (is_trivial(given) and is_trivial(taken) and given.size == taken.size)


def takes(layer: nn.Module) -> FieldType | None:
    """Return the type that a layer takes, or None where it does not say."""
    stated = getattr(layer, "in_type", None)
    if stated is not None:
        return stated
    if isinstance(layer, GINConv | GINEConv):
        return takes(layer.nn)
    if isinstance(layer, nn.Sequential):
        return first_type(layer.children())
    if isinstance(layer, TransformerEncoderLayer):
        return scalars(layer.self_attn.embed_dim)
    return _scalars(_first(layer, "in_channels", "in_features", "num_features", "normalized_shape"))


def first_type(layers: Iterable[nn.Module]) -> FieldType | None:
    """Return the type that layers, one after another, take, or None where none says."""
    for layer in layers:
        found = takes(layer)
        if found is not None or not keeps_type(layer):
            return found
    return None


def gives(layer: nn.Module, taken: FieldType | None) -> FieldType | None:
    """Return the type that a layer gives when it takes `taken`, or None where it does not say."""
    stated = getattr(layer, "out_type", None)
    if stated is not None:
        return stated
    if keeps_type(layer):
        return taken
    if isinstance(layer, Recurrence):
        return scalars(layer.hidden_channels * (1 + layer.bidirectional))
    if isinstance(layer, nn.Sequential):
        for child in layer.children():
            taken = gives(child, taken)
        return taken
    network = getattr(layer, "nn", None)  # of GINConv, EdgeConv, NNConv
    if isinstance(network, nn.Sequential | nn.Linear) and not hasattr(layer, "out_channels"):
        return gives(network, None)
    channels = _first(layer, "out_channels", "out_features")
    heads = getattr(layer, "heads", 1) if getattr(layer, "concat", False) is True else 1
    return None if channels is None else _scalars(channels * heads)


def keeps_type(layer: nn.Module) -> bool:
    """Whether what goes out has the type of what comes in."""
    return isinstance(layer, (*LINEAR, *REDUCING, TransformerEncoderLayer, *POINTWISE, *PER_CHANNEL))


class Misfit(NamedTuple):
    """Why a layer may not act on the channels it is given, and what to do instead."""

    reason: str
    cure: str


def misfit(layer: nn.Module, given: FieldType) -> Misfit | None:
    """Return why a layer may not act on channels of the type `given`, or None."""
    if not is_trivial(given) and isinstance(layer, PER_CHANNEL):
        return Misfit(
            "treats the channels of a copy unlike each other, which does not commute with the representation",
            f"take `FieldNorm`, or {_INVARIANTS}",
        )
    taken = takes(layer)
    if taken is not None:
        return None if fits(given, taken) else Misfit(f"takes {taken}", "make both the same")
    if is_trivial(given) or isinstance(layer, LINEAR) or (isinstance(layer, REDUCING) and _adds(layer)):
        return None
    if not isinstance(layer, (*REDUCING, *POINTWISE)):
        return Misfit("states no `in_type`, so that it takes channels that do not transform", _INVARIANTS)
    if given.representation.permutes:
        return None
    return Misfit(
        "acts channel by channel, which does not commute with a representation that mixes them",
        f"take `NormNonlinearity` or `GatedNonlinearity`, or {_INVARIANTS}",
    )


def needs(layer: nn.Module) -> str | None:
    """Return the structure that a layer needs, or None where any domain will do."""
    if hasattr(layer, "grid") and hasattr(layer, "dim"):
        return f"a Grid of {layer.dim} ax{'i' if layer.dim == 1 else 'e'}s"
    if isinstance(layer, Recurrence):
        return "a Chain"
    hint = get_type_hints(type(layer).forward).get("structure") if "structure" in arguments(layer) else None
    return {Complete: "a Complete", Chain: "a Chain", Grid: "a Grid"}.get(hint)  # type: ignore[arg-type]


def _adds(layer: nn.Module) -> bool:
    """Whether a reduction is linear, a sum or a mean."""
    return (layer.aggr if isinstance(layer, GridPool | GridGlobalPool) else layer.reduce) != "max"


def _first(layer: nn.Module, *names: str) -> Any:
    return next((getattr(layer, name) for name in names if getattr(layer, name, None) is not None), None)


def _scalars(channels: Any) -> FieldType | None:
    """Number of channels as a type; PyG says -1 for a number that it will find out, and a pair for two node sets."""
    first = channels[0] if isinstance(channels, tuple | list) and channels else channels
    return scalars(first) if isinstance(first, int) and first > 0 else None

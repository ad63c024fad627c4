"""Built-in models: `MODELS` by name, and `load_model` for a user's own `module:Class`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.nn import Module

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.models.gat import GAT
from graphgdl.expressivity.models.gin import GIN
from graphgdl.expressivity.models.node_marking import NodeMarkingGIN
from graphgdl.expressivity.models.transformer import Transformer, TransformerRWSE

__all__ = ["GAT", "GIN", "MODELS", "NamedModel", "NodeMarkingGIN", "Transformer", "TransformerRWSE", "load_model"]

MODELS: dict[str, Callable[..., Module]] = {
    "transformer": Transformer,
    "gat": GAT,
    "gin": GIN,
    "transformer-rwse": TransformerRWSE,
    "node-marking-gin": NodeMarkingGIN,
}


@dataclass(frozen=True)
class NamedModel:
    """A model class, what it is called, and a digest that changes with its source.

    Args:
        name: in tables and logs.
        build: called as `build(in_channels=1, out_channels=d)`.
        power: the oracle that bounds it, or None.
        digest: of the source file that defines it; a resumed run trusts the lines of the same digest only.
    """

    name: str
    build: Callable[..., Module]
    power: str | None
    digest: str


def load_model(spec: str | Callable[..., Module]) -> NamedModel:
    """A built-in model by name, a user's own by `module:Class`, or a class itself.

    Modules in the current directory are found as well.

    Raises:
        ValueError: no such built-in model, module or class; unknown `power`; an output of the wrong shape.
        TypeError: the class is not callable, or its output is no float tensor.

    >>> load_model("gin").power
    '1-wl'
    """
    from graphgdl.expressivity.oracles import ORACLES

    if isinstance(spec, str):
        name, build = spec, MODELS.get(spec) or import_class(spec)
    else:
        name, build = getattr(spec, "__name__", repr(spec)), spec
    if not callable(build):
        raise TypeError(f"`model` {name} must be a class, got {type(build).__name__}")
    power = getattr(build, "power", None)
    if power is not None and power not in ORACLES:
        raise ValueError(f"`power` of {name} must name an oracle, got {power!r}; there are {', '.join(ORACLES)}")
    check_model(build, name)
    return NamedModel(name, build, power, _digest(build))


def check_model(build: Callable[..., Module], name: str, channels: int = 16) -> None:
    """Run a model once, on two small graphs, so that a mistake in it shows before hours of training.

    Raises:
        ValueError, TypeError: it cannot be built so, or its output has the wrong type or shape.
    """
    import numpy as np
    import torch

    from graphgdl.expressivity.relabel import Copies, relabelled_arcs
    from graphgdl.expressivity.rpc import check_output

    cycle = Graph.from_edges(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)])
    path = Graph.from_edges(4, [(0, 1), (1, 2), (2, 3)])
    rng = np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            model = build(in_channels=1, out_channels=channels)
        except TypeError as error:
            raise TypeError(
                f"`model` {name} must be callable as {name}(in_channels=1, out_channels={channels}), got {error}"
            ) from error
        if not isinstance(model, Module):
            raise TypeError(f"`model` {name} must be a torch.nn.Module, got {type(model).__name__}")
        arcs = [relabelled_arcs(g, 1, rng)[0] for g in (cycle, path)]
        (batch,) = Copies(model, arcs, [5, 4]).chunks(0, 2, 2, 10**9)
        check_output(model.eval()(batch), 2, channels)


def import_class(spec: str) -> Any:
    """Return what `module:Class` names; modules in the current directory are found as well.

    Raises:
        ValueError: no such module or class.
    """
    module, _, attribute = spec.partition(":")
    if not attribute:
        raise ValueError(
            f"`model` must be one of {', '.join(MODELS)}, or module:Class for a model of your own, got {spec!r}"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
        raise ValueError(f"`model` {spec!r}: there is no module {module!r} in the path or the current folder") from None
    except AttributeError:
        raise ValueError(f"`model` {spec!r}: the module {module!r} has no attribute {attribute!r}") from None


def _digest(build: Callable[..., Module]) -> str:
    try:
        text = inspect.getsource(inspect.getmodule(build) or build)
    except (OSError, TypeError):
        text = repr(build)
    return hashlib.sha256(text.encode()).hexdigest()[:12]

"""Run PyG's own layers, and a user's, on compiled loops: the same objects, another path."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn
from torch_geometric.nn.conv import MessagePassing

from graphgdl.nn.lowering import Lowered


class _Accelerated(Lowered):
    """Mark of the classes that `accelerate` makes: `Lowered` before a layer's own class."""

    original: type[MessagePassing]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _restore, (self.original,), self.__dict__


class Accelerated(NamedTuple):
    """What `accelerate` did: names of the layers that may run compiled, and of those left alone with the reason."""

    layers: tuple[str, ...]
    skipped: dict[str, str]


def accelerate(model: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """Let every message-passing layer of `model` run on compiled loops; returns the same `model`.

    The layers stay the objects they are, with their parameters, hooks and state dict; only the class of each is replaced
    by a subclass that overrides `propagate` and `edge_updater`. What the compiler does not understand runs on the message
    path as before. `decelerate` undoes it.

    Args:
        model: a layer or a model with PyG's layers, or any `MessagePassing`.
        *args: with an example of the model's inputs, the model is called once without gradients, so that the
            compilation is done; see `explain_lowering` for what was compiled and what was refused.
        **kwargs: as `args`.

    Returns:
        `model`, with the attribute `accelerated`: the layers taken, and those skipped with the reason.

    Raises:
        TypeError: `model` is no module.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GraphConv
        >>> from graphgdl.nn import explain_lowering
        >>> conv = accelerate(GraphConv(4, 4))
        >>> report = explain_lowering(conv, torch.rand(2, 4), torch.tensor([[0, 1], [1, 0]]))
        >>> assert report[0].ran == "compiled" and isinstance(conv, GraphConv)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a torch.nn.Module, got {type(model).__name__}")
    taken, skipped = [], {}
    for name, module in model.named_modules():
        if not isinstance(module, MessagePassing):
            continue
        reason = _reason(module)
        if reason is not None:
            skipped[name or "model"] = reason
            continue
        taken.append(name or "model")
        if not isinstance(module, Lowered):
            module.__class__ = _class(type(module))
    object.__setattr__(model, "accelerated", Accelerated(tuple(taken), skipped))
    if args or kwargs:
        with torch.no_grad():
            model(*args, **kwargs)
    return model


def decelerate(model: nn.Module) -> nn.Module:
    """Give every layer that `accelerate` took its own class back; returns the same `model`."""
    for module in model.modules():
        if isinstance(module, _Accelerated):
            module.__class__ = module.original
            for name in ("_lowering", "_record"):
                module.__dict__.pop(name, None)
    model.__dict__.pop("accelerated", None)
    return model


def _reason(layer: MessagePassing) -> str | None:
    """Why a layer cannot be given another class, or None."""
    cls = type(layer)
    for step in ("propagate", "edge_updater"):
        if step in layer.__dict__:
            return f"`{step}` is set on the instance"
    if not isinstance(layer, Lowered):
        for base in cls.__mro__[: cls.__mro__.index(MessagePassing)]:
            if "propagate" in vars(base) and not hasattr(base, "_jinja_propagate"):
                return f"`{base.__name__}` has its own `propagate`"
    return None


@cache
def _class(original: Any) -> Any:
    names = {"original": original, "__module__": original.__module__, "__doc__": original.__doc__}
    return type(original.__name__, (_Accelerated, original), names)


def _restore(original: type[MessagePassing]) -> Any:
    return object.__new__(_class(original))

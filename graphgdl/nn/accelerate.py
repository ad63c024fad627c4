"""Run PyG's own layers, and a user's, on compiled loops: the same objects, another path."""

from __future__ import annotations

from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch_geometric.nn.conv import MessagePassing

from graphgdl.nn.lowering import Lowered

_STEPS = ("propagate", "edge_updater")
_classes: dict[type[MessagePassing], type[MessagePassing]] = {}


class _Accelerated(Lowered):
    """Mark of the classes that `accelerate` makes: `Lowered` before a layer's own class."""

    original: type[MessagePassing]

    def __reduce_ex__(self, protocol: Any) -> Any:
        _, _, *state = super().__reduce_ex__(max(protocol, 2))
        return _restore, (self.original,), *state


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
        reason = left_alone(module)
        if reason is not None:
            skipped[name or "model"] = reason
            continue
        taken.append(name or "model")
        for step in _STEPS:
            module.__dict__.pop(step, None)  # PyG's own, which an explainer left
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
            for name in ("_lowering", "_record", *_STEPS):
                module.__dict__.pop(name, None)
            module._set_jittable_templates()
            if module._explain or module._decomposed_layers > 1:
                module.__dict__["propagate"] = MethodType(type(module)._orig_propagate, module)
    model.__dict__.pop("accelerated", None)
    return model


def left_alone(layer: MessagePassing) -> str | None:
    """Return why `accelerate` gives a layer no other class, or None."""
    for step in _STEPS:
        held = layer.__dict__.get(step)
        if held is not None and not _of_pyg(getattr(held, "__func__", held), step, type(layer)):
            return f"`{step}` is set on the instance"
        if not _of_pyg(getattr(type(layer), step), step, type(layer)):
            owner = next(base for base in type(layer).__mro__ if step in vars(base))
            return f"`{owner.__name__}` has its own `{step}`"
    return None


def _of_pyg(function: Any, step: str, cls: type[MessagePassing]) -> bool:
    """Whether a step is PyG's general one, the one that PyG generates for a class and puts into it, or `Lowered`'s."""
    if function is vars(Lowered)[step]:
        return True
    module = getattr(function, "__module__", None) or ""
    return module == MessagePassing.__module__ or any(
        module.startswith(f"{base.__module__}_{base.__name__}_{step}") for base in cls.__mro__
    )


def _class(original: type[MessagePassing]) -> type[MessagePassing]:
    made = _classes.get(original)
    if made is None:
        names = {"original": original, "__module__": original.__module__, "__doc__": original.__doc__}
        made = _classes.setdefault(original, type(original.__name__, (_Accelerated, original), names))
    return made


def _restore(original: type[MessagePassing]) -> Any:
    return object.__new__(_class(original))

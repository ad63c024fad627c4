"""What the forward of a torch network does to its images, as nodes of `torch.fx`; what would be lost is refused."""

from __future__ import annotations

import copy
import operator
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.fx.node import Node, map_arg

_IN_PLACE = ("iadd", "isub", "imul", "itruediv", "ipow")


class Mode(str):
    """The path of a module whose mode, training or not, an argument follows."""


def trace(network: nn.Module) -> list[Node]:
    """Return what `network` does to one batch of images, node by node.

    Paths of modules and parameters begin with "network". An argument that is the mode of a module is a `Mode`.

    Raises:
        ValueError: the forward does not trace, or does what a trace does not hold: it depends on values or sizes, draws
            random numbers, makes tensors, writes into its modules, turns gradients off, or differs in training otherwise
            than by the mode of a dropout.
    """
    tensors: dict[int, Any] = {id(t): t for t in [*network.parameters(), *network.buffers()]}
    twin = _Whole(copy.deepcopy(network, tensors))  # so that nothing happens to the network; the tensors are its own
    training, evaluation = (list(_trace(twin, mode)) for mode in (True, False))
    for node, other in zip(training, evaluation):
        if node.kwargs.get("training") is True and other.kwargs.get("training") is False:
            for one in (node, other):
                one.update_kwarg("training", Mode(owner(one)))
    if [_shown(node) for node in training] != [_shown(node) for node in evaluation]:
        raise ValueError(
            "`network` does other things in training and in evaluation; only the `training` of a dropout may differ"
        )
    return training


def owner(node: Node) -> str:
    """Return the path of the module in whose forward a node stands; of a call of a layer, that layer's own."""
    return next(reversed(node.meta.get("nn_module_stack", {"network": None})))


class _Whole(nn.Module):
    """Calls the network with images alone: its other arguments keep their defaults."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any) -> Any:
        return self.network(x)


class _Proxy(fx.Proxy):
    """A value of the trace that remembers `x += y` as what it is, a change of x, and hides that it is no tensor."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # which `isinstance` looks up, in the frame that calls it; so do torch's parsers
        frame = sys._getframe(1)
        if "isinstance" in frame.f_code.co_names and not frame.f_globals.get("__name__", "").startswith("torch."):
            raise ValueError("it asks for the type of a value")
        return type(self)

    def __getattr__(self, name: str) -> Any:
        if not hasattr(torch.Tensor, name):  # so that `hasattr` answers as for a tensor
            raise AttributeError(f"a tensor has no attribute '{name}'")
        return fx.Proxy.__getattr__(self, name)


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: self.tracer.create_proxy("call_function", function, (self, other), {})


for _name in _IN_PLACE:
    setattr(_Proxy, f"__{_name}__", _in_place(getattr(operator, _name)))


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True  # what reads a buffer, or writes into it, is a step

    def __init__(self) -> None:
        super().__init__()
        self.modes = _modes()

    def proxy(self, node: Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> Node:
        if _modes() != self.modes:
            raise ValueError("it turns gradients or autocast on or off; do so around the call of the result")
        return super().create_node(*args, **kwargs)


def _modes() -> tuple[bool, ...]:
    autocast = (torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))
    return (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), *autocast)


def _trace(twin: nn.Module, training: bool) -> Iterator[Node]:
    for module in twin.modules():
        module.training = training
    before, drawn = _state(twin), _random()
    try:
        graph = _Tracer().trace(twin)
    except Exception as error:
        raise ValueError(f"`network` cannot be traced, its forward must do the same to all images: {error}") from error
    if _random() != drawn:
        raise ValueError("`network` draws random numbers in its forward; draw them in a module, such as Dropout")
    after = _state(twin)
    changed = [f"'{key}'" for key in {**before, **after} if before.get(key, key) is not after.get(key, key)]
    if any("_tensor_constant" in key for key in changed):
        raise ValueError("`network` makes a tensor in its forward; register it as a buffer")
    if changed:
        raise ValueError(f"`network` writes {', '.join(changed)} in its forward, which the result would not do")
    yield from graph.nodes


def _state(twin: nn.Module) -> dict[str, Any]:
    """Return the attributes of all modules by their paths."""
    found = {}
    for path, module in twin.named_modules():
        for name, value in {**vars(module), **module._parameters, **module._buffers}.items():
            found[f"{path}.{name}".removeprefix("network.")] = value
    return found


def _random() -> tuple[Any, ...]:
    _, state, place, *_ = np.random.get_state()  # noqa: NPY002
    return random.getstate(), bytes(state), place, bytes(torch.get_rng_state().numpy())  # type: ignore[arg-type]


def _shown(node: Node) -> tuple[str, ...]:
    arguments = map_arg((node.args, node.kwargs), lambda n: n.name)
    return (node.op, str(node.target), str(arguments))

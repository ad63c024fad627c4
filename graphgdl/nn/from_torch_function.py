"""One function or method of torch on images: what has its numbers on the nodes of a grid, or why nothing does."""

from __future__ import annotations

import builtins
import operator
from typing import Any

import torch
from torch import nn
from torch.fx.node import Node
from torch.nn import functional as F

from graphgdl.nn import grid_steps as run
from graphgdl.nn.from_torch_layer import How, convert
from graphgdl.nn.grid_readout import GridGlobalPool

_ROWS = {
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "sigmoid", "logsigmoid", "tanh"),
    *("softplus", "softsign", "hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink"),
    *("threshold", "dropout", "alpha_dropout", "abs", "neg", "exp", "log", "sqrt", "rsqrt", "square", "sin", "cos"),
    *("clamp", "clone", "contiguous", "detach", "float", "double"),
}
_PAIRS = {
    *("add", "sub", "mul", "div", "truediv", "pow", "maximum", "minimum"),
    *("iadd", "isub", "imul", "itruediv", "ipow"),
}
_SOFTMAX = {"softmax", "log_softmax", "softmin"}
_JOINS = {"cat", "concat", "concatenate"}
_WHOLE = {"flatten", "view", "reshape", "squeeze", "mean", "sum", "amax", "permute", "transpose"}
_POOLS = {"mean": "mean", "amax": "max"}
_KINDS = {
    "max_pool": "MaxPool",
    "avg_pool": "AvgPool",
    "adaptive_avg_pool": "AdaptiveAvgPool",
    "adaptive_max_pool": "AdaptiveMaxPool",
}
MODULES: dict[Any, type[nn.Module]] = {
    F.interpolate: nn.Upsample,
    **{getattr(F, f"{name}{d}d"): getattr(nn, f"{kind}{d}d") for name, kind in _KINDS.items() for d in (1, 2, 3)},
}
"""The functions that have a module, and that module."""


def function(node: Node, images: tuple[Node, ...], what: str, dim: int | None) -> How:
    """Return what does on a grid what a node of a trace, a function or a method, does with images of `dim` axes.

    Raises:
        TypeError: it is not known; the message begins with `what`.
        ValueError: its arguments are not.
    """
    name, call = _callee(node, what)
    kind = name.removesuffix("_")  # what changes its input is known as the same without
    alone = node.all_input_nodes == list(images[:1])
    if "out" in node.kwargs:
        raise ValueError(f"{what} must not have `out`; use what it returns")
    if node.target in MODULES:
        if not alone:
            raise ValueError(f"{what} must have numbers as its options, not values of other steps")
        return convert(_module(node, what), what, dim)._replace(args=images, kwargs={})
    if name == "size":
        return How(run.sizes, call, "plain")
    if name == "getattr" and node.args[1] in ("shape", "dtype", "device"):
        shape = node.args[1] == "shape"
        return How(run.sizes, call, "plain", images) if shape else How(run.on_rows, call, "plain")
    if (kind in _ROWS and alone) or name == "prelu":
        return How(run.on_rows, call)
    if kind in _PAIRS:
        return How(run.combined, call)
    if name in _SOFTMAX:
        options = _options(node, "input", "dim")
        _channels(options.pop("dim", None), what, dim)
        return How(run.on_rows, call, args=images, kwargs={**options, "dim": 1})
    if name in _JOINS:
        options = _options(node, "tensors", "dim")
        _channels(options.get("dim", options.get("axis", 0)), what, dim)
        if any(part not in images for part in options["tensors"]):
            raise ValueError(f"{what} joins images with what is none")
        return How(run.joined, call, args=(options["tensors"], 1), kwargs={})
    if name in _WHOLE:
        return _readout(node, images, name, call, dim)
    raise TypeError(f"{what} is not known on grids; see `graphgdl.nn.from_torch` for what is")


def _callee(node: Node, what: str) -> tuple[str, Any]:
    """Return the name of a function and the function, torch's or an operator."""
    if node.op == "call_method":
        return str(node.target), getattr(torch.Tensor, str(node.target), None)
    name = getattr(node.target, "__name__", "")
    if not any(getattr(home, name, None) is node.target for home in (F, torch, operator, builtins)):
        raise TypeError(f"{what} is not known on grids: it is none of torch's functions")
    return name, node.target


def _options(node: Node, *names: str) -> dict[str, Any]:
    """Return the arguments by their names, but for the input."""
    options: dict[str, Any] = {**dict(zip(names, node.args)), **node.kwargs}
    options.pop("input", None)
    return options


def _module(node: Node, what: str) -> nn.Module:
    """Return the module that does what a function does."""
    options = _options(node)
    if options.pop("antialias", False):
        raise ValueError(f"{what} must not have `antialias`")
    return MODULES[node.target](*node.args[1:], **options)


def _channels(given: Any, what: str, dim: int | None) -> None:
    if given != 1 and (dim is None or given != -dim - 1):
        raise ValueError(f"{what} must have `dim` 1, the channels, got {given}")


def _readout(node: Node, images: tuple[Node, ...], name: str, call: Any, dim: int | None) -> How:
    """Return a global pooling where all axes are pooled, else what reduces channels, or takes the image whole."""
    if name in ("mean", "amax", "sum"):
        options = _options(node, "input", "dim", "keepdim")
        axes, kept = options.pop("dim", None), options.pop("keepdim", False)
        axes = [axes] if isinstance(axes, int) else axes or ()
        if list(axes) == [1] and kept and not options:
            return How(run.on_rows, call, args=images, kwargs={"dim": 1, "keepdim": True})
        every = dim and sorted(a % (dim + 2) for a in axes) == list(range(2, dim + 2))
        if name in _POOLS and every and not options:
            return How(run.on_grid, GridGlobalPool(_POOLS[name]), "pooled" if kept else "plain", images, {})
    return How(run.whole, torch.Tensor.reshape if name == "view" else call, "plain")

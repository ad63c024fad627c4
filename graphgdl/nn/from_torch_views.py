"""In torch a flattened image shares its memory, on a grid it is a copy: a change that one side would miss is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.fx.node import Node

_SAME = {
    *(
        "flatten",
        "view",
        "reshape",
        "squeeze",
        "permute",
        "transpose",
        "unsqueeze",
        "expand",
        "getitem",
        "chunk",
        "split",
    ),
    *("contiguous", "detach", "float", "double", "dropout"),
}
_LAYERS = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def check_views(nodes: Sequence[Node], layers: dict[Node, nn.Module], leaving: Sequence[Node]) -> None:
    """Refuse a change in place that torch would show on both sides of a step at which an image leaves its grid.

    Args:
        nodes: of the trace, in order.
        layers: the modules that nodes call.
        leaving: the nodes at which images leave their grids.

    Raises:
        ValueError: naming the step.
    """
    roots: dict[Node, Node] = {}  # the first node that has the memory of a node
    for node in nodes:
        source = _source(node)
        roots[node] = roots[source] if source and _shares(node, layers.get(node)) else node
    for step in leaving:
        beyond: set[Node] = set()
        changed: set[Node] = set()  # what the other side should see changed by now
        family = {node for node in nodes if roots[node] is roots[step]}
        for node in nodes[nodes.index(step) :]:
            source = _source(node)
            if changed & set(node.all_input_nodes):
                raise ValueError(
                    f"`network` step '{step.name}' shares its memory with the image, and one is changed in place before "
                    f"step '{node.name}' reads the other; change a clone"
                )
            if node is step or (node in family and source in beyond):
                beyond.add(node)
            if source in family and _changes(node, layers.get(node)):
                changed |= family - beyond if source in beyond else beyond


def _source(node: Node) -> Node | None:
    return next(iter(node.all_input_nodes), None)


def _shares(node: Node, layer: nn.Module | None) -> bool:
    return _changes(node, layer) or isinstance(layer, _LAYERS) or _name(node) in _SAME


def _changes(node: Node, layer: Any) -> bool:
    name = _name(node)
    method = name.endswith("_") and not name.endswith("__")
    operators = ("iadd", "isub", "imul", "itruediv", "ipow")
    return method or name in operators or bool(node.kwargs.get("inplace")) or getattr(layer, "inplace", False)


def _name(node: Node) -> str:
    return str(getattr(node.target, "__name__", node.target)) if node.op in ("call_function", "call_method") else ""

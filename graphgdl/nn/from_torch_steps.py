"""A torch network for images, traced, becomes steps on the nodes of grids and the layers that they call."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from torch import nn
from torch.fx.node import Node, map_aggregate

from graphgdl.nn import grid_steps as run
from graphgdl.nn.from_torch_function import MODULES, function
from graphgdl.nn.from_torch_layer import NEEDS_GRID, How, convert
from graphgdl.nn.from_torch_views import check_views
from graphgdl.nn.grid_network import GridNetwork, Step, Value
from graphgdl.nn.grid_trace import Mode, owner, trace


class Conversion:
    """One network on its way to grids, node after node of its trace."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.nodes = network, trace(network)
        self.dim = next((d for d in map(self._axes, self.nodes) if d), None)
        self.kinds: dict[Node, str] = {}
        self.layers: dict[int, tuple[nn.Module, nn.Module]] = {}  # by id: a module, and what stands for it
        self.made: dict[str, nn.Module] = {}  # layers that stand for functions, by name
        self.steps = [self._step(node) for node in self.nodes if node.op not in ("placeholder", "output")]
        called = {node: self._module(node) for node in self.nodes if node.op == "call_module"}
        leaving = {step.name for step in self.steps if step.run is run.whole}
        check_views(self.nodes, called, [node for node in self.nodes if node.name in leaving])

    def result(self) -> GridNetwork:
        """Return the converted network."""
        (output,) = self.nodes[-1].args
        if not isinstance(output, Node):
            raise ValueError(f"`network` must return one tensor, got {type(output).__name__}; return one of them")
        result = GridNetwork(self.steps, output.name, self.dim)
        for name in (*self.network._modules, *self.network._parameters, *self.network._buffers):
            if hasattr(result, name):
                raise ValueError(f"`network` child '{name}' has a name that the result needs; rename it")
        self._copy(self.network, result)
        for name, layer in self.made.items():
            result.add_module(name, layer)
        return result

    def _step(self, node: Node) -> Step:
        images = tuple(n for n in node.all_input_nodes if self.kinds.get(n, "grid") != "plain")
        how = self._how(node, images)
        inherited = "grid" if any(self.kinds.get(n, "grid") == "grid" for n in images) else "pooled"
        self.kinds[node] = kind = how.kind or inherited
        call = self._named(node, how.call) if isinstance(how.call, nn.Module) else how.call
        args = node.args if how.args is None else how.args
        args, kwargs = map_aggregate((args, node.kwargs if how.kwargs is None else how.kwargs), _argument)
        return Step(node.name, kind, how.run, call, args, kwargs, tuple(n.name for n in images), _path(owner(node)))

    def _how(self, node: Node, images: tuple[Node, ...]) -> How:
        if node.op == "get_attr":
            return self._tensor(node)
        if node.op == "call_module":
            return self._layer(node, images)
        if images:
            where = _path(owner(node))
            place = f"the forward of '{where}'" if where else "its forward"
            what = f"`network` step '{node.name}' in {place}, `{getattr(node.target, '__name__', node.target)}`,"
            return function(node, images, what, self.dim)
        call = partial(_method, str(node.target)) if node.op == "call_method" else node.target
        return How(_as_in_torch, call, "plain")

    def _tensor(self, node: Node) -> How:
        path = _path(str(node.target))
        place, _, name = path.rpartition(".")
        holder = self.network.get_submodule(place)
        if name not in holder._parameters and name not in holder._buffers:
            raise ValueError(f"`network` reads '{path}', a tensor that is neither parameter nor buffer; register it")
        return How(_itself, path, "plain")

    def _layer(self, node: Node, images: tuple[Node, ...]) -> How:
        child, path = self._module(node), _path(str(node.target))
        shown = f"{type(child).__name__}(...)" if "\n" in repr(child) else repr(child)
        what = f"`network` child '{path}', {shown},"
        if not images:
            if isinstance(child, NEEDS_GRID):
                raise ValueError(f"{what} comes after a Flatten or its like, where there is no grid")
            how = How(_as_in_torch, child, "plain")
        elif len(node.args) != 1 or node.kwargs:
            raise ValueError(f"{what} must be called with one image and no more")
        else:
            how = convert(child, what, self.dim)
        _, layer = self.layers.setdefault(id(child), (child, how.call))
        return how._replace(call=layer)

    def _named(self, node: Node, layer: nn.Module) -> str:
        """Return the path under which a step finds its layer."""
        if node.op == "call_module":
            return _path(str(node.target))
        name = node.name
        while hasattr(self.network, name):
            name += "_"
        self.made[name] = layer
        return name

    def _axes(self, node: Node) -> int | None:
        """Return the number of axes of the images, where the node tells."""
        module = self._module(node) if node.op == "call_module" else None
        name = type(module).__name__ if isinstance(module, NEEDS_GRID) else ""
        if node.op == "call_function" and node.target in MODULES:
            name = node.target.__name__  # type: ignore[union-attr]
        found = re.search(r"([123])d$", name)
        return int(found[1]) if found else None

    def _module(self, node: Node) -> nn.Module:
        return self.network.get_submodule(_path(str(node.target)))

    def _copy(self, module: nn.Module, into: nn.Module) -> nn.Module:
        """Give a module the mode and the tensors of another, and what stands for its children."""
        into.training = module.training
        into._parameters.update(module._parameters)
        into._buffers.update(module._buffers)
        into._non_persistent_buffers_set.update(module._non_persistent_buffers_set)
        for name, child in module._modules.items():
            into._modules[name] = None if child is None else self._stand_in(child)
        return into

    def _stand_in(self, child: nn.Module) -> nn.Module:
        if id(child) not in self.layers:
            unused = type(child).__module__.startswith("torch.nn.") and not child._modules
            self.layers[id(child)] = (child, child if unused else self._copy(child, nn.Module()))
        return self.layers[id(child)][1]


def _path(name: str) -> str:
    """Return the path in the network of what the trace calls 'network' or 'network.path'."""
    return name.removeprefix("network").removeprefix(".")


def _argument(value: Any) -> Any:
    if isinstance(value, Node):
        return Value(value.name)
    return Mode(_path(value)) if isinstance(value, Mode) else value


def _as_in_torch(call: Any, *args: Any, **kwargs: Any) -> Any:
    return call(*args, **kwargs)


def _itself(value: Any) -> Any:
    return value


def _method(name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
    return getattr(value, name)(*args, **kwargs)

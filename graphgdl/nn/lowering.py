"""Lowerings: the same layer, run on the fastest path that gives the same numbers.

`message()` is the specification. A layer lists faster forms in `lowerings`, fastest first; each says with a reason when
it does not apply. PyG's own path, `'message'`, is always there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn.aggr import Aggregation, MaxAggregation, MeanAggregation, MinAggregation, SumAggregation
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from graphgdl import ops
from graphgdl.nn.inputs import plain

REDUCES: dict[type[Aggregation], str] = {
    SumAggregation: "sum",
    MeanAggregation: "mean",
    MaxAggregation: "max",
    MinAggregation: "min",
}
_SPECIFICATION = ("message", "aggregate", "message_and_aggregate", "update", "edge_update")
BACKENDS = ops.available_backends()
_STEPS = ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update")
_HOOKS = [(step, f"_{step}_forward{pre}_hooks") for step in _STEPS for pre in ("_pre", "")]


class Lowering(NamedTuple):
    """A faster form of a layer.

    `run(layer, edge_index, num_dst, **inputs)` gets the plain (2, e) edges and what `propagate` was called with, and
    returns what `propagate` returns. `scores`, of a layer with attention, does the same for `edge_updater`.
    `refuses(layer, **inputs)` returns None where the form applies, else the reason.
    """

    run: Callable[..., Tensor]
    scores: Callable[..., Tensor] | None = None
    refuses: Callable[..., str | None] = lambda layer, **inputs: None


class Ran(NamedTuple):
    """One step of a layer: the lowering that ran, and why each faster one did not."""

    step: str
    lowering: str
    refused: dict[str, str]


class Lowered(MessagePassing):
    """Mixin before a PyG layer: takes its `propagate` and `edge_updater`, and picks the lowering at each call.

    `layer.lowering` is `'auto'` (the first that applies) or a name, which raises with the reason where it does not
    apply. A class states its lowerings as `class XConv(Lowered, pyg.XConv, lowerings={...})`, fastest first; they stand
    for the methods that the class has then, so a subclass that overrides one of these runs on the message path.
    """

    lowerings: ClassVar[dict[str, Lowering]] = {}
    feature_dims: ClassVar[int] = 2
    """Most dimensions of the features that the lowerings read: 2 for (n, c), 3 for (n, h, c)."""

    _specification: ClassVar[dict[str, Any]] = {}
    _lowering: str = "auto"
    _record: list[Ran] | None = None

    def __init_subclass__(cls, lowerings: dict[str, Lowering] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if lowerings is not None:
            cls.lowerings = lowerings
            cls._specification = {name: getattr(cls, name) for name in _SPECIFICATION}

    @property
    def lowering(self) -> str:
        """`'auto'`, or the name of the only lowering that may run."""
        return self._lowering

    @lowering.setter
    def lowering(self, name: str) -> None:
        names = ["auto", *self.lowerings, "message"]
        if name not in names:
            raise ValueError(f"`lowering` of {type(self).__name__} must be one of {names}, got {name!r}")
        self._lowering = name

    def propagate(self, edge_index: Any, size: Any = None, **kwargs: Any) -> Tensor:
        """Run the chosen lowering; see `MessagePassing.propagate`."""
        edges, inputs = self._unpack(edge_index, kwargs)
        name, refused = self._choose(edge_index, kwargs, inputs)
        self._note("propagate", name, refused)
        if name == "message":
            return MessagePassing.propagate(self, _wide(edge_index), size=size, **kwargs)
        return self.lowerings[name].run(self, edges, self._num_dst(edge_index, size, inputs), **inputs)

    def edge_updater(self, edge_index: Any, size: Any = None, **kwargs: Any) -> Tensor:
        """Run the chosen lowering of the scores; see `MessagePassing.edge_updater`."""
        edges, inputs = self._unpack(edge_index, kwargs)
        name, refused = self._choose(edge_index, kwargs, inputs)
        scores = self.lowerings[name].scores if name != "message" else None
        self._note("edge_updater", "message" if scores is None else name, refused)
        if scores is None:
            return MessagePassing.edge_updater(self, _wide(edge_index), size=size, **kwargs)
        return scores(self, edges, self._num_dst(edge_index, size, inputs), **inputs)

    # What PyG generates and swaps in is its message path; ours stays in charge, also when explain mode ends.
    _orig_propagate = _jinja_propagate = propagate
    _orig_edge_updater = _jinja_edge_updater = edge_updater

    def _set_jittable_templates(self, raise_on_error: bool = False) -> None:
        pass

    @property
    def reduce(self) -> str:
        """The aggregation as the ops name it: 'sum', 'mean', 'max' or 'min'."""
        return REDUCES[type(self.aggr_module)]

    def _choose(self, edge_index: Any, given: dict[str, Any], inputs: dict[str, Any]) -> tuple[str, dict[str, str]]:
        refused: dict[str, str] = {}
        if self._lowering != "message":
            common = self._customised() or self._refuses(edge_index, given) or self._refuses_features(inputs)
            for name, lowering in self.lowerings.items():
                if self._lowering not in ("auto", name):
                    continue
                reason = common or lowering.refuses(self, **inputs)
                if reason is None:
                    return name, refused
                if self._lowering == name:
                    raise ValueError(
                        f"`lowering` {name!r} of {type(self).__name__} does not apply: {reason}; use 'auto'"
                    )
                refused[name] = reason
        return "message", refused

    def _customised(self) -> str | None:
        """What of this layer was changed, so that only the message path knows of it, or None."""
        if self._explain:
            return "explain mode needs every message"
        for step, hooks in _HOOKS:
            if self.__dict__[hooks]:
                return f"a hook is registered on {step}"
        if self._decomposed_layers > 1:
            return f"decomposed_layers = {self._decomposed_layers}"
        cls = type(self)
        for name, method in self._specification.items():
            if getattr(cls, name) is not method or name in self.__dict__:
                return f"`{name}` is overridden"
        if self.aggr_module is not None and (self.aggr_module._forward_hooks or self.aggr_module._forward_pre_hooks):
            return "a hook is registered on the aggregation"
        return None

    def _refuses(self, edge_index: Any, given: dict[str, Any]) -> str | None:
        """Why no lowering but the message path takes these options and this form of graph, or None."""
        if type(self.aggr_module) not in REDUCES:
            return f"the aggregation {type(self.aggr_module).__name__} has no fused form"
        if self.flow != "source_to_target":
            return f"flow = {self.flow!r}"
        if is_torch_sparse_tensor(edge_index):
            return "a torch sparse matrix is read by the message path only"
        if isinstance(edge_index, SparseTensor) and given.get("edge_weight") is not None:
            return "`edge_weight` beside a SparseTensor is left to the message path"
        if torch._C._are_functorch_transforms_active():
            return "a torch.func transform is active"
        if torch.autograd.forward_ad._current_level >= 0:
            return "forward-mode differentiation is active"
        return None

    def _refuses_features(self, inputs: dict[str, Any]) -> str | None:
        first = True
        for name, value in inputs.items():
            for tensor in value if isinstance(value, tuple | list) else (value,):
                if not isinstance(tensor, Tensor):
                    continue
                if not tensor.is_floating_point():
                    return f"`{name}` is {tensor.dtype}, not floating point"
                if first and (not 2 <= tensor.dim() <= self.feature_dims or self.node_dim % tensor.dim() != 0):
                    return f"`{name}` has {tensor.dim()} dimensions with node_dim = {self.node_dim}"
                if first and (why := BACKENDS.get(tensor.device.type, f"no kernels for {tensor.device.type}")):
                    return f"`{name}` is on {tensor.device}: {why}"
                first = False
        return "no tensor was given" if first else None

    def _unpack(self, edge_index: Any, inputs: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Split a sparse adjacency into edges and values; the values stand in for missing edge inputs, as in PyG."""
        edges, value = plain(edge_index)
        if value is not None:
            missing = [name for name in ("edge_weight", "edge_attr") if name in inputs and inputs[name] is None]
            inputs = {**inputs, **dict.fromkeys(missing, value)}
        return edges, inputs

    def _num_dst(self, edge_index: Any, size: Any, inputs: dict[str, Any]) -> int:
        if isinstance(edge_index, SparseTensor):
            return edge_index.size(0)
        if isinstance(edge_index, EdgeIndex) and edge_index.num_cols is not None:
            return edge_index.num_cols
        src, dst = self._ends(**inputs)
        if dst is not None:
            return dst.size(0)
        return size[1] if size is not None and size[1] is not None else src.size(0)

    def _ends(self, **inputs: Any) -> tuple[Tensor, Tensor | None]:
        """Source and destination features among the inputs of `propagate`."""
        x = inputs["x"]
        return (x, None) if isinstance(x, Tensor) else (x[0], x[1])

    def _note(self, step: str, name: str, refused: dict[str, str]) -> None:
        if self._record is not None:
            self._record.append(Ran(step, name, refused))


def _wide(edge_index: Any) -> Any:
    """PyG's scatter and softmax take int64 indices only."""
    return edge_index.long() if isinstance(edge_index, Tensor) and edge_index.dtype == torch.int32 else edge_index

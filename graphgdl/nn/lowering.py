"""Lowerings: the same layer, run on the fastest path that gives the same numbers.

`message()` is the specification. Every layer has the lowering `'compiled'`, which `graphgdl.compiler` derives from it, and
`'message'`, PyG's own path; a layer may list special forms before them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.modules.module import _has_any_global_hook
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from graphgdl.domains.bipartite import CompleteBipartite
from graphgdl.domains.structure import Structure
from graphgdl.groups import Law
from graphgdl.nn.inputs import plain
from graphgdl.nn.laws import permutation_laws

_STEPS = ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update")
_HOOKS = [f"_{step}_forward{pre}_hooks" for step in _STEPS for pre in ("_pre", "")]
_PAIR = (tuple, list)


class Call(NamedTuple):
    """One call of `propagate` or `edge_updater`: plain edges (2, e), numbers of nodes, and the inputs.

    `by_inputs`: whether edges and inputs alone say all this, and were passed as they are here.
    """

    step: str
    edges: Tensor
    num_src: int
    num_dst: int
    inputs: dict[str, Any]
    by_inputs: bool = False


class Lowering(Protocol):
    """A faster form of a layer."""

    def prepare(self, layer: Lowered, call: Call) -> Callable[[], Any] | str:
        """Return what runs the step, or the reason why this form does not apply."""


class Compiled:
    """The form that the compiler derives from `message()`, with its derivatives (see `graphgdl.compiler`)."""

    def prepare(self, layer: Lowered, call: Call) -> Callable[[], Any] | str:
        """Return what runs the step, or the reason why the compiler does not take it."""
        compiler = _compiler()
        *what, by_inputs = call
        variant = compiler.compiled(layer, *what)
        return variant.reason or partial(compiler.run, variant, layer, *what, keep=by_inputs)


class Ran(NamedTuple):
    """One step of a layer: the lowering that ran, and why each faster one did not."""

    step: str
    lowering: str
    refused: dict[str, str]


class Lowered(MessagePassing):
    """Mixin before a PyG layer: takes its `propagate` and `edge_updater`, and picks the lowering at each call.

    `layer.lowering` is `'auto'` (the first that applies) or a name, which raises with the reason where it does not apply.
    """

    lowerings: ClassVar[dict[str, Lowering]] = {"compiled": Compiled()}
    _lowering: str = "auto"
    _record: list[Ran] | None = None

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

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return what holds on inputs like `data`; a layer promises permutations of the nodes unless it says otherwise."""
        return permutation_laws(self, data)

    def propagate(self, edge_index: Any, size: Any = None, **kwargs: Any) -> Any:
        """Run the chosen lowering; see `MessagePassing.propagate`."""
        return self._run("propagate", edge_index, size, kwargs)

    def edge_updater(self, edge_index: Any, size: Any = None, **kwargs: Any) -> Any:
        """Run the chosen lowering of the scores; see `MessagePassing.edge_updater`."""
        return self._run("edge_updater", edge_index, size, kwargs)

    # What PyG generates and swaps in is its message path; ours stays in charge, also when explain mode ends.
    _orig_propagate = _jinja_propagate = propagate
    _orig_edge_updater = _jinja_edge_updater = edge_updater

    def _set_jittable_templates(self, raise_on_error: bool = False) -> None:
        pass

    def _run(self, step: str, edge_index: Any, size: Any, inputs: dict[str, Any]) -> Any:
        refused: dict[str, str] = {}
        if self.flow == "target_to_source":
            inputs = self._pairs_turned(step, inputs)
        if self._lowering != "message":
            call = self._customised() or self._call(step, edge_index, size, inputs)
            if callable(call):
                self._note(step, "compiled", refused)
                return call()
            for name, lowering in self.lowerings.items():
                if self._lowering not in ("auto", name):
                    continue
                found = call if isinstance(call, str) else lowering.prepare(self, call)
                if not isinstance(found, str):
                    self._note(step, name, refused)
                    return found()
                if self._lowering == name:
                    raise ValueError(
                        f"`lowering` {name!r} of {type(self).__name__} does not apply: {found}; use 'auto'"
                    )
                refused[name] = found
        self._note(step, "message", refused)
        from graphgdl.compiler.trace import general

        return general(step)(self, _wide(edge_index), size=size, **inputs)

    def _pairs_turned(self, step: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Turn pairs round: what PyG generates takes `x_j` from `x[0]` in either flow, `MessagePassing` does not."""
        turned = dict(inputs)
        for name, _ in _lifted(tuple(self._user_args if step == "propagate" else self._edge_user_args)):
            pair = inputs.get(name)
            if isinstance(pair, _PAIR) and len({t.size(0) for t in pair if isinstance(t, Tensor)}) == 1:
                turned[name] = tuple(reversed(pair))
        return turned

    def _customised(self) -> str | None:
        """What was hung onto this layer, so that only the message path knows of it, or None."""
        if self._explain:
            return "explain mode needs every message"
        hooks = [self.__dict__[name] for name in _HOOKS]
        if any(hooks):
            step = next(name for name, found in zip(_HOOKS, hooks) if found).partition("_forward")[0]
            return f"a hook is registered on {step[1:]}"
        if _has_any_global_hook():
            return "a hook on all modules is registered"
        if self._decomposed_layers > 1:
            return f"decomposed_layers = {self._decomposed_layers}"
        return None

    def _sparse_form_is_own(self) -> bool:
        """Whether a sparse adjacency would run a `message_and_aggregate` that is not PyG's, which knows no other form."""
        method = self.message_and_aggregate
        return bool(self.fuse) and method.__module__.partition(".")[0] != "torch_geometric"

    def _call(self, step: str, edge_index: Any, size: Any, given: dict[str, Any]) -> Call | Callable[[], Any] | str:
        """Return the call in plain form, or what runs it if it is like the last one, or why the message path must run."""
        if torch.compiler.is_compiling():
            return "torch.compile traces the message path"
        by_inputs = size is None and type(edge_index) is Tensor
        if type(edge_index) is not Tensor or edge_index.layout is not torch.strided:
            reason = self._unusual(edge_index, given)
            if reason is not None:
                return reason
        if torch._C._are_functorch_transforms_active():
            return "a torch.func transform is active"
        if torch.autograd.forward_ad._current_level >= 0:
            return "forward-mode differentiation is active"
        edges, inputs = self._unpack(edge_index, given)
        device = "cuda" if edges.is_cuda else "cpu"
        if torch.is_autocast_enabled(device):
            return f"autocast is active on the {device.upper()}"
        if device == "cpu" and torch._C._len_torch_function_stack() and torch.get_default_device().type != "cpu":
            return f"tensors are made on {torch.get_default_device()}, the default device"
        if by_inputs and len(self.lowerings) == 1:
            again = _compiler().again(self, step, edges, inputs)
            if again is not None:
                return again
        counts = self._node_counts(step, edge_index, size, inputs)
        return counts if isinstance(counts, str) else Call(step, edges, *counts, inputs, by_inputs)

    def _unusual(self, edge_index: Any, given: dict[str, Any]) -> str | None:
        """Return why a graph that is no plain tensor is left to the message path, or None."""
        if is_torch_sparse_tensor(edge_index):
            return "a torch sparse matrix is read by the message path only"
        if isinstance(edge_index, SparseTensor | EdgeIndex) and self._sparse_form_is_own():
            return "`message_and_aggregate` is overridden"
        if isinstance(edge_index, SparseTensor) and given.get("edge_weight") is not None:
            return "`edge_weight` beside a SparseTensor is left to the message path"
        return None

    def _unpack(self, edge_index: Any, inputs: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Split a sparse adjacency into edges and values; the values stand in for missing edge inputs, as in PyG."""
        if type(edge_index) is Tensor:
            return edge_index, inputs
        edges, value = plain(edge_index)
        if value is not None:
            missing = [name for name in ("edge_weight", "edge_attr") if name in inputs and inputs[name] is None]
            inputs = {**inputs, **dict.fromkeys(missing, value)}
        return edges, inputs

    def _node_counts(self, step: str, edge_index: Any, size: Any, inputs: dict[str, Any]) -> tuple[int, int] | str:
        """Return the numbers of sources and destinations as `MessagePassing` finds them, or what stands against it."""
        if isinstance(edge_index, SparseTensor):
            counts = [edge_index.size(1), edge_index.size(0)]
        elif isinstance(edge_index, EdgeIndex):
            counts = [edge_index.num_rows, edge_index.num_cols]
        else:
            counts = [None, None] if size is None or step != "propagate" else list(size)
        i, j = (1, 0) if self.flow == "source_to_target" else (0, 1)
        for name, is_i in _lifted(tuple(self._user_args if step == "propagate" else self._edge_user_args)):
            value = inputs.get(name)
            for k, tensor in enumerate(value) if isinstance(value, _PAIR) else ((i if is_i else j, value),):
                if not isinstance(tensor, Tensor):
                    continue
                if not tensor.dim() or self.node_dim % tensor.dim() != 0:
                    return f"`{name}` has {tensor.dim()} dimensions with node_dim = {self.node_dim}"
                rows = tensor.shape[0]
                if counts[k] is None:
                    counts[k] = rows
                elif counts[k] != rows:
                    return f"`{name}` has {rows} rows, not {counts[k]}"
        num_src, num_dst = (counts[k] if counts[k] is not None else counts[1 - k] for k in (0, 1))
        return "the number of nodes is not given" if num_src is None or num_dst is None else (num_src, num_dst)

    def _note(self, step: str, name: str, refused: dict[str, str]) -> None:
        if self._record is not None:
            self._record.append(Ran(step, name, refused))


def _wide(edge_index: Any) -> Any:
    """PyG's message path knows no structures, and its scatter and softmax take int64 indices only."""
    if isinstance(edge_index, Structure | CompleteBipartite):
        return edge_index.edge_index
    return edge_index.long() if isinstance(edge_index, Tensor) and edge_index.dtype == torch.int32 else edge_index


@cache
def _lifted(args: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Return, of the arguments of a message, those read at an end of each edge: name, and whether at `_i`."""
    return [(arg[:-2], arg[-2:] == "_i") for arg in args if arg[-2:] in ("_i", "_j")]


@cache
def _compiler() -> ModuleType:
    """Return `graphgdl.compiler`, which is imported when a layer first runs."""
    return import_module("graphgdl.compiler")

"""The compiled message of a layer: recorded at its first call, proved against the message path, found again by guards."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import is_, itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.conv import MessagePassing

from . import jit
from .derive import Differentiable
from .ir import Program
from .prove import prove
from .tape import Refused
from .topology import topology
from .trace import FLOATS, Recording, flatten, record, rows_of
from .translate import translate

MOST_VARIANTS = 16  # of one layer's options, before it is left to the message path
_METHODS = ("message", "aggregate", "update", "edge_update")
_OWN = frozenset(type("_Plain", (MessagePassing,), {})().__dict__) - {"training", "node_dim", "flow"}
_FROZEN = (int, float, str, bool, type(None), torch.dtype)
Key = tuple[Any, ...]


@dataclass
class Variant:
    """One recording of a layer, or the reason why there is none, valid while the guard holds."""

    guard: Callable[[], bool]
    reason: str | None = None
    recording: Recording | None = None
    compiled: Differentiable | None = None
    sources: Sequence[Callable[[dict[str, Tensor]], Tensor]] = ()


_layers: weakref.WeakKeyDictionary[MessagePassing, dict[Key, list[Variant]]] = weakref.WeakKeyDictionary()
_programs: dict[str, Differentiable | str] = {}


def compiled(
    layer: MessagePassing, step: str, edge_index: Tensor, num_src: int, num_dst: int, inputs: dict[str, Any]
) -> Variant:
    """Return the variant of `layer` for these inputs; with a `reason` where the message path must run.

    Args:
        layer: the layer.
        step: 'propagate' or 'edge_updater'.
        edge_index: (2, e), checked.
        num_src: number of sources.
        num_dst: number of destinations.
        inputs: what `propagate` is called with.
    """
    known = _layers.get(layer)
    if known is None:
        known = _layers[layer] = {}
    try:
        key = _key(step, inputs, num_src, num_dst, edge_index.size(1))
    except TypeError:
        return Variant(lambda: False, reason="an argument of propagate is neither a tensor nor a plain value")
    variants = known.setdefault(key, [])
    for variant in variants:
        if variant.guard():
            return variant
    if len(variants) >= MOST_VARIANTS:
        return Variant(lambda: False, reason=f"its options changed more than {MOST_VARIANTS} times")
    variant = _made(layer, step, num_src, num_dst, edge_index.size(1), inputs)
    variants.append(variant)
    return variant


def run(
    variant: Variant, layer: MessagePassing, edge_index: Tensor, num_src: int, num_dst: int, inputs: dict[str, Any]
) -> Any:
    """Return what the step returns, and set the attributes that the message sets."""
    recording, function = variant.recording, variant.compiled
    assert recording is not None and function is not None
    flat = flatten(inputs)
    values = [source(flat) for source in variant.sources]
    found = function(topology(edge_index, num_src, num_dst), values)
    for (module, name), value in zip(recording.effects, found[recording.returned :]):
        (layer.get_submodule(module) if module else layer).__dict__[name] = value
    return found[0] if recording.single else tuple(found[: recording.returned])


def _key(step: str, inputs: dict[str, Any], num_src: int, num_dst: int, num_edges: int) -> Key:
    sizes = (num_src, num_dst, num_edges)
    parts: list[Any] = [step, num_src == num_dst, torch.is_grad_enabled()]
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            parts.append((name, _signature(value, sizes)))
        elif isinstance(value, tuple | list):
            parts.append((name, *(_signature(v, sizes) if isinstance(v, Tensor) else v for v in value)))
        else:
            parts.append((name, value, type(value)))
    key = tuple(parts)
    hash(key)
    return key


def _signature(tensor: Tensor, sizes: tuple[int, int, int]) -> Key:
    shape = tensor.shape
    rows = shape[0] if shape else -1
    return (
        shape[1:],
        tensor.dtype,
        tensor.requires_grad,
        rows if rows not in sizes else sizes.index(rows),
        rows == sizes[2],
    )


def _made(
    layer: MessagePassing, step: str, num_src: int, num_dst: int, num_edges: int, inputs: dict[str, Any]
) -> Variant:
    guard = _guard(layer)
    try:
        if not num_src or not num_dst or not num_edges:
            raise Refused("the graph has no edges")
        square = num_src == num_dst
        rows = rows_of(layer, step, inputs, num_src, num_dst, num_edges)
        for name, tensor in flatten(inputs).items():
            if tensor.device.type != "cpu":
                raise Refused(f"`{name}` is on {tensor.device}: compiled loops run on the CPU")
            if 0 in tensor.shape[1:]:
                raise Refused(f"`{name}` has no features")
        _check_modules(layer)
        recording = record(layer, step, inputs, rows, square)
        guard = _guard(layer, {name for _, name in recording.effects})
        sources = [_source(layer, kind, name) for kind, name in recording.inputs]
        flat = flatten(inputs)
        values = [source(flat) for source in sources]
        enabled = torch.is_grad_enabled()
        wanted = [k for k, v in enumerate(values) if enabled and v.requires_grad and v.dtype in FLOATS]
        key = hashlib.sha256(f"{jit.fingerprint()} {square} {wanted}\n{recording.tape.text()}".encode()).hexdigest()
        found = _programs.get(key)
        if found is None:
            found = _programs[key] = _build(recording, wanted, layer, step, inputs, rows, square, sources, key)
        if isinstance(found, str):
            raise Refused(found)
        return Variant(guard, None, recording, found, sources)
    except Refused as refused:
        return Variant(guard, reason=str(refused))


def _build(
    recording: Recording,
    wanted: list[int],
    layer: MessagePassing,
    step: str,
    inputs: dict[str, Any],
    rows: dict[str, int | None],
    square: bool,
    sources: Sequence[Callable[[dict[str, Tensor]], Tensor]],
    key: str,
) -> Differentiable | str:
    try:
        program = Program()
        names = ["", *(f"{kind} {name}" for kind, name in recording.inputs)]
        nodes, outputs = translate(recording.tape, program, names)
        made = Differentiable(program, recording.tape, nodes, [o for o in outputs if o is not None], wanted)

        def candidate(edge_index: Tensor, num_src: int, num_dst: int, given: dict[str, Any]) -> Any:
            flat = flatten(given)
            found = made(topology(edge_index, num_src, num_dst), [source(flat) for source in sources])
            return found[: recording.returned]

        mark = f"{key}.proved"
        if jit.load(mark) is None:
            prove(candidate, layer, step, inputs, rows, square, bool(wanted), [name for _, name in recording.effects])
            jit.save(mark, b"")
        return made
    except Refused as refused:
        return str(refused)


def _source(layer: nn.Module, kind: str, name: str) -> Callable[[dict[str, Tensor]], Tensor]:
    """Return a function that finds an input of the program among the arguments, the layer, or draws the seed."""
    if kind == "input":
        return itemgetter(name)
    if kind == "seed":
        return lambda _: torch.randint(-(2**63), 2**63 - 1, ())
    path, _, last = name.rpartition(".")
    module = layer.get_submodule(path)
    store = module._parameters if last in module._parameters else module._buffers
    return lambda _: store[last]  # type: ignore[return-value]


def _check_modules(layer: nn.Module) -> None:
    for name, module in layer.named_modules():
        if name and (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks):
            raise Refused(f"a hook is registered on `{name}`")
        if isinstance(module, nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params():
            raise Refused(f"`{name}` has uninitialised parameters")
    for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]:
        if tensor.device.type != "cpu":
            raise Refused(f"`{name}` is on {tensor.device}: compiled loops run on the CPU")


def _guard(layer: nn.Module, ignored: set[str] | None = None) -> Callable[[], bool]:
    """Return a function that says whether what a message can read of the layer is as it was.

    Attributes are compared by identity, containers of plain values by content, parameters by shape, dtype and whether
    they need a gradient; of globals and closures of the layer's own methods, plain values.
    """
    checks: list[tuple[dict[str, Any], Callable[[Any], Any], tuple[Any, ...]]] = []
    contents: list[tuple[Any, Any]] = []
    hooks: list[dict[Any, Any]] = []
    tensors: list[tuple[dict[str, Any], str, tuple[Any, ...]]] = []
    for path, module in layer.named_modules():
        own = module.__dict__
        names = [n for n in own if n not in (ignored or ()) and not (path == "" and n in _OWN) and n not in _INTERNAL]
        if len(names) > 1:
            checks.append((own, itemgetter(*names), tuple(own[n] for n in names)))
        contents += [(own[n], _frozen(own[n])) for n in names if isinstance(own[n], list | dict | set)]
        children = module._modules
        if children:
            getter = itemgetter(*children) if len(children) > 1 else lambda d, key=next(iter(children)): (d[key],)
            checks.append((children, getter, tuple(children.values())))  # type: ignore[arg-type]
        if path:
            hooks += [module._forward_hooks, module._forward_pre_hooks]
        for store in (module._parameters, module._buffers):
            tensors += [(store, n, _shape(t)) for n, t in store.items()]
    for method in _METHODS:
        function = getattr(type(layer), method, None)
        code = getattr(function, "__code__", None)
        if code is not None:
            space = function.__globals__  # type: ignore[union-attr]
            names = [n for n in code.co_names if n in space and isinstance(space[n], _FROZEN)]
            contents += [(_Global(space, n), space[n]) for n in names]

    def holds() -> bool:
        return (
            all(all(map(is_, get(store), values)) for store, get, values in checks)
            and not any(hooks)
            and all(_shape(store.get(name)) == shape for store, name, shape in tensors)
            and all(_frozen(value) == content for value, content in contents)
        )

    return holds


_INTERNAL = frozenset(nn.Module().__dict__) - {"training"}


class _Global:
    """A global that a method reads."""

    def __init__(self, space: dict[str, Any], name: str) -> None:
        self.space, self.name = space, name


def _frozen(value: Any) -> Any:
    if isinstance(value, _Global):
        return value.space.get(value.name)
    if isinstance(value, dict):
        return tuple((k, _frozen(v)) for k, v in value.items())
    if isinstance(value, list | tuple | set):
        return tuple(_frozen(v) for v in value)
    return value if isinstance(value, _FROZEN) else id(value)


def _shape(tensor: Tensor | None) -> Any:
    return None if tensor is None else (tensor.shape, tensor.dtype, tensor.requires_grad)

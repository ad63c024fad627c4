"""The compiled message of a layer: recorded at its first call, proved against the message path, found again by guards."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn.conv import MessagePassing

from graphgdl.ops.cpu import machine_code

from .backend import BACKENDS, backend
from .derive import Differentiable
from .guards import HOOKS, Guard
from .ir import Program
from .prove import fingerprint, prove
from .tape import Refused, unhooked
from .trace import FLOATS, HALVES, Recording, flatten, is_twice, record, rows_of, twin
from .translate import translate

INLINE = 256  # entries of a matrix up to which a product per edge is made inside a row loop
SMALL_EDGES = 1 << 16  # up to which memory is no concern: products per edge are kept for the derivative
MOST_VARIANTS = 64  # of one layer's options and kinds of inputs, before it is left to the message path
Key = tuple[Any, ...]
Sizes = tuple[int, int, int]  # numbers of sources, destinations and edges
Source = Callable[[dict[str, Any]], Tensor]
Candidate = Callable[[Tensor, int, int, dict[str, Any]], Sequence[Tensor]]


@dataclass(slots=True)
class Variant:
    """One recording of a layer, or the reason why there is none, valid while the guard holds.

    Attributes:
        guard: None where the reason is not to be remembered.
        reason: why the message path must run, or None.
        recording: what was recorded.
        compiled: what runs it.
        sources: where each input of the program comes from.
        half: the 16-bit dtype of inputs and results, which are computed in float32, or None.
    """

    guard: Guard | None = None
    reason: str | None = None
    recording: Recording | None = None
    compiled: Differentiable | None = None
    sources: Sequence[Source] = ()
    half: torch.dtype | None = None


@dataclass(slots=True)
class _Last:
    """The last call of a step: the edges and kinds of inputs, and what ran on which graph, which lives as long as they."""

    edges: weakref.ref[Tensor]
    version: int
    kinds: Key
    variant: Variant
    graph: weakref.ref[Any]


@dataclass(slots=True)
class _Known:
    """All variants of one layer."""

    by_key: dict[Key, list[Variant]] = field(default_factory=dict)
    last: dict[str, _Last] = field(default_factory=dict)


_layers: weakref.WeakKeyDictionary[MessagePassing, _Known] = weakref.WeakKeyDictionary()
_programs: dict[str, Differentiable | str] = {}
_marks: set[str] = set()  # programs that a class of `_LIBRARIES` proved
_LIBRARIES = {"torch", "torch_geometric", "graphgdl"}
_PAIR = (tuple, list)
_FIXED = (int, float, complex, str, bytes, np.generic, Enum, torch.dtype, torch.device)
_lock = threading.RLock()  # one message is recorded at a time


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
    sizes = num_src, num_dst, edge_index.shape[1]
    if 0 in sizes:
        return Variant(reason="the graph has no edges")
    known = _layers.get(layer)
    if known is None:
        known = _layers.setdefault(layer, _Known())
    kinds = _kinds(inputs, sizes)
    if kinds is None:
        return Variant(reason="an argument of propagate is neither a tensor nor a plain value")
    key = (step, edge_index.device, num_src == num_dst, 1 in sizes, sizes[2] <= SMALL_EDGES, kinds)
    found = _held(known.by_key.get(key, ()), layer)
    if found is not None:
        return found
    with _lock:
        found = _held(known.by_key.get(key, ()), layer)  # made meanwhile by another thread
        if found is not None:
            return found
        if sum(map(len, known.by_key.values())) >= MOST_VARIANTS:
            return Variant(reason=f"its options or kinds of inputs changed more than {MOST_VARIANTS} times")
        with unhooked():
            variant = _made(layer, step, edge_index.device, sizes, inputs)
        if variant.guard is not None:
            known.by_key[key] = [variant, *known.by_key.get(key, ())]
        return variant


def _held(variants: Iterable[Variant], layer: MessagePassing) -> Variant | None:
    """Return the variant whose guard holds."""
    for variant in variants:
        if variant.guard.holds(layer):  # type: ignore[union-attr]
            return variant
    return None


def again(layer: MessagePassing, step: str, edge_index: Tensor, inputs: dict[str, Any]) -> Callable[[], Any] | None:
    """Return what runs a call like the last that was kept: the same edges, the layer as it was, inputs of the same kinds.

    All else that `compiled` looks at follows from these.
    """
    known = _layers.get(layer)
    last = known.last.get(step) if known is not None else None
    if last is None or last.edges() is not edge_index or last.version != edge_index._version:
        return None
    graph = last.graph()
    if graph is None or last.kinds != _kinds(inputs) or not last.variant.guard.holds(layer):  # type: ignore[union-attr]
        return None
    return partial(_run, last.variant, layer, graph, inputs)


def run(
    variant: Variant,
    layer: MessagePassing,
    step: str,
    edge_index: Tensor,
    num_src: int,
    num_dst: int,
    inputs: dict[str, Any],
    keep: bool = False,
) -> Any:
    """Return what the step returns, and set the attributes that the message sets; `keep` the call for `again`."""
    graph = BACKENDS[edge_index.device.type]().topology(edge_index, num_src, num_dst)
    kinds = _kinds(inputs) if keep and not edge_index.is_inference() else None
    if kinds is not None:
        _layers[layer].last[step] = _Last(
            weakref.ref(edge_index), edge_index._version, kinds, variant, weakref.ref(graph)
        )
    return _run(variant, layer, graph, inputs)


def _run(variant: Variant, layer: MessagePassing, graph: Any, inputs: dict[str, Any]) -> Any:
    recording, function = variant.recording, variant.compiled
    assert recording is not None
    assert function is not None
    found = _evaluated(function, graph, [source(inputs) for source in variant.sources], variant.half)
    for (module, name), value in zip(recording.effects, found[recording.returned :]):
        (layer.get_submodule(module) if module else layer).__dict__[name] = value
    return found[0] if recording.single else tuple(found[: recording.returned])


def _evaluated(function: Differentiable, graph: Any, values: list[Tensor], half: torch.dtype | None) -> list[Tensor]:
    if half is None:
        return function(graph, values)
    return [f.to(half) if f.is_floating_point() else f for f in function(graph, values)]


def _kinds(inputs: dict[str, Any], sizes: Sizes | None = None) -> Key | None:
    """Return what a recording depends on besides the layer and the edges: kinds of tensors, and plain values.

    Tensors are told by their shapes, or with `sizes` by what their rows count. None where an argument is neither.
    """
    parts: list[Any] = [torch.is_grad_enabled(), torch.get_default_dtype()]
    for name, value in inputs.items():
        several = isinstance(value, _PAIR)
        twice = several and is_twice(value)
        parts += name, type(value), twice, len(value) if several else 1
        for side in value[:1] if twice else value if several else (value,):
            if isinstance(side, Tensor):
                shape = side.shape if sizes is None else _counted(side.shape, sizes)
                parts += type(side), shape, side.dtype, side.device, side.requires_grad
            elif side is None or isinstance(side, _FIXED):  # never changes; others are the same when they have changed
                parts += side, type(side)
            else:
                return None
    return tuple(parts)


def _counted(shape: Sequence[int], sizes: Sizes) -> Key:
    """Return a shape with what its first dimension counts in the place of the number."""
    rows, *features = shape or (None,)
    where = sizes.index(rows) if rows in sizes else (rows,)
    return where, rows == sizes[2], *features


def _made(
    layer: MessagePassing,
    step: str,
    device: torch.device,
    sizes: Sizes,
    inputs: dict[str, Any],
) -> Variant:
    try:
        guard = Guard(layer)
    except Refused as refused:
        return Variant(reason=str(refused))
    try:
        chosen = backend(device)
        square, small = sizes[0] == sizes[1], sizes[2] <= SMALL_EDGES
        rows = rows_of(layer, step, inputs, *sizes)
        for name, tensor in flatten(inputs).items():
            _check(_shown(name), tensor, device)
            if 0 in tensor.shape[1:]:
                raise Refused(f"`{_shown(name)}` has no features")
        _check_modules(layer, device)
        recording = record(layer, step, inputs, rows, square)
        if not guard.holds(layer):
            raise Refused("the message changes what it reads")
        guard = Guard(layer, recording.effects, recording.read)
        sources = [_source(layer, kind, name, device) for kind, name in recording.inputs]
        values = [None if kind == "seed" else find(inputs) for (kind, _), find in zip(recording.inputs, sources)]
        half = _half(recording, values, device)
        wanted = [k for k, v in enumerate(values) if v is not None and v.requires_grad and torch.is_grad_enabled()]
        key = hashlib.sha256(
            f"{fingerprint()} {chosen.name(device)} {half} {square} {small} {wanted}\n{recording.tape.text()}".encode()
        ).hexdigest()
        found = _programs.get(key)
        if found is None:
            found = _programs[key] = _built(recording, wanted, small, chosen.executable)
        if isinstance(found, str):
            raise Refused(found)
        _prove_once(found, recording, layer, step, device, inputs, rows, square, half, key)
        return Variant(guard, None, recording, found, sources, half)
    except Refused as refused:
        return Variant(guard, str(refused))
    except Exception as error:  # whatever fails here, the message path still runs
        text = str(error).splitlines() or [""]
        return Variant(guard, f"{type(error).__name__} while it was compiled and proved: {text[0][:200]}")


def _half(recording: Recording, values: Sequence[Tensor | None], device: torch.device) -> torch.dtype | None:
    """Return the 16-bit dtype that the message is called in, or None; refuse what is no number or of several kinds."""
    kinds = set()
    for (kind, name), tensor in zip(recording.inputs, values):
        if tensor is None:
            continue
        shown = _shown(name) if kind == "input" else name
        _check(shown, tensor, device)
        if tensor.dtype not in (*FLOATS, *HALVES, torch.bool):
            raise Refused(f"`{shown}` is {tensor.dtype}, not floating point")
        kinds.add(tensor.dtype)
    kinds.discard(torch.bool)
    halves = [d for d in HALVES if d in kinds]
    if halves and len(kinds) > 1:
        raise Refused(f"it reads {' and '.join(sorted(map(str, kinds)))} together")
    return halves[0] if halves else None


def _built(recording: Recording, wanted: list[int], small: bool, executable: Any) -> Differentiable | str:
    """Return the program of a recording, or why there is none."""
    program = Program(inline=INLINE, keep=small)
    names = ["", *(f"{kind} {name}" for kind, name in recording.inputs)]
    try:
        with torch.inference_mode(False):
            nodes, outputs = translate(recording.tape, program, names)
            made = [o for o in outputs if o is not None]
            return Differentiable(program, recording.tape, nodes, made, wanted, executable=executable)
    except Refused as refused:
        return str(refused)


def _prove_once(
    made: Differentiable,
    recording: Recording,
    layer: MessagePassing,
    step: str,
    device: torch.device,
    inputs: dict[str, Any],
    rows: dict[str, int | None],
    square: bool,
    half: torch.dtype | None,
    key: str,
) -> None:
    """Prove a program against the layer: in float32 where it is computed so, and in its own dtypes.

    A layer whose code is all torch's, PyG's and ours proves it once for its class, and leaves a mark in the cache folder.
    A user's code may do other things at other sizes under the same record, so each layer proves it.
    """
    cls = getattr(type(layer), "original", type(layer))
    mark = hashlib.sha256(f"{key} {cls.__module__} {cls.__qualname__}".encode()).hexdigest() + ".proved"
    known = all(type(m).__module__.partition(".")[0] in _LIBRARIES for m in list(layer.modules())[1:])
    known = known and cls.__module__.partition(".")[0] in _LIBRARIES
    if known and (mark in _marks or machine_code.load(mark) is not None):
        _marks.add(mark)
        return

    def candidate(model: MessagePassing, dtype: torch.dtype | None, seed: Tensor) -> Candidate:
        sources = [_source(model, kind, name, device, seed) for kind, name in recording.inputs]

        def call(edge_index: Tensor, num_src: int, num_dst: int, given: dict[str, Any]) -> Sequence[Tensor]:
            values = [source(given) for source in sources]
            graph = BACKENDS[edge_index.device.type]().topology(edge_index, num_src, num_dst)
            return _evaluated(made, graph, values, dtype)[: recording.returned]

        return call

    with torch.inference_mode(False):
        if made.wanted:
            made.backward.check_derivative()
        for widened in (half, None) if half else (None,):
            model = twin(layer, widened)
            computed = None if widened else half
            found = partial(candidate, model, computed)
            prove(found, model, step, device, inputs, rows, square, bool(made.wanted), widened)
    if known:
        _marks.add(mark)
        machine_code.save(mark, b"")


def _source(layer: nn.Module, kind: str, name: str, device: torch.device, seed: Tensor | None = None) -> Source:
    """Return a function that finds an input of the program among the arguments, the layer, or draws the seed."""
    if kind == "input":
        base, _, side = name.partition(".")
        return (lambda inputs: inputs[base][int(side)]) if side else itemgetter(name)
    if kind == "seed":
        return lambda _: torch.randint(-(2**63), 2**63 - 1, (), device=device) if seed is None else seed
    path, _, last = name.rpartition(".")
    module = layer.get_submodule(path)
    stores = (module._parameters, module._buffers, module.__dict__)
    store = next(s for s in stores if last in s)
    return lambda _: store[last]  # type: ignore[return-value]


def _shown(name: str) -> str:
    """Return the name of a tensor as the caller knows it: `x[0]` for the first of a pair."""
    base, _, side = name.partition(".")
    return f"{base}[{side}]" if side else base


def _check(name: str, tensor: Tensor, device: torch.device) -> None:
    """Refuse a tensor that is not plain, in memory, and strided."""
    if type(tensor) not in (Tensor, nn.Parameter):
        raise Refused(f"`{name}` is a {type(tensor).__name__}")
    if tensor.device != device:
        raise Refused(f"`{name}` is on {tensor.device}, `edge_index` on {device}")
    if tensor.layout is not torch.strided:
        raise Refused(f"`{name}` has the layout {tensor.layout}")


def _check_modules(layer: nn.Module, device: torch.device) -> None:
    for name, module in layer.named_modules():
        if name and any(module.__dict__[hooks] for hooks in HOOKS):
            raise Refused(f"a hook is registered on `{name}`")
        if isinstance(module, nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[misc]
            raise Refused(f"`{name}` has uninitialised parameters")
    for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]:
        _check(name, tensor, device)

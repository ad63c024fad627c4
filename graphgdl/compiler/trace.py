"""Record what a layer does between `propagate`'s arguments and its result."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn.conv import MessagePassing

from .reads import Count, Reads
from .recorder import Recorder
from .tape import DESTINATIONS, EDGES, NODES, SOURCES, Refused, Tape

FLOATS = (torch.float32, torch.float64)
HALVES = (torch.float16, torch.bfloat16)


@dataclass
class Recording:
    """A recorded message.

    Attributes:
        tape: its inputs are the edge index and `inputs`.
        inputs: kind and name of each: ('input', argument of propagate), ('state', parameter, buffer
            or other tensor of a module), ('seed', '').
        single: whether the result is one tensor; otherwise a tuple of `returned` tensors.
        effects: attributes that the message sets to tensors: (name of module, name of attribute), after the results.
        read: the modules that the message gets at, by name, and which parameters and buffers of each it takes.
    """

    tape: Tape
    inputs: list[tuple[str, str]]
    single: bool
    returned: int
    effects: list[tuple[str, str]]
    read: dict[str, set[str]]


class _Noted(Mapping[str, Any]):
    """The children, parameters or buffers of a module; `read` are the names of those that were taken out."""

    def __init__(self, entries: dict[str, Any]) -> None:
        self._entries = entries
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        value = self._entries[name]
        self.read.add(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


_CONTAINERS = (list, dict, set)
_TENSORS = ("_parameters", "_buffers")


def state_of(layer: nn.Module) -> dict[str, Tensor]:
    """Return parameters, buffers, and tensors that are plain attributes of modules; one in several places once."""
    found = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    seen = set(map(id, found.values()))
    for path, module in layer.named_modules():
        for name, value in module.__dict__.items():
            if type(value) is Tensor and id(value) not in seen:
                seen.add(id(value))
                found[f"{path}.{name}" if path else name] = value
    return found


def twin(layer: MessagePassing, widened: torch.dtype | None = None) -> MessagePassing:
    """Return a copy of a layer with tensors of its own, those of dtype `widened` as float32."""
    copies: dict[int, Tensor] = {}
    for tensor in state_of(layer).values():
        copy = tensor.detach().clone()
        copy = copy.float() if copy.dtype == widened else copy
        copies[id(tensor)] = _like(tensor, copy).requires_grad_(tensor.requires_grad)
    return _shadow(layer, copies, {})


def _like(tensor: Tensor, copy: Tensor) -> Tensor:
    """Return `copy` as a parameter where `tensor` is one."""
    return nn.Parameter(copy, requires_grad=False) if isinstance(tensor, nn.Parameter) else copy


def _shadow(module: nn.Module, stand_ins: dict[int, Tensor], made: dict[nn.Module, nn.Module]) -> nn.Module:
    """Return a copy of a module and its children that share all attributes but the tensors, which are stand-ins.

    The message runs on the copy: what it sets is seen there, and the layer may be used by other threads meanwhile.
    """
    if module in made:
        return made[module]
    copy = made[module] = object.__new__(type(module))
    copy.__dict__.update({n: v.copy() if type(v) in _CONTAINERS else v for n, v in module.__dict__.items()})
    copy.__dict__.update({n: stand_ins[id(v)] for n, v in module.__dict__.items() if type(v) is Tensor})
    for store in _TENSORS:
        tensors = module.__dict__[store]
        copy.__dict__[store] = {n: None if t is None else stand_ins[id(t)] for n, t in tensors.items()}
    children = {n: None if m is None else _shadow(m, stand_ins, made) for n, m in module._modules.items()}
    copy.__dict__["_modules"] = children
    return copy


def flatten(inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors among the arguments of `propagate`: pairs as `name.0` and `name.1`, or `name.0` for both."""
    flat: dict[str, Tensor] = {}
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            flat[name] = value
        elif isinstance(value, tuple | list):
            sides = value[:1] if is_twice(value) else value
            flat |= {f"{name}.{k}": v for k, v in enumerate(sides) if isinstance(v, Tensor)}
    return flat


def is_twice(value: Any) -> bool:
    """Whether a pair is one tensor at both ends."""
    return isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], Tensor) and value[0] is value[1]


def unflatten(inputs: dict[str, Any], flat: dict[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of `propagate` with other tensors."""
    return {
        name: (flat[f"{name}.0"],) * 2
        if is_twice(value)
        else (list if isinstance(value, list) else tuple)(flat.get(f"{name}.{k}", v) for k, v in enumerate(value))
        if isinstance(value, tuple | list)
        else flat.get(name, value)
        for name, value in inputs.items()
    }


def rows_of(
    layer: MessagePassing, step: str, inputs: dict[str, Any], num_src: int, num_dst: int, num_edges: int
) -> dict[str, int | None]:
    """Return, for each tensor, what its first dimension counts: a size of `tape`, or None for a constant."""
    square = num_src == num_dst
    sides = (NODES, NODES) if square else (SOURCES, DESTINATIONS)
    args = layer._user_args if step == "propagate" else layer._edge_user_args
    ends = {"_i": 1, "_j": 0} if layer.flow == "source_to_target" else {"_i": 0, "_j": 1}
    lifted: dict[str, set[int]] = {}
    for a in args:
        if a[-2:] in ends:
            lifted.setdefault(a[:-2], set()).add(ends[a[-2:]])
    counted = {num_src: sides[0], num_dst: sides[1], 1: None, num_edges: EDGES}  # the later ones first
    found: dict[str, int | None] = {}
    for name, tensor in flatten(inputs).items():
        base, _, side = name.partition(".")
        rows = tensor.shape[0] if tensor.dim() else None
        if side:
            expected = (num_src, num_dst)[int(side)]
            found[name] = sides[int(side)]
            if rows != expected or (is_twice(inputs[base]) and not square):
                raise Refused(f"`{base}[{side}]` has {rows} rows, not one per node")
        elif base in lifted:
            if any(rows != (num_src, num_dst)[end] for end in lifted[base]):
                raise Refused(f"`{base}` has {rows} rows, not one per node")
            found[name] = sides[min(lifted[base])]
        else:
            found[name] = counted.get(rows)  # type: ignore[arg-type]
    return found


def record(
    layer: MessagePassing,
    step: str,
    inputs: dict[str, Any],
    rows: dict[str, int | None],
    square: bool,
) -> Recording:
    """Run `layer.propagate` or `layer.edge_updater` on tensors without values, and record it; 16-bit floats as float32.

    Args:
        layer: the layer; it is not touched.
        step: 'propagate' or 'edge_updater'.
        inputs: what the step is called with.
        rows: see `rows_of`.
        square: whether sources and destinations are the same nodes.

    Raises:
        Refused: the message does something that cannot be recorded.
    """
    recorder = Recorder()
    flat = flatten(inputs)

    def meta(tensor: Tensor, count: int | None) -> Tensor:
        shape = tuple(tensor.shape) if count is None else (count, *tensor.shape[1:])
        return torch.empty(shape, dtype=torch.float32 if tensor.dtype in HALVES else tensor.dtype, device="meta")

    edge_index = torch.empty((2, EDGES), dtype=torch.int64, device="meta")
    stand_ins = {name: meta(tensor, rows[name]) for name, tensor in flat.items()}
    state = state_of(layer)
    state_meta = {name: _like(tensor, meta(tensor, None)) for name, tensor in state.items()}
    seed = torch.empty((), dtype=torch.int64, device="meta")
    recorder.inputs(edge_index, *stand_ins.values(), *state_meta.values(), seed)
    recorder.seed = seed

    arguments = unflatten(inputs, stand_ins)
    method = general(step)
    if step == "propagate":
        arguments["size"] = tuple(map(Count, (NODES, NODES) if square else (SOURCES, DESTINATIONS)))
    pairs = [*((flat[n], t) for n, t in stand_ins.items()), *((state[n], t) for n, t in state_meta.items())]
    needed = {recorder.value(stand_in) for tensor, stand_in in pairs if tensor.requires_grad}
    reads = Reads(recorder, needed, torch.is_grad_enabled())
    shadows: dict[nn.Module, nn.Module] = {}
    shadow = _shadow(layer, {id(state[name]): tensor for name, tensor in state_meta.items()}, shadows)
    for copy in shadows.values():
        copy.__dict__.update({store: _Noted(copy.__dict__[store]) for store in (*_TENSORS, "_modules")})
    before = {copy: _attributes(copy) for copy in shadows.values()}
    chance = _chance()
    try:
        with recorder, reads, torch.enable_grad():
            result = method(shadow, edge_index, **arguments)
    except Refused:
        raise
    except Exception as error:
        text = str(error).splitlines() or [""]
        raise Refused(f"{type(error).__name__} when run without values: {text[0][:200]}") from error
    if _chance() != chance:
        raise Refused("it draws random numbers outside torch")
    taken = _read(shadow)
    read = {path: taken[shadows[m]] for path, m in layer.named_modules() if shadows[m] in taken}
    effects = _effects(shadow, before)
    single = isinstance(result, Tensor)
    results = [result] if single else list(result)
    if not all(isinstance(r, Tensor) for r in results):
        raise Refused("its result is neither a tensor nor a tuple of tensors")
    tape = recorder.tape([*results, *(tensor for _, _, tensor in effects)])
    names = [("", ""), *(("input", n) for n in stand_ins), *(("state", n) for n in state), ("seed", "")]
    return Recording(
        tape,
        [names[k] for k in tape.kept[1:]],
        single,
        len(results),
        [(module, name) for module, name, _ in effects],
        read,
    )


def _read(module: nn.Module) -> dict[nn.Module, set[str]]:
    """Return which tensors were taken out of a module, and out of those that were taken out of it."""
    stores = module.__dict__
    found = {module: set[str]().union(*(stores[store].read for store in _TENSORS))}
    for name in list(stores["_modules"].read):
        if stores["_modules"][name] is not None:
            found |= _read(stores["_modules"][name])
    return found


def general(step: str) -> Callable[..., Any]:
    """Return `MessagePassing`'s own step: PyG puts a generated one in its place once a bare `MessagePassing()` is made."""
    return vars(MessagePassing).get(f"_orig_{step}") or getattr(MessagePassing, step)


def _chance() -> tuple[Any, ...]:
    """Return where the generators of Python and NumPy stand."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 (the state that a message may draw from)
    return random.getstate(), name, np.asarray(keys).tobytes(), tuple(rest)


def _attributes(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Return the attributes of a module, each with a copy of what it contains."""
    return {n: (v, v.copy() if type(v) in _CONTAINERS else None) for n, v in module.__dict__.items()}


def _effects(shadow: nn.Module, before: dict[nn.Module, dict[str, tuple[Any, Any]]]) -> list[tuple[str, str, Tensor]]:
    """Return the attributes that the message set to tensors; refuse any other change."""
    found = []
    for path, module in shadow.named_modules():
        old, new = before.get(module), module.__dict__
        if old is None:
            raise Refused("the message adds a module")
        for name in {**old, **new}:
            was, contents = old.get(name, (None, None))
            same = name in new and name in old and new[name] is was
            if same and (contents is None or _contains_the_same(was, contents)):
                continue
            if same or not isinstance(new.get(name), Tensor):
                raise Refused(f"the message changes the attribute `{name}`")
            found.append((path, name, new[name]))
    return sorted(found, key=lambda f: f[:2])


def _contains_the_same(container: Any, contents: Any) -> bool:
    if len(container) != len(contents):
        return False
    if isinstance(container, dict):
        return all(k in contents and v is contents[k] for k, v in container.items())
    return all(map(is_, container, contents)) if isinstance(container, list) else container == contents

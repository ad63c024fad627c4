"""Record what a layer does between `propagate`'s arguments and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.conv import MessagePassing

from .tape import DESTINATIONS, EDGES, NODES, SOURCES, Recorder, Refused, Tape

FLOATS = (torch.float32, torch.float64)


@dataclass
class Recording:
    """A recorded message.

    Attributes:
        tape: its inputs are the edge index, the tensors in `inputs`, the parameters and buffers in `state`, a seed.
        single: whether the result is one tensor; otherwise a tuple of `returned` tensors.
        effects: attributes that the message sets to tensors: (name of module, name of attribute), in order after the results.
    """

    tape: Tape
    inputs: list[str]
    state: list[str]
    single: bool
    returned: int
    effects: list[tuple[str, str]]
    random: bool


class _Bound(nn.Module):
    """Lets `functional_call` put other tensors into the layer while one of its methods runs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, step: Any, *args: Any, **kwargs: Any) -> Any:
        return step(self.layer, *args, **kwargs)


def flatten(inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors among the arguments of `propagate`, pairs as `name.0` and `name.1`."""
    flat: dict[str, Tensor] = {}
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            flat[name] = value
        elif isinstance(value, tuple | list):
            flat |= {f"{name}.{k}": v for k, v in enumerate(value) if isinstance(v, Tensor)}
    return flat


def rows_of(
    layer: MessagePassing, step: str, inputs: dict[str, Any], num_src: int, num_dst: int, num_edges: int
) -> dict[str, int | None]:
    """Return, for each tensor, what its first dimension counts: a size of `tape`, or None for a constant."""
    square = num_src == num_dst
    sides = (NODES, NODES) if square else (SOURCES, DESTINATIONS)
    args = layer._user_args if step == "propagate" else layer._edge_user_args
    lifted = {a[:-2]: set() for a in args if a[-2:] in ("_i", "_j")}  # type: ignore[var-annotated]
    i, j = (1, 0) if layer.flow == "source_to_target" else (0, 1)
    for a in args:
        if a[-2:] in ("_i", "_j"):
            lifted[a[:-2]].add(i if a[-2:] == "_i" else j)
    found: dict[str, int | None] = {}
    for name, tensor in flatten(inputs).items():
        base, _, side = name.partition(".")
        rows = tensor.shape[0] if tensor.dim() else None
        if side:
            expected = (num_src, num_dst)[int(side)]
            found[name] = sides[int(side)] if rows == expected else None
            if found[name] is None:
                raise Refused(f"`{base}[{side}]` has {rows} rows, not one per node")
        elif base in lifted:
            ends = lifted[base]
            if rows not in (num_src, num_dst) or any(rows != (num_src, num_dst)[e] for e in ends):
                raise Refused(f"`{base}` has {rows} rows, not one per node")
            found[name] = sides[min(ends)]
        elif rows == num_edges:
            found[name] = EDGES
        elif rows == num_dst and rows != 1:
            found[name] = sides[1]
        elif rows == num_src and rows != 1:
            found[name] = sides[0]
        else:
            found[name] = None
    return found


def record(
    layer: MessagePassing,
    step: str,
    inputs: dict[str, Any],
    rows: dict[str, int | None],
    square: bool,
    wanted: set[str],
) -> Recording:
    """Run `layer.propagate` or `layer.edge_updater` on tensors without values, and record it.

    Args:
        layer: the layer; left as it was.
        step: 'propagate' or 'edge_updater'.
        inputs: what the step is called with.
        rows: see `rows_of`.
        square: whether sources and destinations are the same nodes.
        wanted: names of the inputs and parameters that need a gradient: messages may look at `requires_grad`.

    Raises:
        Refused: the message does something that cannot be recorded.
    """
    recorder = Recorder()
    flat = flatten(inputs)
    for name, tensor in flat.items():
        if type(tensor) not in (Tensor, nn.Parameter):
            raise Refused(f"`{name}` is a {type(tensor).__name__}")

    def meta(tensor: Tensor, count: int | None) -> Tensor:
        shape = tuple(tensor.shape) if count is None else (count, *tensor.shape[1:])
        return torch.empty(shape, dtype=tensor.dtype, device="meta")

    edge_index = torch.empty((2, EDGES), dtype=torch.int64, device="meta")
    stand_ins = {name: meta(tensor, rows[name]) for name, tensor in flat.items()}
    state = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    state_meta = {name: meta(tensor, None) for name, tensor in state.items()}
    seed = torch.empty((), dtype=torch.int64, device="meta")
    recorder.inputs(edge_index, *stand_ins.values(), *state_meta.values(), seed)
    recorder.seed = seed

    def replaced(name: str, value: Any) -> Any:
        if isinstance(value, Tensor):
            return stand_ins[name]
        if isinstance(value, tuple | list):
            return tuple(stand_ins.get(f"{name}.{k}", v) for k, v in enumerate(value))
        return value

    arguments: dict[str, Any] = {name: replaced(name, value) for name, value in inputs.items()}
    method = getattr(MessagePassing, step)
    if step == "propagate":
        arguments["size"] = (NODES, NODES) if square else (SOURCES, DESTINATIONS)
    before = {name: dict(module.__dict__) for name, module in layer.named_modules()}
    bound = _Bound(layer)
    try:
        with recorder, torch.enable_grad():
            result = torch.func.functional_call(
                bound,
                {f"layer.{name}": tensor for name, tensor in state_meta.items()},
                (method, edge_index),
                arguments,
            )
        effects = _effects(layer, before, recorder)
    except Refused:
        raise
    except Exception as error:
        text = str(error).splitlines() or [""]
        raise Refused(f"{type(error).__name__} when run without values: {text[0][:200]}") from error
    finally:
        for name, module in layer.named_modules():
            module.__dict__.clear()
            module.__dict__.update(before[name])
    single = isinstance(result, Tensor)
    results = [result] if single else list(result)
    if not all(isinstance(r, Tensor) for r in results):
        raise Refused("its result is neither a tensor nor a tuple of tensors")
    tape = recorder.tape([*results, *(tensor for _, _, tensor in effects)])
    return Recording(
        tape,
        list(stand_ins),
        list(state),
        single,
        len(results),
        [(module, name) for module, name, _ in effects],
        recorder.streams > 0,
    )


def _effects(
    layer: nn.Module, before: dict[str, dict[str, Any]], recorder: Recorder
) -> list[tuple[str, str, Tensor]]:
    """Return the attributes that the message set to recorded tensors; refuse any other change."""
    found = []
    for module_name, module in layer.named_modules():
        old = before.get(module_name)
        if old is None:
            raise Refused("the message adds a module")
        for name in {*old, *module.__dict__}:
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            value = module.__dict__.get(name)
            if value is old.get(name) and (name in old) == (name in module.__dict__):
                continue
            if not isinstance(value, Tensor):
                raise Refused(f"the message changes the attribute `{name}`")
            found.append((module_name, name, value))
    return sorted(found, key=lambda f: f[:2])

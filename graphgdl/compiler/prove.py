"""Every new program proves itself once: value and gradient against the message path, on a small random graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.nn.conv import MessagePassing

from .interpret import uniform
from .tape import EDGES, Refused
from .trace import general

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}
HALF_TOLERANCE = 0.1  # of the norm, where the message path computes in 16 bits and the compiled form does not
_SEED = 0x5DEECE66D
_EDGES = ((5, 3, 0, 0, 2, 6, 1, 3, 3, 4, 6, 6, 2, 5, 0, 1, 4), (1, 0, 3, 3, 4, 0, 0, 2, 2, 1, 4, 3, 3, 0, 2, 2, 1))


def prove(
    candidate: Callable[[Tensor], Callable[[Tensor, int, int, dict[str, Any]], Sequence[Tensor]]],
    layer: MessagePassing,
    step: str,
    inputs: dict[str, Any],
    rows: dict[str, int | None],
    square: bool,
    gradients: bool,
    widened: torch.dtype | None = None,
) -> None:
    """Compare a compiled message with the layer's own.

    Args:
        candidate: the seed of dropout -> the compiled step, (edge_index, num_src, num_dst, inputs) -> results.
        layer: a twin of the layer, for the message path.
        step: 'propagate' or 'edge_updater'.
        inputs: an example of its inputs, for dtypes, feature shapes and plain values.
        rows: what the first dimension of each tensor counts.
        square: whether sources and destinations are the same nodes.
        gradients: whether gradients are compared.
        widened: inputs of this dtype are float32 in the proof.

    Raises:
        Refused: they differ.
    """
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.tensor(_EDGES)
    sizes = (7, 7) if square else (7, 6)
    made = _inputs(inputs, rows, edge_index.size(1), sizes, square, generator, widened)
    parameters = [p for p in layer.parameters() if p.requires_grad and p.is_floating_point()]
    leaves = [t for t in made.leaves if t.requires_grad] + parameters
    size = {"size": sizes} if step == "propagate" else {}
    with torch.set_grad_enabled(gradients):
        mine = list(candidate(torch.tensor(_SEED))(edge_index, *sizes, made.inputs))
        with _SameNumbers(_SEED):
            result = general(step)(layer, edge_index, **size, **made.inputs)
        theirs = [result] if isinstance(result, Tensor) else list(result)
        _compare("value", mine, theirs)
        if gradients and leaves:
            _compare("gradient", _gradients(mine, leaves), _gradients(theirs, leaves))


class _inputs:
    """Random inputs of the proof; a tensor that is given twice is one tensor here too."""

    def __init__(
        self,
        inputs: dict[str, Any],
        rows: dict[str, int | None],
        num_edges: int,
        sizes: tuple[int, int],
        square: bool,
        generator: torch.Generator,
        widened: torch.dtype | None,
    ) -> None:
        self.leaves: list[Tensor] = []
        made: dict[tuple[int, int], Tensor] = {}

        def random(name: str, tensor: Tensor) -> Tensor:
            count = rows[name]
            if count is None:
                shape = tuple(tensor.shape)
            elif count == EDGES:
                shape = (num_edges, *tensor.shape[1:])
            else:
                side = 1 if name.endswith(".1") or (not square and tensor.shape[0] != 0 and _is_dst(count)) else 0
                shape = (sizes[side], *tensor.shape[1:])
            key = (id(tensor), shape[0] if shape else 0)
            if key not in made:
                if tensor.dtype == torch.bool:
                    made[key] = torch.rand(shape, generator=generator) < 0.5
                elif not tensor.is_floating_point():
                    made[key] = torch.zeros(shape, dtype=tensor.dtype)
                else:
                    drawn = torch.rand(shape, generator=generator, dtype=torch.float64) * 1.5 + 0.25
                    sign = torch.where(torch.rand(shape, generator=generator) < 0.3, -1.0, 1.0)
                    positive = bool((tensor >= 0).all()) if tensor.numel() else False
                    dtype = torch.float32 if tensor.dtype == widened else tensor.dtype
                    made[key] = (drawn if positive else drawn * sign).to(dtype).requires_grad_(tensor.requires_grad)
                    self.leaves.append(made[key])
            return made[key]

        self.inputs: dict[str, Any] = {}
        for name, value in inputs.items():
            if isinstance(value, Tensor):
                self.inputs[name] = random(name, value)
            elif isinstance(value, tuple | list):
                self.inputs[name] = tuple(
                    random(f"{name}.{k}", v) if isinstance(v, Tensor) else v for k, v in enumerate(value)
                )
            else:
                self.inputs[name] = value


def _is_dst(count: int) -> bool:
    from .tape import DESTINATIONS

    return count == DESTINATIONS


class _SameNumbers(TorchDispatchMode):
    """Lets dropout draw from the counter-based generator, with the seed and streams that the compiled message has."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.stream = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is not torch.ops.aten.bernoulli_.float:
            return func(*args, **(kwargs or {}))
        self.stream += 1
        like, probability = (*args, 0.5)[:2]
        drawn = uniform(self.seed, self.stream, like.shape[0], tuple(like.shape[1:]), like.dtype)
        return like.copy_((drawn < probability).to(like.dtype))


def _gradients(outputs: Sequence[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    reached = [o for o in outputs if o.requires_grad]
    if not reached:
        return [torch.zeros_like(leaf) for leaf in leaves]
    weights = [torch.linspace(-1, 1.5, o.numel(), dtype=o.dtype).view_as(o) if o.numel() else o for o in reached]
    found = torch.autograd.grad(reached, leaves, weights, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found)]


def _compare(what: str, mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    if len(mine) != len(theirs) or any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(mine, theirs)):
        raise Refused(f"its compiled form has another {what} shape or dtype than the message path")
    half = any(t.dtype in (torch.float16, torch.bfloat16) for t in theirs)
    largest = max(
        (float(t.detach().abs().nan_to_num(0, 0, 0).max()) for t in theirs if t.numel() and t.is_floating_point()),
        default=0.0,
    )
    for a, b in zip(mine, theirs):
        if not a.is_floating_point():
            agree = torch.equal(a, b)
        elif half:
            agree = bool((a - b).double().norm() <= HALF_TOLERANCE * (b.double().norm() + largest))
        else:
            tolerance = TOLERANCE[a.dtype]
            agree = torch.allclose(a, b, rtol=tolerance, atol=tolerance * max(largest, 1e-6), equal_nan=True)
        if not agree:
            raise Refused(f"its compiled {what} differs from that of the message path in the proof")

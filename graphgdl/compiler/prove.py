"""Every new program proves itself once: value and gradient against the message path, on a small random graph."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.nn.conv import MessagePassing

from .interpret import uniform
from .tape import DESTINATIONS, EDGES, NODES, SOURCES, Refused
from .trace import flatten, general, unflatten

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}
HALF_TOLERANCE = 0.1  # of the norm, where the message path computes in 16 bits and the compiled form does not
_SEED = 0x5DEECE66D


class _Graph(NamedTuple):
    """A graph to prove on.

    Attributes:
        nodes: number of sources; a bipartite graph has one destination less.
        edges: sources and destinations.
        tied: whether rows are equal to others, and some of zeros; gradients are not compared, as a maximum that several
            edges attain has one gradient by convention, of torch or of ours.
    """

    nodes: int
    edges: tuple[tuple[int, ...], tuple[int, ...]]
    tied: bool


_GRAPHS = (
    _Graph(
        7,
        ((5, 3, 0, 0, 2, 6, 1, 3, 3, 4, 6, 6, 2, 5, 0, 1, 4), (1, 0, 3, 3, 4, 0, 0, 2, 2, 4, 4, 3, 3, 0, 2, 2, 1)),
        tied=False,
    ),
    _Graph(6, ((4, 0, 1, 3, 2, 0, 1, 1), (0, 1, 2, 1, 2, 1, 1, 0)), tied=True),  # node 5 has no edge
)


@cache
def fingerprint() -> str:
    """Return a digest of torch's version, the compiler's sources and the ops': what was proved of others is not proved."""
    package = Path(__file__).parents[1]
    sources = sorted([*package.glob("compiler/*.py"), *package.glob("ops/**/*.py")])
    return hashlib.sha256(b"".join([torch.__version__.encode(), *(s.read_bytes() for s in sources)])).hexdigest()


def prove(
    candidate: Callable[[Tensor], Callable[[Tensor, int, int, dict[str, Any]], Sequence[Tensor]]],
    layer: MessagePassing,
    step: str,
    device: torch.device,
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
        device: where it is proved.
        inputs: an example of its inputs, for dtypes, feature shapes and plain values.
        rows: what the first dimension of each tensor counts.
        square: whether sources and destinations are the same nodes.
        gradients: whether gradients are compared.
        widened: inputs of this dtype are float32 in the proof.

    Raises:
        Refused: they differ.
    """
    given = flatten(inputs)
    positive = {name for name, tensor in given.items() if tensor.dtype != torch.bool and bool((tensor >= 0).all())}
    parameters = [p for p in layer.parameters() if p.requires_grad and p.is_floating_point()]
    run = candidate(torch.tensor(_SEED, device=device))
    graphs = list(_GRAPHS)
    for graph in graphs:
        sizes = (graph.nodes, graph.nodes if square else graph.nodes - 1)
        edge_index = torch.tensor(graph.edges, device=device)
        lengths = {EDGES: edge_index.size(1), NODES: sizes[0], SOURCES: sizes[0], DESTINATIONS: sizes[1]}
        generator = torch.Generator().manual_seed(0)
        made: dict[tuple[int, int | None], Tensor] = {}  # a tensor that is given twice is one tensor here too
        for name, tensor in given.items():
            if (id(tensor), rows[name]) not in made:
                shape = tensor.shape if rows[name] is None else (lengths[rows[name]], *tensor.shape[1:])  # type: ignore[index]
                new = _numbers(
                    tensor.dtype, tuple(shape), name in positive, graph.tied and rows[name] is not None, generator
                )
                new = new.to(device, torch.float32 if tensor.dtype == widened else None)
                made[id(tensor), rows[name]] = new.requires_grad_(tensor.requires_grad)
        arguments = unflatten(inputs, {name: made[id(tensor), rows[name]] for name, tensor in given.items()})
        with torch.set_grad_enabled(gradients):
            mine = list(run(edge_index, *sizes, arguments))
            with _SameNumbers(_SEED):
                size = {"size": sizes} if step == "propagate" else {}
                result = general(step)(layer, edge_index, **size, **arguments)
            theirs = [result] if isinstance(result, Tensor) else list(result)
            _compare("value", mine, theirs)
            leaves = [*(t for t in made.values() if t.requires_grad), *parameters]
            if gradients and leaves and not graph.tied:
                found, expected = _gradients(mine, leaves), _gradients(theirs, leaves)
                try:
                    _compare("gradient", found, expected)
                except Refused:
                    # r / (|r| + eps) has a slope of 1 / eps where both ends are one node, which cancels but for rounding
                    apart = [(s, d) for s, d in zip(*graph.edges) if s != d]
                    finite = all(torch.equal(a.isfinite(), b.isfinite()) for a, b in zip(found, expected))
                    if len(apart) == edge_index.size(1) or not finite:
                        raise
                    graphs.append(graph._replace(edges=(tuple(s for s, _ in apart), tuple(d for _, d in apart))))


def _numbers(dtype: torch.dtype, shape: tuple[int, ...], positive: bool, tied: bool, generator: Generator) -> Tensor:
    """Return random numbers away from zero; where `tied`, the first of three rows is zero, and the next are repeated."""
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64) * 1.5 + 0.25
    if not positive:
        drawn *= torch.where(torch.rand(shape, generator=generator) < 0.3, -1.0, 1.0)
    if tied:
        drawn[::3] = drawn[::3].sign() * 0.0
        drawn[4::3] = drawn[1]
    return drawn.to(dtype)


class _SameNumbers(TorchDispatchMode):
    """Lets dropout draw from the counter-based generator, with the seed and streams that the compiled message has."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.stream = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.native_dropout.default:  # what dropout is on CUDA
            x, dropped, _ = args
            kept = self._drawn(x) < 1 - dropped
            return (x * kept / (1 - dropped)).to(x.dtype), kept
        if func is not torch.ops.aten.bernoulli_.float:
            return func(*args, **(kwargs or {}))
        like, probability = (*args, 0.5)[:2]
        return like.copy_((self._drawn(like) < probability).to(like.dtype))

    def _drawn(self, like: Tensor) -> Tensor:
        self.stream += 1
        seed, dtype = torch.tensor(self.seed, device=like.device), torch.promote_types(like.dtype, torch.float32)
        return uniform(seed, self.stream, like.shape[0], tuple(like.shape[1:]), dtype)


def _gradients(outputs: Sequence[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    reached = [o for o in outputs if o.requires_grad]
    if not reached:
        return [torch.zeros_like(leaf) for leaf in leaves]
    weights = [
        torch.linspace(-1, 1.5, o.numel(), dtype=o.dtype, device=o.device).view_as(o) if o.numel() else o
        for o in reached
    ]
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

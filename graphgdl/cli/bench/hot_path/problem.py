"""What is timed: several sides of one calculation, and the steps forward, forward + backward, force step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from graphgdl.cli.bench.hot_path.graphs import BenchGraph

OURS = "graphgdl"
FORWARD, TRAINING, FORCES = "forward", "forward+backward", "force step"


@dataclass(frozen=True)
class Side:
    """One way to calculate: `run(edge_index or None)` returns the outputs; with edges of its own it reads those.

    `parameters` stand in the same order on every side. `lowering()`, where there is one, says what ran.
    """

    run: Callable[..., tuple[Tensor, ...]]
    parameters: tuple[Tensor, ...] = ()
    lowering: Callable[[], str] | None = None


class Result(NamedTuple):
    """What a step computed: outputs, or loss and forces; then the gradients."""

    values: list[Tensor]
    gradients: list[Tensor]


@dataclass
class Problem:
    """One layer or op on one graph, with every side that computes it.

    Args:
        name: name of the case.
        kind: 'layer' or 'op'.
        graph: the graph.
        channels: c, which may differ from the one asked for (see `layers`).
        sides: name -> side, or the reason why there is none; `OURS` is one of them.
        plain: name of the peer that defines the result.
        inputs: every tensor read, without edges and parameters.
        learned: those of `inputs` that receive a gradient in forward + backward.
        row_floats: floats that one message reads of its source node.
        works: the steps to time.
        pos: positions, an entry of `inputs`, for the force step.
        kinks: whether there is a maximum or a ReLU, so that rounding may send a gradient elsewhere.
    """

    name: str
    kind: str
    graph: BenchGraph
    channels: int
    sides: dict[str, Side | str]
    plain: str
    inputs: tuple[Tensor, ...]
    learned: tuple[Tensor, ...]
    row_floats: int
    works: tuple[str, ...] = (TRAINING, FORWARD)
    pos: Tensor | None = None
    kinks: bool = False
    _seeds: dict[str, Any] = field(default_factory=dict)

    def step(self, work: str, side: Side, edge_index: Tensor | None = None) -> Result:
        """Run one step and return everything it computed.

        The energy of the force step is a random linear form of the first output plus half the squared norm of the
        others, so that every branch of the layer counts; the loss is the mean squared distance of the forces to random
        targets, and its gradient is taken for the parameters.
        """
        import torch

        if work == FORWARD:
            with torch.no_grad():
                return Result(list(side.run(edge_index)), [])
        if work == TRAINING:
            outs = side.run(edge_index)
            leaves = [*self.learned, *side.parameters]
            grads = torch.autograd.grad(outs, leaves, self._random_like("out", outs), allow_unused=True)
            return Result([out.detach() for out in outs], _filled(grads, leaves))
        assert self.pos is not None
        outs = side.run(edge_index)
        first = self._random_like("energy", outs[:1])[0]
        energy = (outs[0] * first).sum()
        for out in outs[1:]:
            energy = energy + 0.5 * out.square().sum()
        (slope,) = torch.autograd.grad(energy, self.pos, create_graph=True)
        loss = (-slope - self._random_like("forces", (slope,))[0]).square().mean()
        grads = torch.autograd.grad(loss, side.parameters, allow_unused=True)
        return Result([loss.detach(), slope.detach()], _filled(grads, side.parameters))

    def prepare(self, work: str) -> None:
        """Let exactly those inputs ask for gradients that `work` differentiates by."""
        wanted = {FORWARD: (), TRAINING: self.learned, FORCES: (self.pos,)}[work]
        for tensor in self.inputs:
            tensor.requires_grad_(any(tensor is one for one in wanted))

    def _random_like(self, purpose: str, tensors: tuple[Tensor, ...]) -> list[Tensor]:
        import torch

        if purpose not in self._seeds:
            generator = torch.Generator().manual_seed(len(purpose))
            self._seeds[purpose] = [
                torch.randn(t.shape, generator=generator, dtype=t.dtype).to(t.device) for t in tensors
            ]
        return self._seeds[purpose]


def floor_bytes(problem: Problem, work: str, result: Result) -> int | None:
    """The compulsory traffic of a step: each operand read once, each result written once, one neighbour row per edge.

    Forward: inputs, parameters and edge_index read, outputs written, and for each edge the row of the source node that
    the message reads. Backward: the outputs' gradient, inputs, parameters and edge_index read once more, gradients
    written, and again one row for each edge, on the transposed graph. None for the force step, whose floor depends on
    what is stored. Operands that fit in the cache are read faster than by the copy this is compared with.
    """
    if work == FORCES:
        return None
    side = problem.sides[problem.plain]
    assert isinstance(side, Side)
    rows = problem.graph.num_edges * problem.row_floats * problem.inputs[0].element_size()
    read = _bytes([*problem.inputs, *side.parameters, problem.graph.edge_index])
    forward = read + rows + _bytes(result.values)
    return forward if work == FORWARD else 2 * forward + _bytes(result.gradients)


def brief(error: BaseException) -> str:
    """Return the kind of an error and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160] if lines else ''}"


def _bytes(tensors: list[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _filled(grads: tuple[Tensor | None, ...], leaves: Any) -> list[Tensor]:
    import torch

    return [torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(grads, leaves, strict=True)]

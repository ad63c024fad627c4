"""One calculation by several sides, each with its tensors laid out as it likes them best: checked, then timed in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphgdl.cli.bench.hot_path.check import deviation
from graphgdl.cli.bench.hot_path.clock import Times, alternate
from graphgdl.cli.bench.hot_path.problem import FORWARD, TRAINING, Result

if TYPE_CHECKING:
    from torch import Tensor, nn

BUDGET = 60.0


@dataclass(frozen=True)
class Side:
    """One way to calculate.

    Args:
        module: whose parameters get gradients.
        run: input -> output.
        x: the input, laid out for this side.
        rows: lays an input or output out as (n, c).
        same: brings the gradients of the parameters into the order and shapes of the last side's.
    """

    module: nn.Module
    run: Callable[[Tensor], Tensor]
    x: Tensor
    rows: Callable[[Tensor], Tensor] = lambda t: t
    same: Callable[[list[Tensor]], list[Tensor]] = lambda gradients: gradients


@dataclass(frozen=True)
class Contest:
    """A calculation.

    Args:
        name: what is calculated, and at which size.
        sides: by name, ours first; a later one that is ours too begins with the same word.
        most: how many times as long as the fastest other side ours may take; below 1 where it must be faster.
    """

    name: str
    sides: dict[str, Side]
    most: float

    def measure(self, repeats: int) -> list[dict[str, Any]]:
        """Check every side against the last, and time all in turns.

        Returns:
            One row a step: milliseconds of each side with quartiles, our share of the fastest peer, the target.

        Raises:
            ValueError: a side differs.
        """
        found = []
        for work in (FORWARD, TRAINING):
            steps = {name: _step(side, work) for name, side in self.sides.items()}
            results = {name: _result(side, work) for name, side in self.sides.items()}
            *others, reference = results
            for name in others:
                apart, tolerance = deviation(results[name], results[reference], kinks=True)
                if not apart <= tolerance:
                    raise ValueError(
                        f"{self.name}: {name} differs from {reference} by {apart:.1e}, above {tolerance:.0e}"
                    )
            times = alternate(steps, repeats, BUDGET)
            found.append(self._row(work, times))
        return found

    def _row(self, work: str, times: dict[str, Times]) -> dict[str, Any]:
        ours, *peers = times
        best = min(peers, key=lambda name: times[name].median)
        return {
            "name": self.name,
            "step": work,
            "ms": {name: t.median for name, t in times.items()},
            "quartiles": {name: [t.low, t.high] for name, t in times.items()},
            "rounds": times[ours].rounds,
            "fastest_peer": best,
            "ratio": times[ours].median / times[best].median,
            "most": self.most,
        }


def _cotangent(side: Side, out: Tensor) -> Tensor:
    """Return a random gradient of the output, the same in rows on every side, laid out in memory as the output is."""
    import torch

    like = out.detach().requires_grad_()
    rows = side.rows(like)
    drawn = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(rows, like, drawn)
    return torch.empty_like(like).copy_(gradient)


def _step(side: Side, work: str) -> Callable[[], Any]:
    import torch

    if work == FORWARD:
        side.module.eval()

        def forward() -> Any:
            with torch.no_grad():
                return side.run(side.x)

        return forward
    gradient = _cotangent(side, side.run(side.x))
    leaves = [side.x, *side.module.parameters()]

    def training() -> Any:
        side.module.train()
        return torch.autograd.grad(side.run(side.x), leaves, gradient)

    return training


def _result(side: Side, work: str) -> Result:
    if work == FORWARD:
        return Result([side.rows(_step(side, work)())], [])
    x, *rest = _step(side, work)()
    return Result([], [side.rows(x), *side.same(rest)])

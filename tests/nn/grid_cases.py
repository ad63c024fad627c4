"""Convolutions with their options, torch's module for each, a formula by loops, and shifts of a periodic grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from graphgdl.domains import Grid

MODULES = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@dataclass(frozen=True)
class Case:
    """One set of options and the grids it is tried on."""

    name: str
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 2
    channels: tuple[int, int] = (4, 6)

    def module(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return MODULES[len(self.shape)](*self.channels, **self.options).double()

    def grid(self) -> Grid:
        ptr = math.prod(self.shape) * torch.arange(self.batch + 1)
        return Grid(self.shape, periodic=self.options.get("padding_mode") == "circular", ptr=ptr)

    def x(self, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        n = self.batch * math.prod(self.shape)
        return torch.randn(n, self.channels[0], generator=generator, dtype=torch.float64)


def k(kernel_size, **options):
    return {"kernel_size": kernel_size, **options}


CASES = [
    Case("1d", (7,), k(3)),
    Case("1d-stride-pad", (9,), k(4, stride=2, padding=3)),
    Case("1d-dilated", (11,), k(3, dilation=3, padding=2, bias=False)),
    Case("1d-same-even", (6,), k(4, padding="same")),
    Case("1d-circular", (5,), k(3, padding=1, padding_mode="circular")),
    Case("1d-reflect", (5,), k(5, padding=4, padding_mode="reflect", stride=2)),
    Case("1d-replicate", (4,), k(3, padding=3, padding_mode="replicate")),
    Case("2d", (5, 4), k(3, padding=1)),
    Case("2d-pointwise", (3, 4), k(1)),
    Case("2d-oblong", (6, 7), k((2, 3), stride=(3, 2), padding=(0, 2), dilation=(2, 1))),
    Case("2d-groups", (5, 5), k(3, groups=2, padding=1)),
    Case("2d-depthwise", (4, 6), k(3, groups=4, padding=1), channels=(4, 8)),
    Case("2d-same", (4, 5), k((2, 4), padding="same", dilation=(3, 1))),
    Case("2d-same-circular", (4, 5), k((2, 4), padding="same", padding_mode="circular")),
    Case("2d-circular", (4, 5), k(3, padding=(1, 2), padding_mode="circular", bias=False)),
    Case("2d-circular-stride", (4, 6), k(3, padding=1, stride=2, padding_mode="circular", groups=2)),
    Case("2d-reflect", (4, 5), k(3, padding=(3, 1), padding_mode="reflect")),
    Case("2d-replicate", (3, 2), k(3, padding=(2, 4), padding_mode="replicate", stride=(1, 2))),
    Case("2d-one", (6, 5), k(3, padding=1), batch=1, channels=(1, 1)),
    Case("3d", (3, 4, 5), k(2, padding=1, stride=(1, 2, 1))),
    Case("3d-groups-dilated", (5, 5, 4), k((3, 1, 2), dilation=2, groups=2)),
    Case("3d-circular", (3, 2, 4), k(3, padding=1, padding_mode="circular")),
    Case("3d-replicate", (2, 3, 2), k(3, padding=1, padding_mode="replicate")),
    Case("3d-reflect", (3, 4, 3), k(3, padding=1, padding_mode="reflect"), batch=1),
]


def by_torch(module: nn.Module, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Run torch's module on the nodes as images."""
    out = module(x.reshape(-1, *shape, x.size(1)).movedim(-1, 1))
    return out.movedim(1, -1).reshape(-1, out.size(1))


def by_loops(x, weight, bias, shape, stride, padding, dilation, ring):
    """x_i' = b + sum_u W_u x_{s i - p + d u}, node by node and tap by tap, for one group of channels."""
    kernel = tuple(weight.shape[2:])
    places = [(n + 2 * p - d * (m - 1) - 1) // s + 1 for n, p, d, m, s in zip(shape, padding, dilation, kernel, stride)]
    rows = []
    for place in product(*map(range, places)):
        row = bias.clone()
        for tap in product(*map(range, kernel)):
            at = [i * s - p + u * d for i, s, p, u, d in zip(place, stride, padding, tap, dilation)]
            if ring:
                at = [a % n for a, n in zip(at, shape)]
            if all(0 <= a < n for a, n in zip(at, shape)):
                node = 0
                for a, n in zip(at, shape):
                    node = node * n + a
                row = row + weight[(slice(None), slice(None), *tap)] @ x[node]
        rows.append(row)
    return torch.stack(rows)


def derivatives(f, x, parameters, seed=2):
    """Return the value, the first derivatives, and a Hessian-vector product in every input."""
    x = x.clone().requires_grad_()
    leaves = [x, *parameters]
    out = f(x)
    first = torch.autograd.grad(out.sin().sum(), leaves, create_graph=True)
    assert all(grad.requires_grad for grad in first)
    generator = torch.Generator().manual_seed(seed)
    along = [torch.randn(grad.shape, generator=generator, dtype=grad.dtype) for grad in first]
    second = torch.autograd.grad(sum((grad * v).sum() for grad, v in zip(first, along)), leaves)
    return [out, *first, *second]


class Shifts:
    """Shifts of a periodic grid by multiples of `step`; nodes of a grid `step` times as coarse move by one place each."""

    def __init__(self, shape: tuple[int, ...], step: int = 1) -> None:
        self.shape, self.step = shape, step

    def sample(self, generator):
        steps = [int(torch.randint(1, n // self.step, (), generator=generator)) for n in self.shape]
        return tuple(self.step * s for s in steps)

    def act(self, g, x):
        if not isinstance(x, Tensor):
            out = x.clone()
            out.x = self.act(g, x.x)
            return out
        fine = math.prod(self.shape)
        coarse = 1 if x.size(0) % fine == 0 else self.coarsening(x.size(0))
        shape = [n // coarse for n in self.shape]
        images = x.reshape(-1, *shape, x.size(1))
        return images.roll([s // coarse for s in g], list(range(1, 1 + len(shape)))).reshape(x.shape)

    def coarsening(self, rows):
        return next(c for c in (2, 3, 4) if rows * c ** len(self.shape) % math.prod(self.shape) == 0)

    def __repr__(self):
        return f"shifts of the torus {self.shape} by multiples of {self.step}"

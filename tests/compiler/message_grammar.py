"""Random messages: `MessagePassing` layers as a user writes them, built from a small grammar."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn.aggr import SoftmaxAggregation
from torch_geometric.utils import softmax

from graphgdl.nn.lowering import Lowered

ACTIVATIONS = {
    "relu": F.relu,
    "silu": F.silu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "mish": F.mish,
    "selu": F.selu,
    "hardswish": F.hardswish,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardtanh": F.hardtanh,
    "logsigmoid": F.logsigmoid,
    "gaussian": lambda x: torch.exp(-(x**2)),
    "wave": lambda x: torch.sin(x) * torch.cos(2 * x),
    "root": lambda x: torch.sqrt(1 + x.square()),
}
AGGREGATIONS = [
    "sum",
    "mean",
    "max",
    "min",
    "std",
    "var",
    ["mean", "max", "std"],
    ["sum", "min"],
    "softmax",
    "mul by degree",
]
HEADS = 2


class Generated(Lowered):
    """A layer whose message is `plan`, a list of (op, first operand, second operand).

    Args:
        plan: the steps of the message; operands count back from the last value.
        aggr: the aggregation.
        widths: features of nodes and of edges.
        lifts: 'both' ends, or the source alone.
    """

    def __init__(
        self, plan: list[tuple[str, int, int]], aggr: Any, widths: tuple[int, int], lifts: str, seed: int
    ) -> None:
        self.by_degree = aggr == "mul by degree"
        given = SoftmaxAggregation(t=0.7, learn=True) if aggr == "softmax" else "sum" if self.by_degree else aggr
        super().__init__(aggr=given, node_dim=0)
        self.plan, self.lifts = plan, lifts
        c, d = widths
        self.layers = nn.ModuleDict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = [c] * (2 if lifts == "both" else 1) + [d]
            for step, (op, i, j) in enumerate(plan):
                a, b = sizes[-1 - i % len(sizes)], sizes[-1 - j % len(sizes)]
                made = self._made(op, a, b)
                if made is not None:
                    self.layers[str(step)] = made
                sizes += self._widths(op, a, b)
            self.layers["last"] = nn.Linear(sizes[-1], 5)
        self.double()

    @staticmethod
    def _made(op: str, a: int, b: int) -> nn.Module | None:
        if op == "linear":
            return nn.Linear(a, 6, bias=b % 2 == 0)
        if op == "mlp":
            return nn.Sequential(nn.Linear(a, 8), nn.SiLU(), nn.Linear(8, 8))
        if op == "heads":
            return nn.ParameterDict({"weight": nn.Parameter(torch.randn(HEADS, a, 3) / a**0.5)})
        if op == "layer norm":
            return nn.LayerNorm(a)
        if op == "prelu":
            return nn.PReLU(a)
        return None

    @staticmethod
    def _widths(op: str, a: int, b: int) -> list[int]:
        """Return the widths of the values that a step makes of values of widths a and b."""
        if op == "cat":
            return [a + b]
        if op == "split":
            return [a // 2, a - a // 2] if a > 1 else [a]
        if op in ("mul", "add", "sub", "where"):
            return [max(a, b)]
        given = {"linear": 6, "mlp": 8, "heads": HEADS * 3, "total": 1, "dot": 1}
        return [given.get(op, a)]

    def forward(self, x: Any, edge_index: Tensor, e: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, e=e)

    def message(self, x_i: Tensor, x_j: Tensor, e: Tensor, index: Tensor, dim_size: int) -> Tensor:
        values = [x_i, x_j, e] if self.lifts == "both" else [x_j, e]
        for step, (op, i, j) in enumerate(self.plan):
            a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
            values += self._step(step, op, a, b, index, dim_size)
        out = self.layers["last"](values[-1])
        if self.by_degree:
            degree = torch.zeros(dim_size, dtype=out.dtype).scatter_add_(
                0, index, torch.ones_like(index, dtype=out.dtype)
            )
            out = out * (1 + degree).log()[index].view(-1, 1)
        return out

    def _step(self, step: int, op: str, a: Tensor, b: Tensor, index: Tensor, dim_size: int) -> list[Tensor]:
        width = max(a.size(-1), b.size(-1))
        if op in ACTIVATIONS:
            return [ACTIVATIONS[op](a)]
        if op in ("linear", "mlp", "layer norm", "prelu"):
            return [self.layers[str(step)](a)]
        if op == "heads":
            weight = self.layers[str(step)]["weight"]
            heads = torch.einsum("ek,hkl->ehl", a, weight)
            return [heads.reshape(-1, HEADS * 3)]
        if op == "cat":
            return [torch.cat([a, b], dim=-1)]
        if op == "split":
            half = a.size(-1) // 2
            return list(a.split([half, a.size(-1) - half], dim=-1)) if half else [a]
        if op == "norm":
            return [a / (a.norm(dim=-1, keepdim=True) + 1)]
        if op == "softmax":
            return [softmax(a, index, num_nodes=dim_size)]
        if op == "feature softmax":
            return [a.softmax(dim=-1)]
        if op == "feature log-softmax":
            return [a.log_softmax(dim=-1)]
        if op == "greatest":
            return [a * a.max(dim=-1, keepdim=True).values]
        if op == "variance":
            return [a * a.var(dim=-1, unbiased=False, keepdim=True)]
        if op == "cumsum":
            return [a.cumsum(dim=-1)]
        if op == "clamp":
            return [a.clamp(-0.4, 0.7)]
        if op == "total":
            return [a.sum(dim=-1, keepdim=True) / a.size(-1)]
        if op == "dot":
            short = min(a.size(-1), b.size(-1))
            return [(a[:, :short] * b[:, :short]).mean(dim=-1, keepdim=True)]
        if op == "amax":
            return [a - a.amax(dim=-1, keepdim=True)]
        a, b = (v if v.size(-1) == width else v[:, :1] for v in (a, b))
        if op == "where":
            return [torch.where(a > b, a, 0.5 * b)]
        return [{"mul": torch.mul, "add": torch.add, "sub": torch.sub}[op](a, b)]

    def update(self, out: Tensor) -> Tensor:
        return out


OPS = [*ACTIVATIONS, "linear", "linear", "mlp", "mlp", "heads", "layer norm", "prelu", "cat", "cat", "split", "norm"]
OPS += ["softmax", "softmax", "feature softmax", "clamp", "total", "dot", "amax", "where", "mul", "mul", "add", "sub"]
OPS += ["feature log-softmax", "greatest", "variance", "cumsum"]


@st.composite
def random_layers(draw, most: int = 6) -> Generated:
    """Random layers with parameters in float64."""
    plan = draw(
        st.lists(st.tuples(st.sampled_from(OPS), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=most)
    )
    aggr = draw(st.sampled_from(AGGREGATIONS))
    widths = draw(st.sampled_from([(4, 3), (7, 1), (1, 5), (3, 2)]))
    layer = Generated(plan, aggr, widths, draw(st.sampled_from(["both", "source"])), draw(st.integers(0, 100)))
    layer.widths = widths
    layer.described = f"{plan} {aggr} {widths} {layer.lifts}"
    return layer

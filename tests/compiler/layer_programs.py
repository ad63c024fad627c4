"""Layers whose messages are compiled for a device, and how to run one step of a layer by compiled loops."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import (
    EdgeConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    MessagePassing,
    NNConv,
    SAGEConv,
    TransformerConv,
)
from torch_geometric.nn.models.schnet import CFConv, ShiftedSoftplus

from graphgdl.compiler.derive import Differentiable
from graphgdl.compiler.device_execute import DeviceExecutable
from graphgdl.compiler.interpret import Edges, interpret
from graphgdl.compiler.ir import Program
from graphgdl.compiler.trace import flatten, record, rows_of
from graphgdl.compiler.translate import translate


class PaiNN(MessagePassing):
    """Two results: scalars and vectors, filtered by the distance."""

    def __init__(self, c: int, k: int) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.c, self.filter = c, nn.Linear(k, 3 * c)
        self.phi = nn.Sequential(nn.Linear(c, c), nn.SiLU(), nn.Linear(c, 3 * c))

    def forward(self, x, v, edge_index, rbf, u):
        return self.propagate(edge_index, phi=self.phi(x), v=v, rbf=rbf, u=u)

    def message(self, phi_j, v_j, rbf, u):
        a, b, c = (phi_j * self.filter(rbf)).split(self.c, dim=-1)
        return a, v_j * b.unsqueeze(1) + c.unsqueeze(1) * u.unsqueeze(2)

    def aggregate(self, inputs, index, dim_size=None):
        return tuple(t.new_zeros((dim_size, *t.shape[1:])).index_add(0, index, t) for t in inputs)


class EGNN(MessagePassing):
    """Two perceptrons on each edge, and two results."""

    aggregate = PaiNN.aggregate

    def __init__(self, c: int) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.edge = nn.Sequential(nn.Linear(2 * c + 1, c), nn.SiLU(), nn.Linear(c, c), nn.SiLU())
        self.shift = nn.Sequential(nn.Linear(c, c), nn.SiLU(), nn.Linear(c, 1))

    def forward(self, x, pos, edge_index):
        return self.propagate(edge_index, x=x, pos=pos)

    def message(self, x_i, x_j, pos_i, pos_j):
        d = pos_i - pos_j
        m = self.edge(torch.cat([x_i, x_j, (d * d).sum(-1, keepdim=True)], -1))
        return m, d * self.shift(m)


class Gaussian(MessagePassing):
    """A user's message: weights by distance, mean and maximum."""

    def __init__(self, c: int) -> None:
        super().__init__(aggr=["mean", "max"])
        self.width = nn.Parameter(torch.rand(c) + 0.5)

    def forward(self, x, pos, edge_index):
        return self.propagate(edge_index, x=x, pos=pos)

    def message(self, x_i, x_j, pos_i, pos_j):
        d = (pos_i - pos_j).square().sum(-1, keepdim=True)
        return torch.cat([torch.exp(-d * self.width) * x_j, torch.tanh(x_i[:, 1:] - x_j[:, :-1])], -1)


def layer(name: str, c: int, h: int = 3) -> tuple[MessagePassing, dict[str, tuple]]:
    """Return a layer of `c` channels, per head if it has `h` heads, and its inputs' shapes: ('n' or 'e', *features)."""
    x = ("n", c)
    torch.manual_seed(0)
    made = {
        "GraphConv": lambda: (GraphConv(c, c), {"x": x, "edge_weight": ("e",)}),
        "GCNConv": lambda: (GCNConv(c, c), {"x": x}),
        "GINConv": lambda: (GINConv(nn.Linear(c, c), train_eps=True), {"x": x}),
        "SAGEConv mean": lambda: (SAGEConv(c, c), {"x": x}),
        "SAGEConv max": lambda: (SAGEConv(c, c, aggr="max"), {"x": x}),
        "GATConv": lambda: (GATConv(c, c, heads=h, add_self_loops=False), {"x": x}),
        "GATv2Conv": lambda: (
            GATv2Conv(c, c, heads=h, edge_dim=5, add_self_loops=False),
            {"x": x, "edge_attr": ("e", 5)},
        ),
        "TransformerConv": lambda: (TransformerConv(c, c, heads=h), {"x": x}),
        "EdgeConv": lambda: (EdgeConv(nn.Sequential(nn.Linear(2 * c, c), nn.Tanh(), nn.Linear(c, c)), "max"), {"x": x}),
        "NNConv": lambda: (NNConv(c, 4, nn.Linear(5, 4 * c)), {"x": x, "edge_attr": ("e", 5)}),
        "CFConv": lambda: (
            CFConv(c, c, c, nn.Sequential(nn.Linear(10, c), ShiftedSoftplus(), nn.Linear(c, c)), 5.0),
            {"x": x, "edge_weight": ("e",), "edge_attr": ("e", 10)},
        ),
        "PaiNN": lambda: (PaiNN(c, 6), {"x": x, "v": ("n", 3, c), "rbf": ("e", 6), "u": ("e", 3)}),
        "EGNN": lambda: (EGNN(c), {"x": x, "pos": ("n", 3)}),
        "user": lambda: (Gaussian(c), {"x": x, "pos": ("n", 3)}),
    }
    return made[name]()


NAMES = ["GraphConv", "GCNConv", "GINConv", "SAGEConv mean", "SAGEConv max", "GATConv", "GATv2Conv", "TransformerConv"]
NAMES += ["EdgeConv", "NNConv", "CFConv", "PaiNN", "EGNN", "user"]


def inputs(shapes: dict[str, tuple], n: int, e: int, dtype: torch.dtype, seed: int = 0) -> dict[str, Tensor]:
    """Return random inputs; weights of edges are positive."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, (rows, *features) in shapes.items():
        value = torch.randn({"n": n, "e": e}[rows], *features, generator=generator).to(dtype) * 0.5
        made[name] = value.abs() + 0.3 if name == "edge_weight" else value
    return made


class Compiled:
    """Runs the steps of a layer by compiled loops: `programs` are made at their first call."""

    def __init__(self, layer: MessagePassing, topology, executable, inline: int = 0) -> None:
        self.layer, self.topology, self.executable, self.inline = layer, topology, executable, inline
        self.programs: dict[str, Differentiable] = {}
        layer.propagate = lambda edge_index, size=None, **given: self._step("propagate", edge_index, given)
        layer.edge_updater = lambda edge_index, size=None, **given: self._step("edge_updater", edge_index, given)

    def _step(self, step: str, edge_index: Tensor, given: dict):
        flat = flatten(given)
        n = next(t.size(0) for k, t in flat.items() if k.partition(".")[0] in ("x", "query", "phi", "alpha"))
        rows = rows_of(self.layer, step, given, n, n, edge_index.size(1))
        recording = record(self.layer, step, given, rows, True)
        state = dict(self.layer.named_parameters()) | dict(self.layer.named_buffers())
        values = []
        for kind, name in recording.inputs:
            values.append(
                {"input": flat, "state": state}[kind][name]
                if kind != "seed"
                else torch.tensor(2**40 + 12345, device=edge_index.device)
            )
        compiled = self.programs.get(step)
        if compiled is None:
            program = Program(self.inline)
            names = ["", *(f"{kind} {name}" for kind, name in recording.inputs)]
            nodes, outputs = translate(recording.tape, program, names)
            wanted = [k for k, v in enumerate(values) if v.requires_grad]
            outputs = [o for o in outputs if o is not None]
            compiled = self.programs[step] = Differentiable(
                program, recording.tape, nodes, outputs, wanted, executable=self.executable
            )
        found = compiled(self.topology(edge_index, n, n), values)
        for (module, name), value in zip(recording.effects, found[recording.returned :]):
            (self.layer.get_submodule(module) if module else self.layer).__dict__[name] = value
        return found[0] if recording.single else tuple(found[: recording.returned])


def printed(
    name: str, c: int, order: int, dtype: torch.dtype = torch.float32, inline: int = 0
) -> list[DeviceExecutable]:
    """Return the programs of a layer and its derivatives up to `order`, printed for a device and run by the interpreter."""
    made: list[DeviceExecutable] = []

    class Printed(DeviceExecutable):
        def __init__(self, inputs, outputs) -> None:
            super().__init__(inputs, outputs)
            made.append(self)

        def __call__(self, graph, values):
            return interpret(self.outputs, dict(zip(self.inputs, values, strict=True)), graph)

    conv, shapes = layer(name, c)
    conv = conv.to(dtype)
    edge_index = torch.tensor([[0, 1, 2, 2, 3, 0], [1, 2, 0, 3, 3, 2]])
    given = {k: v.requires_grad_() for k, v in inputs(shapes, 4, 6, dtype).items()}
    Compiled(conv, lambda ei, num_src, num_dst: Edges(ei[0], ei[1], num_src, num_dst), Printed, inline)
    derivatives(conv, given, edge_index, order)
    return made


def derivatives(conv: MessagePassing, given: dict[str, Tensor], edge_index: Tensor, order: int) -> list[list[Tensor]]:
    """Return the results of a layer, the gradient of a number made of them, and second derivatives, up to `order`.

    A derivative by what does not matter is zero.
    """
    out = conv(edge_index=edge_index, **given)
    out = out if isinstance(out, tuple) else (out,)
    found = [list(out)]
    at = [*given.values(), *conv.parameters()]
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(o.shape, generator=generator).to(o) for o in out]
    value = sum((torch.tanh(o) * w).sum() for o, w in zip(out, weights, strict=True))
    for _ in range(order):
        gradients = torch.autograd.grad(value, at, create_graph=True, allow_unused=True)
        found.append([torch.zeros_like(x) if g is None else g for g, x in zip(gradients, at, strict=True)])
        value = sum((g**2).sum() for g in gradients[: len(given)] if g is not None)
    return found

"""Inputs in 16 bits: kernels read them as they are and compute in float32; nothing of the edges is widened in memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import MessagePassing

import graphgdl.nn as gdl
from graphgdl.cli.bench.hot_path.memory import peak_mib
from graphgdl.compiler import execute

HALVES = (torch.float16, torch.bfloat16)


class Gate(MessagePassing):
    def forward(self, x, edge_index, gate):
        return self.propagate(edge_index, x=x, gate=gate)

    def message(self, x_j, gate):
        return torch.sigmoid(gate) * x_j


class Compiled(gdl.Lowered, Gate):
    pass


LAYERS = {
    "gate": (Compiled, ("x", "edge")),
    "GINEConv": (lambda: gdl.GINEConv(nn.Identity()), ("x", "edge")),
    "GraphConv-max": (lambda: gdl.GraphConv(6, 6, aggr="max"), ("x", "weight")),
    "SAGEConv-std": (lambda: gdl.SAGEConv(6, 6, aggr="std"), ("x",)),
    "EdgeConv": (
        lambda: gdl.EdgeConv(nn.Sequential(nn.Linear(12, 40), nn.Tanh(), nn.Linear(40, 6)), aggr="add"),
        ("x",),
    ),
    "NNConv": (lambda: gdl.NNConv(6, 6, nn.Linear(6, 36)), ("x", "edge")),
}


def problem(n, e, c, half):
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(n, (2, e), generator=generator)
    numbers = {"x": (n, c), "edge": (e, c), "weight": (e,)}
    return edge_index, {k: torch.randn(shape, generator=generator).to(half) for k, shape in numbers.items()}


def results(layer, edge_index, given, names):
    leaves = [given[k].clone().requires_grad_() for k in names]
    tensors = dict(zip(names, leaves))
    sent = {"x": (tensors["x"], tensors["x"])} if "x" in tensors else {}
    sent |= {{"edge": "edge_attr", "weight": "edge_weight"}[k]: t for k, t in tensors.items() if k != "x"}
    if isinstance(layer, Gate):
        sent = {"x": tensors["x"], "gate": tensors["edge"]}
    out = layer.propagate(edge_index, **sent)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out).to(out)
    return [out, *torch.autograd.grad(out, leaves, weights)]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("edges", [40, 70_000])
def test_bit_for_bit_the_float32_program_rounded_once(name, half, edges):
    make, names = LAYERS[name]
    torch.manual_seed(0)
    layer = make().to(half)
    wide = make()
    wide.load_state_dict(layer.state_dict())
    layer.lowering = wide.lowering = "compiled"
    edge_index, given = problem(300, edges, 6, half)
    narrow = results(layer, edge_index, given, names)
    expected = results(wide, edge_index, {k: v.float() for k, v in given.items()}, names)
    # the gradient of the narrow result is the wide one's, rounded: both start from the same numbers only in value
    assert torch.equal(narrow[0], expected[0].to(half))
    eps = torch.finfo(half).eps
    for mine, theirs in zip(narrow[1:], expected[1:], strict=True):
        assert mine.dtype == half
        torch.testing.assert_close(mine.float(), theirs, rtol=4 * eps, atol=4 * eps * float(theirs.abs().max()))


@pytest.mark.parametrize("half", HALVES)
def test_edges_are_not_widened_in_memory(half):
    layer = Compiled()
    layer.lowering = "compiled"
    edge_index, given = problem(2_000, 400_000, 32, half)
    with torch.no_grad():
        layer(given["x"], edge_index, given["edge"])
        peak = peak_mib(lambda: layer(given["x"], edge_index, given["edge"]))
    assert peak < 0.2 * 4 * given["edge"].numel() / 2**20  # of what the edge features would take in float32


def test_a_kind_confused_is_noticed(monkeypatch):
    layer = Compiled()
    layer.lowering = "compiled"
    edge_index, given = problem(300, 40, 6, torch.bfloat16)
    monkeypatch.setattr(execute, "HALVES", {torch.float16: "bf16", torch.bfloat16: "f16"})
    with pytest.raises(ValueError, match="differs"):
        layer(given["x"], edge_index, given["edge"])

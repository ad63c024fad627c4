"""Layers on the kernels for a device, from `layer(x, edge_index)` on; run by `tests/compiler/test_triton.py`.

On a GPU where there is one; under Triton's interpreter the same kernels run on tensors in the CPU's memory.
"""

from __future__ import annotations

import copy
import os
import sys

import pytest
import torch
from layer_cases import BY_NAME, CASES, inputs
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.nn import MessagePassing

from graphgdl import accelerate
from graphgdl import nn as gdl
from graphgdl.cli.bench.hot_path.messages import EGNNMessage, PaiNNMessage
from graphgdl.compiler import backend, compiled, device_execute, device_topology, triton_launch
from graphgdl.compiler.prove import _SameNumbers
from graphgdl.nn import explain_lowering

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
# lanes without an edge compute with zeros, and are dropped
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")
FEW = ("GCNConv", "SAGEConv-max", "NNConv", "EdgeConv", "GATv2Conv", "TransformerConv-edge")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def case_with_mark(case):
    return case if case.name in FEW else pytest.param(case, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def launches(monkeypatch, tmp_path):
    """Kernels launched so far: rows of more than 4 edges are long, of more than 12 in pieces, tiles hold about 20."""
    monkeypatch.setenv("GRAPHGDL_CACHE", str(tmp_path))  # what was proved elsewhere is not proved here
    chosen = backend.BACKENDS["cuda"]()._replace(name=lambda _: f"test on {DEVICE}")
    monkeypatch.setitem(backend.BACKENDS, DEVICE, lambda: chosen)
    monkeypatch.setattr(device_topology, "LONG", 4)
    monkeypatch.setattr(device_topology, "PIECE", 6)
    monkeypatch.setattr(device_execute, "TILE_BYTES", 1)
    monkeypatch.setattr(device_execute, "TILE_EDGES", 20)
    counted, launch = [], triton_launch.launch

    def counting(*args):
        counted.append(args[0])
        return launch(*args)

    monkeypatch.setattr(device_execute, "launch", counting)
    return counted


class Energy(nn.Module):
    """A user's message that returns a pair, as one tensor."""

    def __init__(self, layer: MessagePassing) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x, edge_index):
        pos = x[:, :3] * 0.5
        given = (x, x.unsqueeze(1) * pos.unsqueeze(2), pos) if isinstance(self.layer, PaiNNMessage) else (x, pos)
        scalars, vectors = self.layer(*given, edge_index)
        return torch.cat([scalars, vectors.flatten(1)], 1)


def on_device(case, dtype=torch.float64):
    given = inputs(case, dtype)
    for name in ("x_src", "x_dst", "edge"):
        if getattr(given, name) is not None:
            setattr(given, name, getattr(given, name).detach().to(DEVICE).requires_grad_())
    given.edge_index = given.edge_index.to(DEVICE)
    return case.ours(dtype).to(DEVICE), given


def results(call, layer, leaves, lowering: str, order: int = 2) -> list[torch.Tensor]:
    """Value, gradient of a random form of its tanh, gradient of a random form of the gradients."""
    for module in layer.modules():
        if isinstance(module, MessagePassing):
            module.lowering = lowering
    out = call(layer)
    found, level = [out], [out.tanh()]
    generator = torch.Generator().manual_seed(3)
    for k in range(order):
        weights = [torch.randn(t.shape, generator=generator).to(t) for t in level]
        value = sum((t * w).sum() for t, w in zip(level, weights))
        level = torch.autograd.grad(value, leaves, create_graph=k + 1 < order, allow_unused=True)
        level = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(level, leaves)]
        found += level
        level = [g for g in level if g.requires_grad]
        assert level or k + 1 == order, "nothing to differentiate again"
    return found


def check(call, layer, leaves, launches, order: int = 2) -> None:
    """The same numbers as the message path's, by kernels of the device."""
    assert not launches
    found = results(call, layer, leaves, "compiled", order)
    assert launches
    expected = results(call, layer, leaves, "message", order)
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.dtype == b.dtype
        error, scale = (a - b).abs().max().item(), max(b.abs().max().item(), 1.0)
        assert error <= TOLERANCE[a.dtype] * scale, f"result {number}: {error} of {scale}"


@pytest.mark.parametrize("case", [case_with_mark(c) for c in CASES], ids=lambda case: case.name)
def test_value_gradient_and_second_derivative(case, launches):
    layer, given = on_device(case)
    check(given.call, layer, [*given.leaves, *layer.parameters()], launches)


@pytest.mark.parametrize("message", [EGNNMessage, pytest.param(PaiNNMessage, marks=pytest.mark.slow)])
def test_a_users_message(message, launches):
    torch.manual_seed(0)
    layer, edge_index = Energy(message(4)).double().to(DEVICE), torch.randint(9, (2, 40)).to(DEVICE)
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    edge_index[1, :14] = 2 + (edge_index[0, :14] == 2).long()
    x = torch.randn(9, 4, dtype=torch.float64, requires_grad=True, device=DEVICE)
    accelerate(layer)
    check(lambda model: model(x, edge_index), layer, [x, *layer.parameters()], launches)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["GraphConv-weight", "SAGEConv-max", "GATv2Conv"])
def test_half_is_read_as_it_is_and_computed_in_float32(name, half, launches):
    """The float32 message path's results on the same numbers, rounded once."""
    layer, given = on_device(BY_NAME[name], half)
    exact = copy.deepcopy(layer).float()
    found = []
    for model, dtype in ((layer, half), (exact, torch.float32)):
        model.lowering = "compiled" if dtype == half else "message"
        leaves = [t.detach().to(dtype).requires_grad_() for t in given.leaves]
        x, weight = leaves[0], {} if given.edge is None else {"edge_weight": leaves[1]}
        if name == "GATv2Conv":
            sent = (x @ model.lin_l.weight.t(), x @ model.lin_r.weight.t())
            sent = tuple(t.to(half).to(dtype).view(-1, 1, 5) for t in sent)
            out = model.edge_updater(given.edge_index, x=sent, edge_attr=None)
        else:
            out = model.propagate(given.edge_index, x=(x, x), **weight)
        weights = torch.linspace(-1, 1, out.numel(), device=DEVICE).view_as(out).to(half).to(dtype)
        found.append([out, *torch.autograd.grad((out * weights).sum(), leaves)])
    assert launches
    for mine, theirs in zip(*found):
        assert mine.dtype == half
        torch.testing.assert_close(mine.float(), theirs.to(half).float(), rtol=2 * torch.finfo(half).eps, atol=1e-2)


def test_dropout_is_drawn_on_the_device_and_again_in_the_backward(launches):
    torch.manual_seed(0)
    layer = gdl.GATConv(4, 3, heads=2, dropout=0.4).double().to(DEVICE)
    layer.lowering = "compiled"
    given = on_device(BY_NAME["GATConv"])[1]

    def run(x, seed=3):
        torch.manual_seed(seed)
        return layer(x, given.edge_index)

    assert torch.equal(run(given.x_src), run(given.x_src))
    assert not torch.allclose(run(given.x_src), run(given.x_src, 4))
    assert launches
    step = 1e-6 * torch.ones_like(given.x_src)
    slope = (run(given.x_src + step) - run(given.x_src - step)).sum() / 2e-6
    (gradient,) = torch.autograd.grad(run(given.x_src).sum(), given.x_src)
    torch.testing.assert_close(gradient.sum(), slope, rtol=1e-6, atol=1e-6)


def test_dropout_as_cuda_fuses_it_draws_the_same_numbers():
    """The proof lets the message path draw what the compiled form draws: `dropout` is one op on CUDA, two on the CPU."""
    x = torch.randn(9, 4, dtype=torch.float64, device=DEVICE, requires_grad=True)
    found = []
    for dropped in (
        lambda: torch.native_dropout(x, 0.4, True)[0],
        lambda: x * (torch.empty_like(x).bernoulli_(0.6) / 0.6),
    ):
        with _SameNumbers(2**40 + 3):
            out = dropped()
        found.append([out, *torch.autograd.grad(out.sin().sum(), x)])
    torch.testing.assert_close(*found)
    assert 0 < (found[0][0] == 0).sum() < 36


class Waits(TorchDispatchMode):
    """Refuses the ops for which the host waits for a device; a tensor made of numbers is one, copied from the host."""

    NAMES = ("_local_scalar_dense", "nonzero", "lift_fresh", "_unique", "unique_consecutive", "repeat_interleave")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not str(func).removeprefix("aten.").startswith(self.NAMES), f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["GCNConv", "NNConv", "drop"])
def test_nothing_waits_for_the_device_once_the_graph_is_sorted(name, launches):
    layer, given = on_device(BY_NAME["GATConv" if name == "drop" else name])
    layer.dropout = 0.3 if name == "drop" else 0.0
    leaves = [*given.leaves, *layer.parameters()]

    def step() -> None:
        out = given.call(layer)
        torch.autograd.grad(out, leaves, torch.ones_like(out))

    step()
    launches.clear()
    if DEVICE == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        with Waits():
            step()
    finally:
        if DEVICE == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert launches


def test_the_host_that_waits_is_seen():
    with pytest.raises(AssertionError, match="waits for the device"), Waits():
        torch.ones(1, device=DEVICE).item()
    with pytest.raises(AssertionError, match="waits for the device"), Waits():
        torch.tensor([1.0], device=DEVICE)


def test_tensors_on_several_devices(launches):
    layer, given = on_device(BY_NAME["GraphConv-weight"])
    x, elsewhere = given.x.detach(), given.edge.to("meta")
    for sent, name in (((x, elsewhere), "edge_weight"), ((x.to("meta"), given.edge), "x[0]")):
        sent = {"x": (sent[0], sent[0]), "edge_weight": sent[1]}
        reason = compiled(layer, "propagate", given.edge_index, 7, 7, sent).reason
        assert reason == f"`{name}` is on meta, `edge_index` on {x.device}"
    assert not launches


def test_autocast_is_left_to_the_message_path():
    layer, given = on_device(BY_NAME["SAGEConv"])
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        explained = explain_lowering(layer.float(), given.x.float(), given.edge_index)
    assert explained[0].refused["compiled"] == f"autocast is active on the {DEVICE.upper()}"


def test_triton_that_is_not_there_is_named(monkeypatch, launches):
    def missing(_):
        return triton_launch.require_triton().__version__

    layer, given = on_device(BY_NAME["SAGEConv"])
    chosen = backend.BACKENDS[DEVICE]()._replace(name=missing)
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setitem(backend.BACKENDS, DEVICE, lambda: chosen)
    refused = explain_lowering(layer, given.x, given.edge_index)[0].refused["compiled"]
    assert "need `triton`, which comes with CUDA builds of torch on Linux" in refused
    assert not launches
    layer.lowering = "compiled"
    with pytest.raises(ValueError, match="does not apply: compiled messages on CUDA need `triton`"):
        given.call(layer)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_bits_in_20_runs(case, launches):
    """The interpreter runs one program after the other, so that a race does not show: this is for a GPU."""
    if DEVICE == "cpu":
        pytest.skip("no CUDA device")
    torch.use_deterministic_algorithms(True, warn_only=True)  # for what PyG computes around the message
    try:
        layer, given = on_device(case, torch.float32)
        leaves = [*given.leaves, *layer.parameters()]
        first = results(given.call, layer, leaves, "compiled")
        for _ in range(19):
            given.edge_index = given.edge_index.clone()
            again = results(given.call, layer, leaves, "compiled")
            assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    finally:
        torch.use_deterministic_algorithms(False)

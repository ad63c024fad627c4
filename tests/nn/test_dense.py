"""Linear maps of many nodes by our product: the module's own values, and never where the module is more than its map."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch_geometric import nn as pyg

from graphgdl import nn as gdl
from graphgdl.nn import dense as room
from graphgdl.nn.dense import dense

N, C, D = 50, 32, 40


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.fixture
def taken(monkeypatch):
    """Let the product take few rows too, and count what it takes."""
    calls, original = [], room.linear

    def counted(*args):
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(room, "WORK", 0)
    monkeypatch.setattr(room, "linear", counted)
    return calls


def gradients(out, module, *inputs):
    leaves = [*inputs, *module.parameters()]
    return torch.autograd.grad(out.sin().sum(), leaves)


def same(module, x, onto=None):
    expected = module(x) if onto is None else onto + module(x)
    found = dense(module, x, onto)
    torch.testing.assert_close(found, expected)
    inputs = [x] if onto is None else [x, onto]
    for a, b in zip(gradients(found, module, *inputs), gradients(expected, module, *inputs), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("onto", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", [nn.Linear, pyg.Linear])
def test_a_linear_map(kind, bias, onto, taken):
    same(kind(C, D, bias=bias), draw(N, C), draw(N, D, seed=1) if onto else None)
    assert len(taken) == 1


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", [nn.Linear, pyg.Linear])
def test_few_rows(kind, bias):
    same(kind(C, D, bias=bias), draw(N, C), draw(N, D, seed=1))


def test_one_row_for_all(taken):
    same(nn.Linear(C, D, bias=False), draw(N, C), draw(1, D, seed=1))


def test_a_sequence(taken):
    same(nn.Sequential(nn.Linear(C, D), nn.BatchNorm1d(D), nn.ReLU(), nn.Sequential(nn.Linear(D, C))), draw(N, C))
    assert len(taken) == 2


def hooked(module):
    module.register_forward_hook(lambda module, args, out: 2 * out)
    return module


def replaced(module):
    module.forward = lambda x: 3 * nn.functional.linear(x, module.weight)
    return module


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "module",
    [
        lambda: hooked(nn.Linear(C, D)),
        lambda: hooked(nn.Sequential(nn.Linear(C, D))),
        lambda: replaced(nn.Linear(C, D)),
        lambda: Doubled(C, D),
        lambda: parametrizations.weight_norm(nn.Linear(C, D)),
        lambda: nn.Identity(),
    ],
    ids=["hook", "hook on all", "own forward", "subclass", "parametrized", "no linear map"],
)
def test_a_module_that_is_more_than_its_map_is_called(module, taken):
    torch.manual_seed(0)
    module, x = module(), draw(N, C)
    before = len(taken)
    torch.testing.assert_close(dense(module, x), module(x))
    assert len(taken) == before + (isinstance(module, nn.Sequential) and not module._forward_hooks)


def test_a_lazy_map_learns_its_size(taken):
    lazy = pyg.Linear(-1, D)
    assert dense(lazy, draw(N, C)).shape == (N, D)
    assert lazy.weight.shape == (D, C)


def test_other_modes_are_left_to_torch(taken):
    module, x = nn.Linear(C, D), draw(N, C)
    assert dense(module, draw(2, N, C)).shape == (2, N, D)
    with torch.autocast("cpu", torch.bfloat16):
        assert dense(module, x).dtype == torch.bfloat16
    batched = torch.func.vmap(lambda v: dense(module, v))(torch.stack([x, 2 * x]))
    torch.testing.assert_close(batched[1], module(2 * x))
    _, tangent = torch.func.jvp(lambda v: dense(module, v), (x,), (torch.ones_like(x),))
    torch.testing.assert_close(tangent, torch.ones_like(x) @ module.weight.t())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        dense(module, draw(N, C + 1))
    assert not taken


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_torch_compile_sees_a_linear_map(taken):
    torch._dynamo.reset()
    module, x = nn.Sequential(nn.Linear(C, D), nn.ReLU()), draw(N, C)
    torch.testing.assert_close(torch.compile(dense, backend="eager", fullgraph=True)(module, x), module(x))
    assert not taken


LAYERS = {
    "GATConv": (2, lambda room: room.GATConv(C, C, heads=2)),
    "GATv2Conv": (2, lambda room: room.GATv2Conv(C, C)),
    "GCNConv": (1, lambda room: room.GCNConv(C, C)),
    "GINConv": (2, lambda room: room.GINConv(nn.Sequential(nn.Linear(C, D), nn.ReLU(), nn.Linear(D, C)))),
    "GraphConv": (2, lambda room: room.GraphConv(C, C)),
    "SAGEConv": (2, lambda room: room.SAGEConv(C, C, normalize=True, project=True)),
    "TransformerConv": (4, lambda room: room.TransformerConv(C, C)),
    "TransformerConv, gated": (4, lambda room: room.TransformerConv(C, C, beta=True)),
}


CASES = [(name, pair) for name in LAYERS for pair in (False, True) if (name, pair) != ("GCNConv", True)]


@pytest.mark.parametrize(("name", "pair"), CASES)
def test_layers(name, pair, taken):
    count, make = LAYERS[name]
    ours, theirs = make(gdl), make(pyg)
    theirs.load_state_dict(ours.state_dict())
    edges, x = torch.randint(30, (2, 300), generator=torch.Generator().manual_seed(1)), draw(N, C)
    given = (x, draw(30, C, seed=2)) if pair else x
    found, expected = ours(given, edges), theirs(given, edges)
    assert len(taken) == count - (name == "GATConv" and not pair)
    torch.testing.assert_close(found, expected)
    for a, b in zip(gradients(found, ours, x), gradients(expected, theirs, x), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)

"""The compiled form where it differs from the message path on purpose: dropout, 16-bit numbers; and under threads."""

from __future__ import annotations

import threading

import pytest
import torch
from layer_cases import BY_NAME, close, gradients, inputs
from torch import nn
from torch_geometric.nn import MessagePassing

from graphgdl import nn as gdl
from graphgdl.nn import accelerate, explain_lowering

EDGES = torch.tensor([[0, 1, 2, 3, 3, 4, 0, 2], [1, 2, 0, 4, 1, 1, 4, 1]])


def dropping(name, **options):
    torch.manual_seed(0)
    layer = getattr(gdl, name)(4, 3, heads=2, dropout=0.4, **options).double()
    layer.lowering = "compiled"
    return layer, torch.randn(5, 4, dtype=torch.float64, requires_grad=True)


def seeded(layer, x, seed):
    torch.manual_seed(seed)
    return layer(x, EDGES)


@pytest.mark.parametrize("name", ["GATConv", "GATv2Conv", "TransformerConv"])
def test_dropout_is_a_function_of_torchs_seed(name):
    layer, x = dropping(name)
    assert torch.equal(seeded(layer, x, 1), seeded(layer, x, 1))
    assert not torch.allclose(seeded(layer, x, 1), seeded(layer, x, 2))
    torch.manual_seed(1)
    assert not torch.allclose(layer(x, EDGES), layer(x, EDGES))  # one call after the other draws anew
    layer.eval()
    theirs = gdl.__dict__[name](4, 3, heads=2).double()
    theirs.load_state_dict(layer.state_dict())
    theirs.lowering = "message"
    close(seeded(layer, x, 1), theirs(x, EDGES))


@pytest.mark.parametrize("name", ["GATConv", "GATv2Conv", "TransformerConv"])
def test_backward_has_the_mask_of_forward(name):
    """Differences of the value at a fixed seed, against the gradient, and against the second derivative."""
    layer, x = dropping(name)
    assert torch.autograd.gradcheck(lambda x: seeded(layer, x, 3), x)
    assert torch.autograd.gradgradcheck(lambda x: seeded(layer, x, 3).tanh(), x)


def test_dropout_drops_its_share_and_scales_the_rest():
    n, p = 3000, 0.4
    torch.manual_seed(0)
    layer, x = gdl.GATConv(4, 3, heads=2, dropout=p, add_self_loops=False), torch.randn(n, 4)
    layer.lowering = "compiled"
    edges = torch.randint(0, n, (2, 20_000))
    _, (_, drawn) = layer(x, edges, return_attention_weights=True)
    _, (_, again) = layer(x, edges, return_attention_weights=True)
    layer.eval()
    _, (_, whole) = layer(x, edges, return_attention_weights=True)
    kept = drawn != 0
    close(drawn[kept], (whole / (1 - p))[kept])
    sigma = (p * (1 - p) / drawn.numel()) ** 0.5
    assert abs((~kept).double().mean() - p) < 5 * sigma
    assert abs((~kept).double().mean(0) - p).max() < 5 * sigma * 2**0.5  # of each head
    both = (kept[:, 0] & kept[:, 1]).double().mean()
    assert abs(both - (1 - p) ** 2) < 5 * 2**0.5 * sigma  # the heads are drawn independently
    twice = (kept & (again != 0)).double().mean()
    assert abs(twice - (1 - p) ** 2) < 5 * sigma  # and so are the calls


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_nothing_and_of_all(p):
    layer, x = gdl.GATConv(4, 4, dropout=p), torch.randn(5, 4)
    layer.lowering = "compiled"
    out = layer(x, EDGES)
    layer.eval()
    close(out, layer(x, EDGES) if p == 0 else torch.zeros_like(out) + layer.bias)


CALLS = {
    "SAGEConv-mean": lambda: (gdl.SAGEConv(4, 4), ("x",)),
    "SAGEConv-std": lambda: (gdl.SAGEConv(4, 4, aggr="std"), ("x",)),
    "GraphConv-max": lambda: (gdl.GraphConv(4, 4, aggr="max"), ("x", "edge_weight")),
    "EdgeConv": lambda: (gdl.EdgeConv(nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4)), aggr="add"), ("x",)),
    "GINEConv": lambda: (gdl.GINEConv(nn.Linear(4, 4), edge_dim=2), ("x", "edge_attr")),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CALLS)
def test_half_precision_is_computed_in_float32(name, dtype):
    """`propagate` in 16 bits is the float32 message path on the same numbers, rounded once; so are its gradients."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    layer, wanted = CALLS[name]()
    given = {
        "x": torch.randn(5, 4, generator=generator),
        "edge_weight": torch.rand(8, generator=generator),
        "edge_attr": torch.randn(8, 2, generator=generator),
    }
    layer = layer.to(dtype)
    exact, _ = CALLS[name]()
    exact.load_state_dict(layer.state_dict())
    layer.lowering, exact.lowering = "compiled", "message"
    found = []
    for model, kind in ((layer, dtype), (exact, torch.float32)):
        tensors = {k: given[k].to(dtype).to(kind).requires_grad_() for k in wanted}
        sent = {k: (t, t) if k == "x" else t for k, t in tensors.items()}
        out = model.propagate(EDGES, **sent)
        leaves = [*tensors.values(), *(model.nn.parameters() if name == "EdgeConv" else [])]
        weights = torch.linspace(-1, 1, out.numel()).view_as(out).to(dtype).to(kind)
        found.append([out, *torch.autograd.grad(out, leaves, weights)])
    eps = torch.finfo(dtype).eps
    for actual, expected in zip(*found, strict=True):
        assert actual.dtype == dtype
        torch.testing.assert_close(
            actual.float(), expected, rtol=eps, atol=2 * eps * float(expected.detach().abs().max())
        )


def test_16_bits_beside_32_bits_are_refused():
    x, weight = torch.randn(5, 4, dtype=torch.bfloat16), torch.rand(8)
    layer = gdl.GraphConv(4, 4).bfloat16()
    layer._record = []
    layer.propagate(EDGES, x=(x, x), edge_weight=weight)
    assert layer._record[0].refused["compiled"] == "it reads torch.bfloat16 and torch.float32 together"


@pytest.mark.parametrize("name", ["GCNConv", "GATConv-edge", "EdgeConv", "SAGEConv-max"])
def test_the_first_call_from_four_threads_at_once(name):
    case = BY_NAME[name]
    layer, reference = case.ours(), case.ours()
    reference.lowering = "message"
    layer.lowering = "compiled"
    barrier, found, failed = threading.Barrier(4), {}, []

    def work(k):
        given = inputs(case, seed=k)
        try:
            barrier.wait()
            for _ in range(3):
                out = given.call(layer)
                found[k] = [out, *gradients(out.tanh(), [*given.leaves, *layer.parameters()])]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for k in range(4):
        given = inputs(case, seed=k)
        out = given.call(reference)
        for actual, expected in zip(found[k], [out, *gradients(out.tanh(), [*given.leaves, *reference.parameters()])]):
            close(actual, expected)


def test_nothing_of_the_proof_is_left_behind():
    """The first call leaves the generator, gradients, buffers, attributes and tensor hooks of the layer alone."""
    net = nn.Sequential(nn.Linear(8, 4), nn.Tanh())
    layer, calls = gdl.EdgeConv(net), []
    net[0].weight.register_hook(lambda g: calls.append(1))
    attributes, weight = dict(layer.__dict__), net[0].weight.detach().clone()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert (
        explain_lowering(layer, torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), EDGES)[0].ran
        == "compiled"
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert not calls
    assert net[0].weight.grad is None
    assert torch.equal(net[0].weight, weight)
    assert {k: v for k, v in layer.__dict__.items() if k != "_record"} == {
        k: v for k, v in attributes.items() if k != "_record"
    }


class _Scaled(MessagePassing):
    def forward(self, x, edge_index, w):
        return self.propagate(edge_index, x=x, w=w)

    def message(self, x_j, w):
        return x_j * w.sum()


def test_a_number_and_one_value_per_node_are_told_apart():
    """Also where there is a single node, so that one value is both."""
    torch.manual_seed(0)
    conv = accelerate(_Scaled())
    loop, ring = torch.tensor([[0, 0], [0, 0]]), torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]])
    for edges, n, w in ((ring, 5, torch.rand(())), (ring, 5, torch.rand(5)), (loop, 1, torch.rand(1))) * 2:
        x = torch.rand(n, 3)
        torch.testing.assert_close(conv(x, edges, w), _Scaled()(x, edges, w))
    conv = accelerate(_Scaled())
    for edges, n, w in ((loop, 1, torch.rand(1)), (ring, 5, torch.rand(5))):
        x = torch.rand(n, 3)
        torch.testing.assert_close(conv(x, edges, w), _Scaled()(x, edges, w))

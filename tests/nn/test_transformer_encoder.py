"""The encoder layer beside torch's, beside attention written out in loops, and under the law of sets."""

from __future__ import annotations

import math

import pytest
import torch
from layer_cases import close, gradients
from torch import nn
from torch_geometric.data import Data

from graphgdl.domains.structure import Chain, Complete
from graphgdl.nn import DotProductAttention, TransformerEncoderLayer, explain_lowering
from graphgdl.testing import assert_contract

SIZES = {"equal": [3, 3, 3], "ragged": [5, 2, 0, 5, 1, 3], "sorted": [1, 2, 2, 4], "one": [4], "singletons": [1, 1]}
OPTIONS = {
    "post": {},
    "norm_first": {"norm_first": True},
    "gelu": {"activation": "gelu"},
    "no_bias": {"bias": False, "norm_first": True},
    "function": {"activation": torch.tanh, "layer_norm_eps": 1e-3},
}


def sets(sizes):
    return Complete(torch.tensor([0, *sizes]).cumsum(0))


def layer(seed=0, cls=TransformerEncoderLayer, **options):
    torch.manual_seed(seed)
    out = cls(8, 2, 12, **({"dropout": 0.0} | options)).double()
    for parameter in out.parameters():
        nn.init.normal_(parameter, std=0.5)
    return out


def features(structure, channels=8, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(structure.num_nodes, channels, generator=generator, dtype=torch.float64).requires_grad_()


def torchs(ours, **options):
    theirs = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, **({"dropout": 0.0} | options)).double()
    theirs.load_state_dict(ours.state_dict())
    return theirs


def padded(theirs, x, structure):
    """Torch's way: sets padded to the largest, the padding masked and thrown away."""
    parts = x.split(structure.sizes)
    mask = torch.arange(max(structure.sizes)) >= torch.tensor(structure.sizes)[:, None]
    empty = mask.all(dim=1)  # torch answers an empty set with nan
    batch = nn.utils.rnn.pad_sequence(parts, batch_first=True)
    return theirs(batch[~empty], src_key_padding_mask=mask[~empty])[~mask[~empty]]


def derivatives(run, x, parameters):
    """Value, gradients and the gradients of a function of the first."""
    leaves = [x, *parameters]
    out = run(x)
    first = gradients(out, leaves, create_graph=True)
    assert first[0].requires_grad
    return [out, *first, *gradients(torch.cat([g.flatten() for g in first]).tanh(), leaves)]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_equals_torchs_layer(sizes, options):
    ours, structure = layer(**options), sets(sizes)
    theirs, x = torchs(ours, **options), features(structure)
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):  # the one with second derivatives
        expected = derivatives(lambda x: padded(theirs, x, structure), x, theirs.parameters())
    for name in ("sdpa", "compiled", "message"):
        ours.attention.lowering = name
        for actual, wanted in zip(derivatives(lambda x: ours(x, structure), x, ours.parameters()), expected):
            close(actual, wanted)


def loops(query, key, value, sizes):
    """Attention by its equation, one element, one head, one neighbour at a time."""
    out, first = torch.zeros_like(value), 0
    for size in sizes:
        rows = range(first, first + size)
        for i in rows:
            for h in range(query.size(1)):
                weights = [math.exp(float(query[i, h] @ key[j, h]) / query.size(2) ** 0.5) for j in rows]
                out[i, h] = sum(w * value[j, h] for w, j in zip(weights, rows)) / sum(weights)
        first += size
    return out


@pytest.mark.parametrize("name", ["sdpa", "compiled", "message"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_attention_by_its_equation(sizes, name):
    structure, attend = sets(sizes), DotProductAttention()
    attend.lowering = name
    query, key, value = (features(structure, 6, seed).detach().view(-1, 2, 3) for seed in range(3))
    close(attend(query, key, value, structure), loops(query, key, value, sizes))


@pytest.mark.parametrize("sizes", [[], [0], [0, 0]], ids=str)
def test_nothing_to_attend_to(sizes):
    ours, structure = layer(), sets(sizes)
    x = features(structure)
    out = ours(x, structure)
    assert out.shape == (0, 8)
    assert torch.autograd.grad(out.sum(), x)[0].shape == (0, 8)


def test_edges_are_never_built():
    structure = sets(SIZES["ragged"])
    ours, x = layer(), features(structure)
    ours(x, structure).sum().backward()
    assert "_edges" not in structure.__dict__
    assert explain_lowering(ours, x, structure)[0].ran == "sdpa"
    ours.attention.lowering = "message"
    ours(x, structure)
    assert "_edges" in structure.__dict__


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (Complete([0, 2, 5]).edge_index, "the graph is not given as Complete(ptr)"),
        (Chain([0, 2, 5]), "the graph is not given as Complete(ptr)"),
        (Complete([0, 2, 5], self_loops=False), "an element is not its own neighbour"),
    ],
    ids=["edges", "chain", "no_loops"],
)
def test_other_graphs_run_compiled(graph, reason):
    ours, x = layer(), torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    row = explain_lowering(ours, x, graph)[0]
    assert row.ran == "compiled"
    assert reason in row.refused["sdpa"]
    out = ours(x, graph)
    ours.attention.lowering = "message"
    close(ours(x, graph), out)
    ours.attention.lowering = "sdpa"
    with pytest.raises(ValueError, match="`lowering` 'sdpa' of DotProductAttention does not apply"):
        ours(x, graph)


def test_a_hook_sees_every_message():
    ours, structure, seen = layer(), sets([2, 3]), []
    x = features(structure)
    expected = ours(x, structure)
    ours.attention.register_message_forward_hook(lambda module, args, out: seen.append(out.size(0)))
    close(ours(x, structure), expected)
    assert seen == [4 + 9]


def test_state_dicts_interchange():
    ours, theirs = layer(), layer(seed=1, cls=nn.TransformerEncoderLayer)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    torchs(ours)
    torch.manual_seed(3)
    fresh = TransformerEncoderLayer(8, 2).state_dict()
    torch.manual_seed(3)
    for name, value in nn.TransformerEncoderLayer(8, 2).state_dict().items():
        assert torch.equal(fresh[name], value)


@pytest.mark.parametrize("name", ["sdpa", "compiled", "message"])
def test_dropout_keeps_the_mean(name):
    torch.manual_seed(0)
    attend, structure = DotProductAttention(dropout=0.5), sets([1000])
    attend.lowering = name
    value = torch.ones(1000, 1, 1, dtype=torch.float64)
    out = attend(0 * value, 0 * value, value, structure)
    assert abs(float(out.mean()) - 1) < 2e-2
    assert float(out.std()) > 1e-3
    close(attend.eval()(0 * value, 0 * value, value, structure), value)


def test_second_derivatives_with_dropout():
    ours, structure = layer(dropout=0.5), sets([3, 4])
    x = features(structure)
    torch.manual_seed(0)
    for derivative in derivatives(lambda x: ours(x, structure), x, ours.parameters()):
        assert torch.isfinite(derivative).all()


def test_dropped_weights_are_not_the_formulas():
    """Under dropout the backward pass sees the weights that were dropped: the output is linear in the values."""
    attend, structure = DotProductAttention(dropout=0.5), sets([3, 4])
    x = features(structure).detach().view(-1, 2, 4)
    value = x.clone().requires_grad_()
    torch.manual_seed(0)
    out = attend(x, x, value, structure)
    (slope,) = torch.autograd.grad(out, value, torch.ones_like(out), create_graph=True)
    close((slope * value).sum(), out.sum())


def test_gradient_of_only_some_inputs():
    structure = sets([3, 2])
    query, key, value = (features(structure, 6, seed).view(-1, 2, 3).detach() for seed in range(3))
    for position in range(3):
        found = []
        for name in ("sdpa", "message"):
            attend = DotProductAttention()
            attend.lowering = name
            given = [query, key, value]
            leaf = given[position] = given[position].clone().requires_grad_()
            found.append([g for twice in (False, True) for g in gradients(attend(*given, structure), [leaf], twice)])
        for actual, expected in zip(*found):
            close(actual, expected)


def test_transforms_of_torch_func():
    structure, attend = sets([2, 1]), DotProductAttention()
    x = features(structure, 2).detach()

    def loss(x, form="auto"):
        attend.lowering = form
        rows = x.view(3, 1, 2)
        return attend(rows, 2 * rows, rows.sin(), structure).pow(2).sum()

    expected = torch.autograd.functional.hessian(lambda x: loss(x, "message"), x)
    close(torch.func.hessian(loss)(x), expected)
    close(torch.func.jvp(loss, (x,), (torch.ones_like(x),))[1], torch.func.grad(loss)(x).sum())


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch looks, where its graph breaks
def test_torch_compile():
    ours, structure = layer(), sets(SIZES["ragged"])
    x = features(structure)
    compiled = torch.compile(ours, backend="eager")
    close(compiled(x, structure), ours(x, structure))
    for actual, expected in zip(gradients(compiled(x, structure), [x]), gradients(ours(x, structure), [x])):
        close(actual, expected)


def test_backward_twice_and_freed():
    ours, structure = layer(), sets([3, 2])
    x = features(structure)
    loss = ours(x, structure).pow(2).sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)[0]
    close(torch.autograd.grad(loss, x)[0], first)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, x)


def test_a_write_between_forward_and_backward_is_seen():
    structure = sets([3, 2])
    x = features(structure).detach().view(-1, 2, 4)
    value = x.clone().requires_grad_()
    held = 2 * value
    out = DotProductAttention()(x, held, held, structure)
    with torch.no_grad():
        held.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


class Whole(nn.Module):
    """A layer on a `Data` that is one set, or a batch of sets."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, data):
        return self.layer(data.x, Complete(data.ptr if "ptr" in data else data.num_nodes))


class Leak(Whole):
    """The layer with one thing broken: an element's place in the list leaks into its features."""

    def forward(self, data):
        data = data.clone()
        data.x = data.x + 0.01 * torch.arange(data.num_nodes, dtype=data.x.dtype)[:, None]
        return super().forward(data)


@pytest.mark.parametrize("name", ["sdpa", "compiled"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_contract(norm_first, name):
    ours = layer(norm_first=norm_first)
    ours.attention.lowering = name
    data = Data(x=features(sets([6])).detach())
    errors = assert_contract(Whole(ours), data, twin=Leak(ours))
    assert max(errors["law"], errors["union"]) < 1e-10 < errors["twin"]


def test_shape_of_x():
    with pytest.raises(ValueError, match=r"`x` must have shape \(n, 8\), got \(2, 3, 8\); lay the sets side by side"):
        layer()(torch.zeros(2, 3, 8, dtype=torch.float64), sets([3, 3]))


def test_rows_of_x():
    with pytest.raises(ValueError, match="`x` must have one row for each of the 6 nodes of the Complete, got 5"):
        layer()(torch.zeros(5, 8, dtype=torch.float64), sets([3, 3]))


def test_heads_must_divide():
    with pytest.raises(ValueError, match="`nhead` must divide `d_model` = 8, got 3"):
        TransformerEncoderLayer(8, 3)


def test_shapes_of_attention():
    with pytest.raises(ValueError, match=r"`query` must have shape \(n, h, c\), `key` and `value` .*, got \(4, 6\)"):
        DotProductAttention()(torch.zeros(4, 6), torch.zeros(4, 6), torch.zeros(4, 6), sets([4]))


def test_share_of_dropout():
    with pytest.raises(ValueError, match=r"`dropout` must lie in 0 .. 1, got 1.5"):
        DotProductAttention(1.5)


def test_the_other_flow_is_left_to_the_edges():
    attend = DotProductAttention()
    attend.flow = "target_to_source"
    x = torch.ones(3, 1, 1)
    assert "flow is" in explain_lowering(attend, x, x, x, sets([3]))[0].refused["sdpa"]


def test_softmax_does_not_overflow():
    structure = sets([2, 3])
    x = 1e3 * features(structure, 8).detach().view(-1, 1, 8)
    found = []
    for name in ("sdpa", "compiled", "message"):
        attend = DotProductAttention()
        attend.lowering = name
        found.append(attend(x, x, x, structure))
    assert torch.isfinite(found[0]).all()
    close(found[0], found[1])
    close(found[0], found[2])

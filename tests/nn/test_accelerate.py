"""Every layer of PyG through `accelerate`: equal to PyG's own path in value and gradient, or refused with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pyg_layers import BY_NAME, CASES, TABLE, TOLERANCE, UNTRIED, committed, neighbour_search, pool, table, tensors
from torch_geometric.nn import MessagePassing
from torch_geometric.nn import conv as convs

from graphgdl.nn import accelerate, explain_lowering

FLOAT32 = ["GCNConv", "SAGEConv-several", "GATv2Conv-attr", "TransformerConv-attr", "NNConv", "EdgeConv", "GENConv"]

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")  # PyG's, of slow paths


@pytest.fixture(autouse=True)
def search():
    with neighbour_search():
        yield


def results(case, layer):
    """Return the values, and the gradients of a random weighted sum of them by inputs and parameters."""
    given = pool(case.dtype)
    args, options = case.arguments(given)
    values = tensors(layer(*args, **options))
    leaves = [t for t in [*case.leaves(given), *layer.parameters()] if t.requires_grad]
    torch.manual_seed(1)
    loss = sum((v * torch.randn_like(v)).sum() for v in values)
    if not values or not loss.requires_grad:
        return [values, []]
    return [values, torch.autograd.grad(loss, leaves, allow_unused=True)]


def compare(case, ours, theirs):
    """Compare with what PyG computes, relative to the largest entry of the values, and of the gradients."""
    for mine, expected in zip(ours, theirs, strict=True):
        assert [m is None for m in mine] == [e is None for e in expected]
        pairs = [(m, e) for m, e in zip(mine, expected, strict=True) if e is not None and e.numel()]
        scale = max((e.abs().max().item() for _, e in pairs), default=0.0)
        assert not expected or scale > 0  # there is something to compare
        for m, e in pairs:
            assert (m.shape, m.dtype) == (e.shape, e.dtype)
            assert (m - e).abs().max().item() <= TOLERANCE[case.dtype] * scale


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_gives_what_pyg_gives_and_runs_as_the_table_says(case):
    layer = accelerate(case.layer())
    assert layer.accelerated.skipped == {}
    assert case.outcome(layer) == committed()[case.name]
    compare(case, results(case, layer), results(case, case.layer()))


@pytest.mark.parametrize("name", FLOAT32)
def test_a_layer_gives_what_pyg_gives_in_float32(name):
    case = replace(BY_NAME[name], dtype=torch.float32)
    layer = accelerate(case.layer())
    assert case.outcome(layer) == "compiled"
    compare(case, results(case, layer), results(case, case.layer()))


class Message(MessagePassing):
    """A layer with one function as its message."""

    def __init__(self, function):
        super().__init__(aggr="sum")
        self.function = function

    def forward(self, pos, edge_index):
        return self.propagate(edge_index, pos=pos)

    def message(self, pos_i, pos_j):
        return self.function(pos_i, pos_j)


MESSAGES = {
    "angle on a grid": lambda a, b: torch.atan2(b[:, :1] - a[:, :1], b[:, 1:2] - a[:, 1:2]),
    "angle of nothing": lambda a, b: torch.atan2((a - b).norm(dim=1), ((a - b) * b).sum(1))[:, None],
    "cross": lambda a, b: torch.linalg.cross(a, b, dim=1) * torch.linalg.cross(b, a * a, dim=-1),
    "cross of one": lambda a, b: torch.linalg.cross(b[:, None], torch.stack([a, a * b], 1), dim=2).flatten(1),
    "cross of several": lambda a, b: (
        torch.linalg.cross(torch.cat([a, b], 1).view(-1, 3), torch.cat([b, b], 1).view(-1, 3)).view(-1, 6).sin()
    ),
    "repeat": lambda a, b: (a[:, None] * b[:, None]).repeat(1, 2, 3).flatten(1).cos() * torch.arange(18.0).double(),
    "repeat of a row": lambda a, b: a * torch.tensor([0.5, 2.0, 3.0]).double().repeat(1, 1),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_angles_and_products_on_a_grid_with_loops_give_what_pyg_gives(name):
    """On a grid differences are zero, and the angle jumps there."""
    pos = torch.cartesian_prod(*[torch.arange(3.0).double() - 1] * 3).requires_grad_()
    edges = torch.cartesian_prod(torch.arange(27), torch.arange(27)).t()
    found = []
    for layer in (accelerate(Message(MESSAGES[name])), Message(MESSAGES[name])):
        value = layer(pos, edges)
        (slope,) = torch.autograd.grad(value.square().sum(), pos, create_graph=True)
        (second,) = torch.autograd.grad(slope.sin().sum(), pos)
        found.append([value, slope, second])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10, equal_nan=True)
    assert {row.ran for row in explain_lowering(accelerate(Message(MESSAGES[name])), pos, edges)} == {"compiled"}


def test_edges_are_not_repeated():
    pos, edges = torch.eye(5, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 4, 0]])
    layer = accelerate(Message(lambda a, b: b.repeat(2, 1).view(2, -1, 3).sum(0)))
    (row,) = explain_lowering(layer, pos, edges)
    assert row.refused == {"compiled": "edges or nodes are repeated"}


def test_every_class_of_pyg_has_its_row():
    tried = {case.title for case in CASES}
    assert sorted([*tried, *UNTRIED]) == sorted(convs.__all__)
    assert set(committed()) == set(BY_NAME)
    assert table(committed()) == TABLE.read_text(encoding="utf-8")


def test_at_least_fifty_classes_run_compiled():
    refused = {BY_NAME[name].title for name, outcome in committed().items() if outcome != "compiled"}
    assert len({case.title for case in CASES} - refused) >= 50


@pytest.mark.parametrize("title", UNTRIED)
def test_what_is_not_tried_cannot_be_built_here(title):
    needs, build = UNTRIED[title]
    try:
        build(getattr(convs, title))
    except ImportError:
        return
    pytest.skip(f"{needs} is installed, and {title} could have a case")

"""Every layer of PyG through `accelerate`: equal to PyG's own path in value and gradient, or refused with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pyg_layers import BY_NAME, CASES, TABLE, TOLERANCE, UNTRIED, committed, neighbour_search, pool, table, tensors
from torch_geometric.nn import conv as convs

from graphgdl.nn import accelerate

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
    pytest.fail(f"{needs} is installed: give {title} a case")

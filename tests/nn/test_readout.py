"""Readouts against loops over the graphs of a batch and against PyG's."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from layer_cases import close, gradients

from graphgdl import nn as gdl
from graphgdl.nn import readout

POOLS = {
    "global_add_pool": lambda rows: rows.sum(0),
    "global_mean_pool": lambda rows: rows.mean(0),
    "global_max_pool": lambda rows: rows.max(0).values,
}
BATCH = torch.tensor([0, 0, 1, 3, 3, 3])  # graph 2 is empty


@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 2, 3)])
@pytest.mark.parametrize("batch", [BATCH, BATCH[torch.tensor([3, 0, 5, 2, 1, 4])]], ids=["sorted", "unsorted"])
@pytest.mark.parametrize("name", POOLS)
def test_equals_a_loop_over_graphs(name, batch, shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    for size in (None, 5):
        rows = [x[batch == g] for g in range(size or 4)]
        expected = torch.stack([POOLS[name](r) if len(r) else x.new_zeros(shape[1:]) for r in rows])
        out = getattr(gdl, name)(x, batch, size)
        close(out, expected)
        close(gradients(out, [x])[0], gradients(expected, [x])[0])


@pytest.mark.parametrize("name", POOLS)
def test_equals_pyg(name):
    x = torch.randn(6, 4, dtype=torch.float64)
    close(getattr(gdl, name)(x, BATCH), getattr(pyg, name)(x, BATCH))
    close(getattr(gdl, name)(x, None), getattr(pyg, name)(x, None))


@pytest.mark.parametrize("name", POOLS)
def test_twice_differentiable(name):
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: getattr(gdl, name)(x, BATCH) ** 3, x)


@pytest.mark.parametrize("name", POOLS)
def test_invariant_to_permutations_within_graphs(name):
    x, order = torch.randn(6, 4, dtype=torch.float64), torch.tensor([5, 2, 0, 4, 1, 3])
    out = getattr(gdl, name)(x, BATCH)
    close(getattr(gdl, name)(x[order], BATCH[order]), out)
    assert (getattr(gdl, name)(x[order], BATCH) - out).abs().max() > 1e-3  # the twin: nodes move, graphs do not


def test_no_nodes():
    empty = torch.empty(0, dtype=torch.int64)
    assert gdl.global_add_pool(torch.empty(0, 3), empty).shape == (0, 3)
    assert gdl.global_max_pool(torch.empty(0, 3), empty, 2).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("name", POOLS)
def test_bad_batch_vectors(name):
    pool, x = getattr(gdl, name), torch.rand(6, 2)
    with pytest.raises(ValueError, match=r"`batch` must hold one integer for each of the 6 rows of `x`, got .*\(5,\)"):
        pool(x, BATCH[:5])
    with pytest.raises(ValueError, match=r"`batch` must hold one integer .* got torch.float32"):
        pool(x, BATCH.float())
    with pytest.raises(ValueError, match=r"must hold values in \[0, 3\), got 3"):
        pool(x, BATCH, 3)


def test_learned_readouts_and_norms_are_pygs():
    names = ["Set2Set", "AttentionalAggregation", "SortAggregation", "BatchNorm", "LayerNorm", "GraphNorm", "PairNorm"]
    names += ["InstanceNorm", "DiffGroupNorm", "MeanSubtractionNorm", "MessageNorm", "GraphSizeNorm"]
    for name in names:
        assert getattr(gdl, name) is getattr(pyg, name)


@pytest.mark.parametrize("name", POOLS)
def test_devices_without_kernels_pool_too(name, monkeypatch):
    """Where the ops have no kernel (CUDA, until they do) the readout is PyG's scatter, with the same numbers."""
    pool, x, batch = getattr(gdl, name), torch.randn(6, 3), torch.tensor([0, 2, 0, 3, 3, 3])
    expected = pool(x, batch, 5)
    assert pool(x.to("meta"), batch.to("meta"), 5).shape == (5, 3)
    monkeypatch.setattr(readout, "_BACKENDS", {"cpu": "none"})
    torch.testing.assert_close(pool(x, batch, 5), expected)


def test_readout_is_the_function_as_a_layer():
    x, batch = torch.randn(6, 3), torch.tensor([0, 2, 0, 3, 3, 3])
    for reduce, name in zip(("sum", "mean", "max"), ("global_add_pool", "global_mean_pool", "global_max_pool")):
        assert torch.equal(gdl.Readout(reduce)(x, batch, 5), getattr(gdl, name)(x, batch, 5))
    with pytest.raises(ValueError, match="`reduce` must be 'sum', 'mean' or 'max', got 'min'"):
        gdl.Readout("min")

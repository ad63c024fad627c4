"""Random messages, compiled and by PyG's message path: value, gradient and second derivative are equal."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from message_grammar import Generated, random_layers
from random_graphs import Graph, graph

from graphgdl.compiler import blocks, kernel

RELATIVE = 1e-10


@pytest.fixture(autouse=True, scope="module")
def small_tiles():
    """Tiles of a few edges: the graphs of these tests are small."""
    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(blocks, "TILE_BYTES", 1)
        patcher.setattr(blocks, "TILE_EDGES", 11)
        patcher.setattr(blocks, "BLOCK_BYTES", 1)
        patcher.setattr(blocks, "BLOCK_EDGES", 5)
        patcher.setattr(kernel, "PART_WORK", 500)
        yield


def inputs_of(layer: Generated, g: Graph, seed: int) -> tuple:
    generator = torch.Generator().manual_seed(seed)
    c, d = layer.widths

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    x = random(g.num_dst, c) if g.square else (random(g.num_src, c), random(g.num_dst, c))
    return x, random(len(g.src), d)


def leaves_of(layer: Generated, x, e) -> list[torch.Tensor]:
    return [*(x if isinstance(x, tuple) else (x,)), e, *layer.parameters()]


def derivatives(layer: Generated, lowering: str, g: Graph, seed: int, second: bool = True) -> dict[str, list[Any]]:
    """Return value, gradients of a nonlinear function of it, and the Hessian times a vector."""
    x, e = inputs_of(layer, g, seed)
    leaves = leaves_of(layer, x, e)
    layer.lowering = lowering
    out = layer(x, g.edge_index, e)
    generator = torch.Generator().manual_seed(seed + 1)
    weight = torch.randn(out.shape, generator=generator, dtype=out.dtype)
    first = torch.autograd.grad((torch.sin(out) * weight).sum(), leaves, create_graph=second, allow_unused=True)
    found = {"value": [out], "gradient": list(first)}
    if second:
        # d/d leaves of <gradient, v>: misses nothing that a detached gradient would lose
        vectors = [None if f is None else torch.randn(f.shape, generator=generator, dtype=f.dtype) for f in first]
        along = sum((f * v).sum() for f, v in zip(first, vectors) if f is not None and f.requires_grad)
        found["needs a gradient"] = [f is not None and f.requires_grad for f in first]
        if isinstance(along, torch.Tensor):
            found["second derivative"] = list(torch.autograd.grad(along, leaves, allow_unused=True))
    return found


def assert_same(layer: Generated, g: Graph, seed: int, relative: float = RELATIVE, second: bool = True) -> bool:
    """Compare; False where eager has no number to compare with, as in the second derivative of a norm at 0."""
    expected = derivatives(layer, "message", g, seed, second)
    if not all(torch.isfinite(t).all() for what in expected for t in expected[what] if isinstance(t, torch.Tensor)):
        return False
    found = derivatives(layer, "compiled", g, seed, second)
    for what, theirs in expected.items():
        mine = found.get(what, [None] * len(theirs))
        if what == "needs a gradient":
            lost = [k for k, (a, b) in enumerate(zip(mine, theirs, strict=True)) if b and not a]
            assert not lost, f"gradients {lost} are detached: {layer.described} on {g}"
            continue
        scale = max((t.detach().abs().max().item() for t in theirs if t is not None and t.numel()), default=0)
        scale = max(scale, 1e-3)
        for k, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            a = torch.zeros_like(b) if a is None and b is not None else a
            b = torch.zeros_like(a) if b is None and a is not None else b
            if a is None:
                continue
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            error = (a - b).abs().max().item() if a.numel() else 0.0
            assert error <= relative * scale, f"{what} {k}: {error} of {scale}: {layer.described} on {g}"
    return True


@st.composite
def small_graphs(draw) -> Graph:
    kind = draw(st.sampled_from(["isolated rows", "repeated edges", "self-loops", "hub", "unsorted", "sorted"]))
    n = draw(st.sampled_from([3, 9, 14]))
    m = n if draw(st.booleans()) else n + 2
    return graph(kind, n, m, draw(st.sampled_from([1, 12, 41])), draw(st.integers(0, 99)))


@settings(max_examples=12)
@given(random_layers(), small_graphs(), st.integers(0, 99))
def test_random_messages(layer, g, seed):
    note(layer.described)
    assume(assert_same(layer, g, seed))


@pytest.mark.slow
@settings(max_examples=500)
@given(random_layers(most=10), small_graphs(), st.integers(0, 99))
def test_many_random_messages(layer, g, seed):
    note(layer.described)
    assume(assert_same(layer, g, seed))


FIXED = {
    "edge network": ([("mlp", 0, 0), ("mul", 0, 1), ("silu", 0, 0)], "sum"),
    "attention": ([("heads", 0, 0), ("leaky_relu", 0, 0), ("softmax", 0, 0), ("mul", 0, 1)], "sum"),
    "several aggregations": ([("linear", 0, 0), ("softplus", 0, 0)], ["mean", "max", "std"]),
    "layer norm": ([("layer norm", 1, 0), ("gelu", 0, 0), ("cat", 0, 2), ("split", 0, 0)], "mean"),
    "degrees": ([("tanh", 0, 0), ("norm", 0, 0)], "mul by degree"),
    "soft aggregation": ([("sub", 1, 2), ("feature softmax", 0, 0), ("wave", 0, 0)], "softmax"),
}


@pytest.mark.parametrize("name", FIXED)
def test_gradcheck_and_gradgradcheck(name):
    """Against finite differences, which share nothing with torch's formulas."""
    plan, aggr = FIXED[name]
    layer = Generated(plan, aggr, (3, 2), "both", 3)
    layer.widths, layer.described, layer.lowering = (3, 2), name, "compiled"
    g = graph("isolated rows", 5, 5, 9, 2)
    x, e = inputs_of(layer, g, 4)
    assert torch.autograd.gradcheck(lambda x, e: layer(x, g.edge_index, e), (x, e))
    assert torch.autograd.gradgradcheck(lambda x, e: layer(x, g.edge_index, e), (x, e), atol=1e-4)


@pytest.mark.parametrize("name", FIXED)
def test_fixed_messages(name):
    plan, aggr = FIXED[name]
    layer = Generated(plan, aggr, (3, 2), "both", 3)
    layer.widths, layer.described = (3, 2), name
    assert assert_same(layer, graph("hub", 12, 12, 50, 2), 1)
    assert assert_same(layer, graph("isolated rows", 7, 12, 30, 2), 1)

"""Each layer against a dense formula of its paper and against PyG's layer: value, gradient, second derivative."""

from __future__ import annotations

import pytest
import torch
from layer_cases import CASES, close, gradients, inputs
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor

from graphgdl.nn import explain_lowering

# torch_sparse builds torch CSR matrices in PyG's layers; torch says so once in a process
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.mark.parametrize("graph", ["mixed", "simple", "empty", "single"])
@pytest.mark.parametrize("lowering", ["auto", "message"])
@each_case
def test_equals_the_dense_formula(case, lowering, graph):
    layer, given = case.ours(), inputs(case, graph=graph)
    layer.lowering = lowering
    x_dst = given.x_src if given.x_dst is None else given.x_dst
    expected = case.dense(layer, given.x_src, x_dst, given.pairs, given.edge)
    out = given.call(layer)
    close(out, expected)
    leaves = [*given.leaves, *layer.parameters()]
    for actual, wanted in zip(gradients(out, leaves), gradients(expected, leaves)):
        close(actual, wanted)


@each_case
def test_the_fast_form_runs_where_it_is_meant_to(case):
    layer, given = case.ours(), inputs(case)
    args = (given.x, given.edge_index) if given.edge is None else (given.x, given.edge_index, given.edge)
    assert explain_lowering(layer, *args)[0].ran == "compiled"


def forms(given, case, form):
    """The graph of `given` as `form`, and the edge input in the order of that form."""
    edges, edge = given.edge_index, given.edge
    n_src = given.x_src.size(0)
    n_dst = n_src if given.x_dst is None else given.x_dst.size(0)
    if form == "tensor":
        return edges, edge
    if form == "int32":
        return edges.int(), edge
    if form == "EdgeIndex":
        return EdgeIndex(edges, sparse_size=(n_src, n_dst)), edge
    if form == "EdgeIndex sorted":
        order = torch.argsort(edges[1], stable=True)
        sort_order = EdgeIndex(edges[:, order], sparse_size=(n_src, n_dst), sort_order="col")
        return sort_order, None if edge is None else edge[order]
    return SparseTensor(row=edges[1], col=edges[0], value=edge, sparse_sizes=(n_dst, n_src)), None


def no_sparse_form(layer):
    """PyG refuses a SparseTensor where self-loops would need edge features."""
    return getattr(layer, "add_self_loops", False) and getattr(layer, "edge_dim", None) is not None


@pytest.mark.parametrize("form", ["tensor", "EdgeIndex", "EdgeIndex sorted", "SparseTensor"])
@each_case
def test_equals_pyg(case, form):
    ours, theirs = case.ours(), case.theirs()
    theirs.load_state_dict(ours.state_dict())
    given = inputs(case, graph="simple")
    if form == "SparseTensor" and no_sparse_form(ours):
        with pytest.raises(NotImplementedError, match="not yet supported"):  # PyG's limit, the same in both
            given.call(ours, *forms(given, case, form))
        return
    graph = [a for a in forms(given, case, form) if a is not None]
    out = ours(given.x, *graph)
    if case.name == "GCNConv-improved" and form != "SparseTensor":
        graph.append(torch.ones(given.edge_index.size(1), dtype=torch.float64))  # PyG 2.8 forgets `improved` otherwise
    if case.title == "GraphConv" and form == "EdgeIndex sorted" and given.edge is None:
        graph[0] = graph[0].as_tensor()  # PyG 2.8 multiplies an EdgeIndex without values in float32 only
    expected = theirs(given.x, *graph)
    close(out, expected)
    ours_leaves, theirs_leaves = ([*given.leaves, *layer.parameters()] for layer in (ours, theirs))
    first, first_expected = gradients(out, ours_leaves, True), gradients(expected, theirs_leaves, True)
    for actual, wanted in zip(first, first_expected):
        close(actual, wanted)


@pytest.mark.parametrize("form", ["tensor", "EdgeIndex", "SparseTensor"])
@each_case
def test_second_derivatives_equal_the_message_path(case, form):
    """Of the tensor form: PyG's own SparseTensor path is not twice differentiable, or wrong where it is."""
    layer, given = case.ours(), inputs(case, graph="simple")
    if form == "SparseTensor" and no_sparse_form(layer):
        return
    leaves = [*given.leaves, *layer.parameters()]
    found = []
    for lowering, shape in (("compiled", form), ("message", "tensor")):
        layer.lowering = lowering
        out = layer(given.x, *[a for a in forms(given, case, shape) if a is not None])
        first = gradients(out.tanh(), leaves, create_graph=True)
        assert all(g.requires_grad for g, leaf in zip(first, leaves) if leaf is given.x_src)
        generator = torch.Generator().manual_seed(3)
        product = sum((g * torch.randn(g.shape, generator=generator, dtype=g.dtype)).sum() for g in first)
        found.append([out, *first, *gradients(product, leaves)])
    for actual, wanted in zip(*found):
        close(actual, wanted)


@each_case
def test_float32_and_int32(case):
    layer, given = case.ours(torch.float32), inputs(case, torch.float32)
    double_given = inputs(case)
    double_layer = case.ours()
    double_layer.load_state_dict(layer.state_dict())
    double_given.x_src.data.copy_(given.x_src.data)
    if given.x_dst is not None:
        double_given.x_dst.data.copy_(given.x_dst.data)
    if given.edge is not None:
        double_given.edge.data.copy_(given.edge.data)
    out = given.call(layer, edge_index=given.edge_index.int())
    close(out.double().float(), double_given.call(double_layer).float())

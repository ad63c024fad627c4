"""Self-loops: one at each node, in PyG's order, with PyG's features and weights."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from layer_cases import close
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import add_self_loops, remove_self_loops

from graphgdl import nn as gdl
from graphgdl.nn.self_loops import with_self_loops

# torch says once in a process that it does not check sparse matrices, which PyG builds
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")

LOOPED = torch.tensor([[0, 2, 1, 3, 3], [1, 2, 0, 3, 1]])
LOOPLESS = LOOPED[:, [0, 2, 4]]
X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "edges", [LOOPED, LOOPLESS, LOOPED[:, :0], LOOPED.int()], ids=["loops", "none", "empty", "int32"]
)
@pytest.mark.parametrize("fill", ["mean", "add", "max", 0.5, torch.tensor([1.0, 2.0])], ids=str)
def test_equals_pyg(edges, fill):
    features = torch.rand(edges.size(1), 2)
    wanted = add_self_loops(*remove_self_loops(edges.long(), features), fill, num_nodes=5)
    looped = with_self_loops(edges, 5)
    assert torch.equal(looped.edge_index.long(), wanted[0])
    assert looped.edge_index.dtype == edges.dtype
    close(looped.features(features, fill), wanted[1])
    assert with_self_loops(edges, 5) is looped
    assert with_self_loops(edges, 6).edge_index.size(1) == looped.edge_index.size(1) + 1


@pytest.mark.parametrize("edges", [LOOPED, LOOPLESS], ids=["loops", "none"])
@pytest.mark.parametrize("improved", [False, True])
def test_weights_and_their_gradient_equal_pyg(edges, improved):
    """The normalised weights as they reach the message: x is the identity, the layer adds nothing."""
    ours = gdl.GCNConv(5, 5, improved=improved, bias=False).double()
    ours.lin.weight.data = torch.eye(5, dtype=torch.float64)
    weight = (torch.rand(edges.size(1), dtype=torch.float64) + 0.5).requires_grad_()
    out = ours(torch.eye(5, dtype=torch.float64), edges, weight)
    index, normalised = gcn_norm(edges, weight, 5, improved)
    wanted = torch.zeros(5, 5, dtype=torch.float64).index_put((index[1], index[0]), normalised, accumulate=True)
    close(out, wanted)
    target = torch.randn(5, 5, dtype=torch.float64)
    close(*(torch.autograd.grad((w * target).sum(), weight)[0] for w in (out, wanted)))


@pytest.mark.parametrize("edges", [LOOPED, LOOPLESS], ids=["loops", "none"])
@pytest.mark.parametrize("improved", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_diagonal_of_a_sparse_tensor_equals_pyg(edges, improved, weighted):
    value = torch.rand(edges.size(1), dtype=torch.float64) + 0.5 if weighted else None
    adjacency = SparseTensor(row=edges[1], col=edges[0], value=value, sparse_sizes=(5, 5))
    ours, theirs = (room.GCNConv(3, 2, improved=improved).double() for room in (gdl, pyg))
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        close(ours(X, adjacency), theirs(X, adjacency))


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("normalize", [False, True])
def test_gcn_options_equal_pyg(cached, flow, normalize):
    ours, theirs = (room.GCNConv(3, 2, cached=cached, flow=flow, normalize=normalize).double() for room in (gdl, pyg))
    theirs.load_state_dict(ours.state_dict())
    weight = torch.rand(5, dtype=torch.float64)
    for args in ((X, LOOPED), (X, LOOPED, weight), (X, LOOPLESS)):  # once cached, the first graph is used for ever
        close(ours(*args), theirs(*args))
    with pytest.raises(ValueError, match="does not support bipartite"):
        ours((X, X), LOOPED)

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.typing import SparseTensor

from graphgdl.domains import from_set
from graphgdl.groups import Permutation
from graphgdl.testing.strategies import graphs


def permutation(n: int) -> st.SearchStrategy[torch.Tensor]:
    return st.permutations(range(n)).map(lambda p: torch.tensor(p, dtype=torch.int64))


def matrix(g: torch.Tensor) -> torch.Tensor:
    """P with P[g[v], v] = 1: the dense form of the action."""
    out = torch.zeros(len(g), len(g), dtype=torch.float64)
    out[g, torch.arange(len(g))] = 1
    return out


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_group_axioms_exhaustively(n: int) -> None:
    group = Permutation(n)
    elements = [torch.tensor(p, dtype=torch.int64) for p in itertools.permutations(range(n))]
    for g in elements:
        assert torch.equal(group.compose(g, group.inverse(g)), group.identity())
        assert torch.equal(group.compose(group.inverse(g), g), group.identity())
        assert torch.equal(group.compose(g, group.identity()), g)
    for g, h in itertools.product(elements, repeat=2):
        assert torch.equal(matrix(group.compose(g, h)), matrix(g) @ matrix(h))


@given(st.data(), graphs())
def test_action_on_graphs(draw: st.DataObject, data: Data) -> None:
    group = Permutation(data.num_nodes)
    g, h = draw.draw(permutation(group.n)), draw.draw(permutation(group.n))
    moved = group.act(g, data)
    assert torch.equal(moved.x, matrix(g) @ data.x)
    for e in range(data.num_edges):
        u, v = data.edge_index[:, e].tolist()
        assert moved.edge_index[:, e].tolist() == [g[u], g[v]]
    assert torch.equal(moved.edge_attr, data.edge_attr)
    twice, once = group.act(g, group.act(h, data)), group.act(group.compose(g, h), data)
    assert torch.equal(twice.x, once.x)
    assert torch.equal(twice.edge_index, once.edge_index)


def test_every_node_attribute_moves_and_nothing_else() -> None:
    data = Data(
        x=torch.rand(4, 2),
        edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]),
        edge_weight=torch.rand(3),
        pos=torch.rand(4, 3),
        train_mask=torch.tensor([True, False, False, True]),
        names=["a", "b", "c", "d"],
        y=torch.tensor([7.0]),
    )
    before = data.clone()
    moved = Permutation(4).act(torch.tensor([1, 2, 3, 0]), data)
    assert moved.names == ["d", "a", "b", "c"]
    assert torch.equal(moved.pos[1:], data.pos[:3])
    assert moved.train_mask.tolist() == [True, True, False, False]
    assert torch.equal(moved.edge_weight, data.edge_weight)
    assert torch.equal(moved.y, data.y)
    assert torch.equal(data.x, before.x)
    assert torch.equal(data.edge_index, before.edge_index)


def test_edges_to_predict_are_renumbered() -> None:
    data = Data(edge_index=torch.tensor([[0], [1]]), edge_label_index=torch.tensor([[0, 3], [1, 2]]), num_nodes=4)
    moved = Permutation(4).act(torch.tensor([3, 2, 0, 1]), data)
    assert moved.edge_label_index.tolist() == [[3, 1], [2, 0]]
    assert moved.edge_index.tolist() == [[3], [2]]


def test_numbers_of_nodes_are_renumbered_as_pyg_counts_them() -> None:
    g = torch.tensor([3, 2, 0, 1])
    data = Data(face=torch.tensor([[0], [1], [2]]), root_index=torch.tensor([2]), num_nodes=4)
    data.parent_index = torch.tensor([1, 1, 0, 2])
    moved = Permutation(4).act(g, data)
    assert moved.face.flatten().tolist() == [3, 2, 0]
    assert moved.root_index.tolist() == [0]
    assert all(int(g[data.parent_index[v]]) == int(moved.parent_index[g[v]]) for v in range(4))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
@pytest.mark.parametrize("sparse", [torch.Tensor.to_sparse_coo, torch.Tensor.to_sparse_csr, SparseTensor.from_dense])
def test_sparse_adjacencies_are_renumbered(sparse: Callable[[torch.Tensor], Any]) -> None:
    g = torch.tensor([3, 2, 0, 1])
    dense = torch.rand(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    dense[dense < 0.5] = 0
    data = Data(x=torch.rand(4, 1), adj_t=sparse(dense))
    moved = Permutation(4).act(g, data).adj_t
    assert type(moved) is type(data.adj_t)
    assert torch.equal(moved.to_dense(), matrix(g) @ dense @ matrix(g).T)


def test_samples_are_seeded_and_uniform() -> None:
    group = Permutation(3)
    a, b = (group.sample(torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(a, b)
    generator = torch.Generator().manual_seed(0)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(1200):
        key = tuple(group.sample(generator).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6
    assert all(140 < count < 260 for count in counts.values())  # 200 each, five standard deviations


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Permutation(-1), "`n` must be a number of nodes, got -1"),
        (
            lambda: Permutation(3).inverse(torch.tensor([0, 0, 1])),
            r"`g` must hold each of 0 .. 2 once, got \[0, 0, 1\]",
        ),
        (lambda: Permutation(3).inverse(torch.tensor([0, 1])), r"`g` must hold each of 0 .. 2 once, got \[0, 1\]"),
        (
            lambda: Permutation(2).act(torch.tensor([1, 0]), torch.zeros(3)),
            r"one row for each of the 2 nodes, got shape",
        ),
        (lambda: Permutation(2).act(torch.tensor([1, 0]), Data(x=torch.zeros(3, 1))), "`x` must have 2 nodes, got 3"),
        (
            lambda: Permutation(2).act(torch.tensor([1, 0]), Batch.from_data_list([Data(x=torch.zeros(1, 1))] * 2)),
            "`x` has `ptr`, which a renumbering would make wrong; act on its graphs before batching",
        ),
        (
            lambda: Permutation(2).act(torch.tensor([1, 0]), from_set(torch.zeros(2, 1))),
            r"`x` has `structure`, which a renumbering would make wrong; take `data.with_edges\(\)`",
        ),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

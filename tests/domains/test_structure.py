"""Structures against networkx, Kronecker products and plain loops; batching, saving, moving, compiling."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils import _pytree as pytree
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.loader import DataLoader

from graphgdl.domains import Chain, Complete, Grid, Structure, StructuredData

CASES: dict[str, Callable[[], Structure]] = {
    "complete": lambda: Complete([0, 3, 3, 4, 8]),
    "complete_without_loops": lambda: Complete([0, 3, 3, 4, 8], self_loops=False),
    "chain": lambda: Chain([0, 3, 3, 4, 8]),
    "chain_bidirectional": lambda: Chain([0, 3, 3, 4, 8], bidirectional=True),
    "grid": lambda: Grid((2, 3, 2)),
    "grids_of_one_shape": lambda: Grid((4, 3), (True, False), ptr=[0, 12, 24]),
    "grids_of_unequal_shape": lambda: Grid([(2, 3), (5, 1), (2, 3)], periodic=True, diagonal=True),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def structure(request: pytest.FixtureRequest) -> Structure:
    return request.param()


def dense(structure: Structure) -> np.ndarray:
    """Adjacency (src, dst) with multiplicities, after checking the contract of `edge_index`."""
    edges = structure.edge_index
    assert edges.dtype == torch.int64
    assert edges.shape == (2, structure.num_edges)
    keys = edges[1] * structure.num_nodes + edges[0]
    assert (keys.diff() > 0).all(), "sorted by destination, then source, no edge twice"
    out = np.zeros((structure.num_nodes, structure.num_nodes), dtype=int)
    np.add.at(out, tuple(edges.numpy()), 1)
    return out


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
grids = shapes.flatmap(lambda s: st.tuples(st.just(s), st.tuples(*[st.booleans()] * len(s))))


@given(grids)
def test_grid_equals_networkx(grid: tuple[tuple[int, ...], tuple[bool, ...]]) -> None:
    shape, periodic = grid
    graph = nx.grid_graph(shape[::-1], periodic=periodic[::-1])
    nodes = list(itertools.product(*map(range, shape)))
    nodes = [v[0] for v in nodes] if len(shape) == 1 else nodes
    expected = nx.to_numpy_array(graph, nodelist=nodes, dtype=int)
    np.fill_diagonal(expected, 0)  # networkx closes a ring of one node by a loop
    assert np.array_equal(dense(Grid(shape, periodic)), expected)


def test_grid_laplacian_is_a_kronecker_sum() -> None:
    shape, periodic = (4, 5, 3), (True, False, True)

    def laplacian(n: int, ring: bool) -> sp.csr_array:
        path = sp.diags_array([np.ones(n - 1)] * 2, offsets=[-1, 1]).tolil()
        if ring:
            path[0, n - 1] = path[n - 1, 0] = 1
        return sp.csr_array(sp.diags_array(path.sum(axis=0)) - path)

    expected = np.zeros((60, 60))
    for axis in range(3):
        factors = [laplacian(n, r) if i == axis else sp.eye_array(n) for i, (n, r) in enumerate(zip(shape, periodic))]
        expected += sp.kron(sp.kron(factors[0], factors[1]), factors[2]).toarray()
    adjacency = dense(Grid(shape, periodic))
    assert np.array_equal(np.diag(adjacency.sum(axis=0)) - adjacency, expected)


@settings(max_examples=50)
@given(grids)
def test_diagonal_grid_equals_definition(grid: tuple[tuple[int, ...], tuple[bool, ...]]) -> None:
    shape, periodic = grid
    nodes = list(itertools.product(*map(range, shape)))

    def near(a: int, b: int, n: int, ring: bool) -> bool:
        return abs(a - b) <= 1 or (ring and abs(a - b) == n - 1)

    expected = [[int(u != v and all(near(*axis) for axis in zip(u, v, shape, periodic))) for v in nodes] for u in nodes]
    assert dense(Grid(shape, periodic, diagonal=True)).tolist() == expected


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_complete_and_chain_equal_dense(n: int) -> None:
    assert np.array_equal(dense(Complete(n)), np.ones((n, n)))
    assert np.array_equal(dense(Complete(n, self_loops=False)), 1 - np.eye(n))
    assert np.array_equal(dense(Chain(n)), np.eye(n, k=1))
    assert np.array_equal(dense(Chain(n, bidirectional=True)), np.eye(n, k=1) + np.eye(n, k=-1))


def test_batch_is_block_diagonal(structure: Structure) -> None:
    blocks = [dense(structure[i]) for i in range(structure.num_graphs)]
    expected = sp.block_diag(blocks).toarray()
    assert np.array_equal(dense(structure), expected)
    assert structure.sizes == tuple(len(block) for block in blocks)
    assert structure.batch.tolist() == [i for i, block in enumerate(blocks) for _ in block]
    assert type(structure).concat([structure[i] for i in range(structure.num_graphs)]) == structure
    assert type(structure).concat([structure, structure]).num_edges == 2 * structure.num_edges


def test_a_union_gives_its_parts_back(structure: Structure) -> None:
    """What moves a structure keeps the parts."""
    parts = [structure, structure[0], type(structure).concat([structure] * 2), structure]
    union = type(structure).concat(parts)
    for twin in (union, copy.deepcopy(union), pickle.loads(pickle.dumps(union)), pytree.tree_map(torch.clone, union)):
        assert [twin[i] for i in range(len(parts))] == parts
        with pytest.raises(IndexError, match=rf"`index` must lie in 0 .. {len(parts) - 1}, got {len(parts)}"):
            twin[len(parts)]


@pytest.mark.parametrize("none", [Complete([0]), Chain([0]), Grid((2, 3), ptr=[0])])
def test_a_structure_of_no_graphs(none: Structure) -> None:
    one = Grid((2, 3)) if isinstance(none, Grid) else type(none)(6)
    assert none.edge_index.shape == (2, 0)
    assert type(none).concat([none, none]).sizes == ()
    union = type(none).concat([none, one, none])
    assert [union[i] for i in range(3)] == [none, one, none]


def test_grid_with_an_empty_axis() -> None:
    assert dense(Grid((0, 3), periodic=(False, True))).shape == (0, 0)
    assert dense(Grid((3, 0), diagonal=True)).shape == (0, 0)


def test_edges_are_built_once_and_not_before_asked(structure: Structure) -> None:
    assert "_edges" not in structure.__dict__
    assert structure.edge_index is structure.edge_index
    assert "_edges" not in copy.copy(structure).__dict__


def test_ptr_is_a_copy() -> None:
    ptr = torch.tensor([0, 2, 5])
    chain = Chain(ptr)
    ptr[1] = 4
    assert chain.sizes == (2, 3)


def test_copies_are_equal_and_others_are_not(structure: Structure) -> None:
    for twin in (copy.deepcopy(structure), pickle.loads(pickle.dumps(structure))):
        assert twin == structure
        assert hash(twin) == hash(structure)
        assert torch.equal(twin.edge_index, structure.edge_index)
    for make in CASES.values():
        assert (make() == structure) == (repr(make()) == repr(structure) and make().sizes == structure.sizes)
    assert structure != structure.ptr


def test_pytree_and_device(structure: Structure) -> None:
    leaves, spec = pytree.tree_flatten(structure)
    assert len(leaves) == 1
    assert pytree.tree_unflatten(leaves, spec) == structure
    moved = structure.to("meta")
    assert moved.device.type == moved.batch.device.type == "meta"
    assert structure.to("cpu") is structure.cpu() is structure
    assert (moved.num_nodes, moved.num_edges) == (structure.num_nodes, structure.num_edges)
    assert pytree.tree_map(lambda t: t.to("meta"), structure).device.type == "meta"


def test_save_and_load_weights_only(structure: Structure) -> None:
    data = StructuredData(torch.rand(structure.num_nodes, 2), structure, y=torch.tensor([1]))
    file = io.BytesIO()
    torch.save(data, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert type(loaded) is StructuredData
    assert loaded.structure == structure
    assert torch.equal(loaded.x, data.x)


def test_compiles_in_one_graph() -> None:
    def total(x: torch.Tensor, structure: Structure) -> torch.Tensor:
        src, dst = structure.edge_index
        return (x[src] * x[dst].cos()).sum(0)

    compiled = torch.compile(total, fullgraph=True, backend="eager")
    for make in (CASES["complete_without_loops"], CASES["chain_bidirectional"], CASES["grids_of_unequal_shape"]):
        structure = make()
        x = torch.rand(structure.num_nodes, 3, dtype=torch.float64)
        torch.testing.assert_close(compiled(x, structure), total(x, make()))


DATA = [
    StructuredData(torch.full((a * b, 1), float(i)), Grid((a, b))) for i, (a, b) in enumerate([(2, 3), (3, 3), (1, 5)])
]


@pytest.mark.parametrize("workers", [0, 1])
def test_data_loader_of_unequal_sizes(workers: int) -> None:
    (batch,) = DataLoader(DATA, batch_size=3, num_workers=workers)
    assert isinstance(batch, Batch)
    assert batch.structure == Grid([(2, 3), (3, 3), (1, 5)])
    assert torch.equal(batch.structure.batch, batch.batch)
    assert torch.equal(batch.structure.ptr, batch.ptr)
    for i, data in enumerate(DATA):
        example = batch.get_example(i)
        assert example.structure == data.structure
        assert torch.equal(example.x, data.x)
    assert batch.to("meta").structure.device.type == "meta"


def same(ours: StructuredData, other: StructuredData) -> bool:
    return ours.structure == other.structure and torch.equal(ours.x, other.x)


def test_data_of_several_graphs_round_trip(structure: Structure) -> None:
    """Data of several graphs, of one, of a batch; batched, batched again, and what came out of a batch batched anew."""
    kinds = [structure, structure[0], type(structure).concat([structure] * 2)]
    items = [StructuredData(torch.rand(kind.num_nodes, 1), kind) for kind in kinds]
    batch = Batch.from_data_list(items)
    assert batch.num_graphs == 3
    assert all(map(same, batch.to_data_list(), items))
    assert all(map(same, batch[1:], items[1:]))
    batches = [batch, Batch.from_data_list(items[:2])]
    nested = Batch.from_data_list(batches)
    assert nested.structure == type(structure).concat([*kinds, *kinds[:2]])
    assert nested.batch.tolist() == torch.cat([batch.batch, batches[1].batch + 3]).tolist()
    assert all(map(same, nested.to_data_list(), batches))
    assert all(map(same, Batch.from_data_list(nested.to_data_list()).to_data_list(), batches))
    assert all(map(same, Batch.from_data_list([nested, nested]).to_data_list(), [nested, nested]))


class Items(InMemoryDataset):
    def __init__(self, items: list[StructuredData]) -> None:
        super().__init__()
        self.data, self.slices = self.collate(items)


def test_in_memory_dataset_gives_the_structures_back(structure: Structure, tmp_path: Path) -> None:
    items = [StructuredData(torch.rand(s.num_nodes, 1), s) for s in (structure, structure[0], structure)]
    dataset = Items(items)
    assert all(map(same, dataset, items))
    dataset.save(items, str(tmp_path / "items.pt"))
    dataset.load(str(tmp_path / "items.pt"), StructuredData)
    assert all(map(same, dataset, items))


def test_the_empty_graph_at_the_end_of_a_batch_counts() -> None:
    batch = Batch.from_data_list([StructuredData(torch.ones(n, 1), Complete(n)) for n in (2, 0)])
    empty = Batch.from_data_list([StructuredData(torch.ones(0, 1), Complete(0))])
    nested = Batch.from_data_list([batch, empty, batch])
    assert nested.batch.tolist() == [0, 0, 3, 3]
    assert torch.equal(nested.batch, nested.structure.batch)


def test_with_edges_is_a_plain_graph() -> None:
    plain = StructuredData(torch.rand(6, 1), Grid((2, 3)), y=torch.tensor([3])).with_edges()
    assert type(plain) is Data
    assert sorted(plain.keys()) == ["edge_index", "x", "y"]
    assert torch.equal(plain.edge_index, Grid((2, 3)).edge_index)


def test_frozen() -> None:
    with pytest.raises(AttributeError, match=r"`ptr` of a Chain is frozen; build a new one"):
        Chain(3).ptr = torch.tensor([0, 4])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Chain(-1), r"`ptr` must start at 0 and never fall, got \[0, -1\]"),
        (lambda: Chain([1, 2]), r"`ptr` must start at 0 and never fall, got \[1, 2\]"),
        (lambda: Complete([0, 3, 2]), r"`ptr` must start at 0 and never fall, got \[0, 3, 2\]"),
        (lambda: Complete([[0, 3]]), r"`ptr` must be a number of nodes or integers \(g \+ 1,\), got shape \(1, 2\)"),
        (lambda: Complete(torch.tensor([0.0, 3.0])), r"`ptr` must be .* of torch.float32; for sizes use"),
        (lambda: Chain([]), r"`ptr` must be .* got shape \(0,\)"),
        (lambda: Grid(()), r"`shape` must be sizes such as \(28, 28\)"),
        (lambda: Grid((2, -1)), r"`shape` must be sizes .* got \(2, -1\)"),
        (lambda: Grid((2, 1.5)), r"`shape` must be sizes .* got \(2, 1.5\)"),
        (lambda: Grid([(2, 2), (3,)]), r"`shape` .* one tuple of 2 sizes for each grid"),
        (lambda: Grid((2, 2), periodic=(True,)), r"`periodic` must be one flag or 2, one for each axis, got 1"),
        (lambda: Grid((2, 2), ptr=[0, 4, 7]), r"`ptr` must give each grid as many nodes .* got sizes \[4, 3\]"),
        (lambda: Grid.concat([Grid((2,)), Grid((2, 2))]), r"`structures` must be of one kind"),
        (lambda: Grid.concat([Grid((2,)), Grid((2,), periodic=True)]), r"`structures` must be of one kind"),
        (lambda: Structure.concat([Complete(2), Complete(2, self_loops=False)]), r"`structures` must be of one kind"),
        (
            lambda: Structure.concat([Chain(2), Complete(2)]),
            r"must be of one kind, got Chain\(.* and, at 1, Complete\(",
        ),
        (lambda: Structure.concat([]), r"`structures` must hold at least one structure"),
        (
            lambda: StructuredData(torch.ones(3, 1), Chain(4)),
            r"`x` must have one row for each of the 4 nodes, got 3 rows",
        ),
    ],
)
def test_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_no_structure_is_refused() -> None:
    with pytest.raises(TypeError, match=r"`structure` must be a Grid, Complete or Chain, got list"):
        StructuredData(torch.ones(3, 1), [Chain(3)])
    with pytest.raises(IndexError, match=r"`index` must lie in 0 .. 1, got 2"):
        Chain([0, 1, 2])[2]
    with pytest.raises(ValueError, match=r"`structure` is missing; pass one such as Complete\(n\)"):
        StructuredData(torch.ones(3, 1)).with_edges()

"""What every domain's `Data` must survive: PyG's loaders, splits and transforms, saving and loading."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader, NeighborLoader
from torch_geometric.transforms import AddSelfLoops, RandomLinkSplit, ToUndirected

from graphgdl.domains import from_edge_list, from_grid, from_networkx, from_scipy, from_sequence, from_set, from_smiles


def weighted_cycle() -> nx.Graph:
    graph = nx.cycle_graph(12)
    nx.set_edge_attributes(graph, {edge: float(i) for i, edge in enumerate(graph.edges)}, "weight")
    nx.set_node_attributes(graph, {i: float(i) for i in graph}, "level")
    return graph


CASES = {
    "networkx": lambda: from_networkx(weighted_cycle(), node_features=("level",)),
    "scipy": lambda: from_scipy(sp.csr_array(nx.to_scipy_sparse_array(weighted_cycle()))),
    "edge_list": lambda: from_edge_list([(i, (i + 1) % 12) for i in range(12)]),
    "smiles": lambda: from_smiles("CC(=O)Oc1ccccc1C(=O)O"),
    "set": lambda: from_set(torch.rand(5, 2), self_loops=False).with_edges(),
    "sequence": lambda: from_sequence(torch.rand(9, 2), bidirectional=True).with_edges(),
    "grid": lambda: from_grid(torch.rand(4, 5), periodic=True).with_edges(),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def data(request: pytest.FixtureRequest) -> Data:
    return request.param()


def test_contract(data: Data) -> None:
    assert type(data.edge_index) is torch.Tensor
    assert data.edge_index.dtype == torch.int64
    assert (data.edge_index[1].diff() >= 0).all()
    assert data.validate(raise_on_error=True)
    assert set(data.keys()) <= {"x", "edge_index", "edge_attr", "edge_weight", "num_nodes", "smiles"}


def test_data_loader(data: Data) -> None:
    batch = next(iter(DataLoader([data, data], batch_size=2)))
    assert batch.num_nodes == 2 * data.num_nodes
    assert torch.equal(batch.edge_index[:, data.num_edges :], data.edge_index + data.num_nodes)


def test_neighbor_loader(data: Data) -> None:
    loader = NeighborLoader(data, num_neighbors=[-1], batch_size=3)
    seen = torch.cat([part.n_id[: part.batch_size] for part in loader])
    assert sorted(seen.tolist()) == list(range(data.num_nodes))
    part = next(iter(loader))
    ends = {tuple(edge) for edge in data.edge_index.t().tolist()}
    sampled = part.n_id[part.edge_index].t().tolist()
    assert {tuple(edge) for edge in sampled} <= ends
    wanted = [edge for edge in ends if edge[1] in (0, 1, 2)]
    assert len(sampled) == len(wanted)


def test_transforms(data: Data) -> None:
    train, _, test = RandomLinkSplit(num_val=0.1, num_test=0.2, is_undirected=True, neg_sampling_ratio=0)(data)
    assert 0 < train.num_edges <= data.num_edges
    assert test.edge_label.numel() > 0
    loops = AddSelfLoops(attr=None)(data)
    assert (loops.edge_index[0] == loops.edge_index[1]).sum() == data.num_nodes
    undirected = ToUndirected()(from_edge_list([(0, 1), (1, 2)], undirected=False))
    assert torch.equal(undirected.edge_index, from_edge_list([(0, 1), (1, 2)]).sort(sort_by_row=True).edge_index)


def test_save_and_load(data: Data, tmp_path: Path) -> None:
    torch.save(data, tmp_path / "data.pt")
    loaded = torch.load(tmp_path / "data.pt", weights_only=True)
    assert type(loaded) is Data
    for key, value in data.to_dict().items():
        assert torch.equal(loaded[key], value) if isinstance(value, torch.Tensor) else loaded[key] == value

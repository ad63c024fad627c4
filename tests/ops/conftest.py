"""The graphs every op is tested on: name -> (number of sources, number of destinations, edge_index)."""

import pytest
import torch


def _random(num_src: int, num_dst: int, num_edges: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(num_src * 101 + num_edges)
    return torch.stack([torch.randint(n, (num_edges,), generator=generator) for n in (num_src, num_dst)])


def _by_destination(edge_index: torch.Tensor) -> torch.Tensor:
    return edge_index[:, edge_index[1].argsort(stable=True)]


GRAPHS = {
    "no nodes": (0, 0, torch.empty(2, 0, dtype=torch.long)),
    "no edges": (3, 3, torch.empty(2, 0, dtype=torch.long)),
    "no sources": (0, 4, torch.empty(2, 0, dtype=torch.long)),
    "one edge": (2, 2, torch.tensor([[1], [0]])),
    "isolated destination": (4, 4, torch.tensor([[0, 1, 3, 2], [1, 1, 3, 0]])),
    "repeated edge": (3, 3, torch.tensor([[0, 0, 2, 0], [1, 1, 0, 1]])),
    "self-loops": (3, 3, torch.tensor([[0, 1, 2, 0], [0, 1, 2, 1]])),
    "hub": (9, 9, torch.stack([torch.arange(9), torch.full((9,), 4)])),
    "unsorted": (6, 6, _random(6, 6, 17)),
    "sorted": (6, 6, _by_destination(_random(6, 6, 18))),
    "bipartite": (5, 3, _random(5, 3, 11)),
    "more destinations": (3, 7, _random(3, 7, 9)),
}


@pytest.fixture(params=GRAPHS)
def graph(request):
    num_src, num_dst, edge_index = GRAPHS[request.param]
    return num_src, num_dst, edge_index.clone()

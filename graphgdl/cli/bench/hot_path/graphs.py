"""The graphs of the benchmark: random, power-law of two sizes, a batch of molecules, a grid, one hub."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class BenchGraph:
    """A directed graph without self-loops and repeated edges, its edges sorted by destination, then source.

    Shapes:
        edge_index (2, e) int64; pos (n, 3) float32, no two neighbours in one place.
    """

    name: str
    num_nodes: int
    edge_index: Tensor
    pos: Tensor

    @property
    def num_edges(self) -> int:
        """Number of directed edges e."""
        return self.edge_index.size(1)

    def to(self, device: str) -> BenchGraph:
        """The same graph on another device."""
        return replace(self, edge_index=self.edge_index.to(device), pos=self.pos.to(device))


def build_graph(name: str, scale: float = 1.0, seed: int = 0) -> BenchGraph:
    """Make the graph `name` of `GRAPHS`; `scale` multiplies the numbers of nodes and edges.

    Raises:
        ValueError: an unknown name.
    """
    import torch

    if name not in GRAPHS:
        raise ValueError(f"`graph` must be one of {', '.join(GRAPHS)} or all, got {name!r}")
    generator = torch.Generator().manual_seed(seed)
    n, edge_index, pos = GRAPHS[name](scale, generator)
    order = (edge_index[1] * n + edge_index[0]).argsort(stable=True)
    return BenchGraph(name, n, edge_index[:, order].contiguous(), pos.float())


Made = tuple[int, "Tensor", "Tensor"]


def random_graph(n: int, e: int, scale: float, generator: Generator) -> Made:
    """Independent uniform ends; a cloud of points, so that neighbours are as far apart as any two nodes."""
    import torch

    n, e = _scaled(n, scale), _scaled(e, scale)
    dst = torch.randint(n, (e + e // 10,), generator=generator)
    src = (dst + torch.randint(1, n, dst.shape, generator=generator)) % n
    return n, _distinct(n, torch.stack([src, dst]), e, generator), _cloud(n, generator)


def power_law(n: int, e: int, scale: float, generator: Generator) -> Made:
    """Ends drawn with weight rank^(-2/3): degrees with a tail of exponent 2.5, as in social and citation networks."""
    import torch

    n, e = _scaled(n, scale), _scaled(e, scale)
    weight = torch.arange(1, n + 1, dtype=torch.float64).pow(-2 / 3)
    names = torch.randperm(n, generator=generator)
    ends = names[torch.multinomial(weight, 2 * (e + e // 2), replacement=True, generator=generator)].view(2, -1)
    return n, _distinct(n, ends[:, ends[0] != ends[1]], e, generator), _cloud(n, generator)


def molecules(count: int, scale: float, generator: Generator) -> Made:
    """A batch of molecule-like graphs: 12 to 24 atoms, at most four bonds each, a tree closed to about two rings."""
    import torch

    edges: list[tuple[int, int]] = []
    places = []
    first = 0
    for _ in range(_scaled(count, scale)):
        size = int(torch.randint(12, 25, (), generator=generator))
        degree, place = [0] * size, torch.zeros(size, 3)
        step = torch.nn.functional.normalize(torch.randn(size, 3, generator=generator), dim=1)
        for atom in range(1, size):
            near = [a for a in range(max(atom - 3, 0), atom) if degree[a] < 3]
            other = near[int(torch.randint(len(near), (), generator=generator))]
            place[atom] = place[other] + 1.5 * step[atom]
            edges.append((first + atom, first + other))
            degree[atom] += 1
            degree[other] += 1
        for start in range(0, size - 6, 8):  # a ring of about six atoms in every eight
            end = start + 5
            if degree[start] < 4 and degree[end] < 4 and (first + end, first + start) not in edges[-size:]:
                edges.append((first + end, first + start))
                degree[start] += 1
                degree[end] += 1
        places.append(place)
        first += size
    both = torch.tensor(edges).t()
    return first, torch.cat([both, both.flip(0)], dim=1), torch.cat(places)


def grid(n: int, scale: float, generator: Generator) -> Made:
    """A square lattice, four neighbours in both directions, row by row."""
    import torch

    side = max(round(math.sqrt(n * scale)), 2)
    node = torch.arange(side * side).view(side, side)
    right = torch.stack([node[:, :-1].flatten(), node[:, 1:].flatten()])
    down = torch.stack([node[:-1].flatten(), node[1:].flatten()])
    pairs = torch.cat([right, down], dim=1)
    pos = torch.stack([node.flatten() // side, node.flatten() % side, 0 * node.flatten()], dim=1)
    return side * side, torch.cat([pairs, pairs.flip(0)], dim=1), pos


def hub(n: int, e: int, scale: float, generator: Generator) -> Made:
    """Every node points to node 0; the other edges are random and sparse."""
    import torch

    n, rest, pos = random_graph(n, e, scale, generator)
    spokes = torch.stack([torch.arange(1, n), torch.zeros(n - 1, dtype=torch.long)])
    return n, torch.cat([spokes, rest[:, rest[1] != 0]], dim=1), pos


GRAPHS: dict[str, Callable[[float, Generator], Made]] = {
    "random-20k": lambda scale, generator: random_graph(20_000, 400_000, scale, generator),
    "random-100k": lambda scale, generator: random_graph(100_000, 1_000_000, scale, generator),
    "power-law": lambda scale, generator: power_law(20_000, 400_000, scale, generator),
    "citation-169k": lambda scale, generator: power_law(169_343, 1_166_243, scale, generator),  # size of ogbn-arxiv
    "molecules": lambda scale, generator: molecules(128, scale, generator),
    "grid": lambda scale, generator: grid(20_000, scale, generator),
    "hub": lambda scale, generator: hub(20_000, 60_000, scale, generator),
}
DEFAULT_GRAPHS = ("random-20k", "molecules")


def _scaled(count: int, scale: float) -> int:
    return max(round(count * scale), 2)


def _distinct(n: int, edge_index: Tensor, e: int, generator: Generator) -> Tensor:
    """`e` of the edges, or all where there are fewer, none twice: torch's CSR cannot differentiate repeated ones."""
    import torch

    keys = (edge_index[0] * n + edge_index[1]).unique()
    keys = keys[torch.randperm(keys.numel(), generator=generator)[:e]]
    return torch.stack([keys // n, keys % n])


def _cloud(n: int, generator: Generator) -> Tensor:
    import torch

    return 1.5 * torch.randn(n, 3, generator=generator)

"""Random graphs of every kind that a compiler meets: empty, hubs, isolated nodes, repeated edges, self-loops."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st


@dataclass
class Graph:
    """A named graph: source and destination of each edge, and numbers of nodes."""

    name: str
    src: torch.Tensor
    dst: torch.Tensor
    num_src: int
    num_dst: int

    @property
    def edge_index(self) -> torch.Tensor:
        return torch.stack([self.src, self.dst])

    @property
    def square(self) -> bool:
        return self.num_src == self.num_dst

    def rows(self, space: str) -> int:
        return {"E": len(self.src), "S": self.num_src, "D": self.num_dst, "N": self.num_dst}[space]


def graph(kind: str, num_src: int, num_dst: int, num_edges: int, seed: int) -> Graph:
    """Return a random graph with what `kind` names."""
    generator = torch.Generator().manual_seed(seed)
    if min(num_src, num_dst) == 0 or kind == "no edges":
        num_edges = 0
    src = torch.randint(max(num_src, 1), (num_edges,), generator=generator)
    dst = torch.randint(max(num_dst, 1), (num_edges,), generator=generator)
    if kind == "isolated rows":
        src, dst = src // 2, dst // 3
    elif kind == "repeated edges":
        src, dst = src[torch.arange(num_edges) // 2 * 2], dst[torch.arange(num_edges) // 2 * 2]
    elif kind == "self-loops" and num_src == num_dst:
        dst = torch.where(torch.arange(num_edges) % 2 == 0, src, dst)
    elif kind == "hub":
        dst = torch.where(torch.arange(num_edges) % 4 > 0, num_dst // 2, dst)
    elif kind == "sorted":
        dst = dst.sort().values
    return Graph(kind, src, dst, num_src, num_dst)


KINDS = ["empty", "no edges", "isolated rows", "repeated edges", "self-loops", "hub", "unsorted", "sorted"]


@st.composite
def graphs(draw, largest: int = 60):
    """Random graphs of every kind."""
    kind = draw(st.sampled_from(KINDS))
    n = 0 if kind == "empty" else draw(st.integers(1, 12))
    m = n if draw(st.integers(0, 2)) else draw(st.integers(1, 9))
    return graph(kind, n, m, draw(st.integers(0, largest)), draw(st.integers(0, 1000)))

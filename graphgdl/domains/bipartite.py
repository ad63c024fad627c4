"""Complete bipartite graphs: two batches of sets, each element of one seen by each element of its partner."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from graphgdl.domains.structure import Complete, Structure


class CompleteBipartite:
    """Complete bipartite graphs, one for each pair of sets: every destination receives from every source of its pair.

    A layer that tells sources from destinations takes it in the place of `edge_index`; it is the neighbourhood of
    attention from one set to another.

    Args:
        src_ptr: number of sources of one graph, or (g + 1,) first sources of the graphs and the number of sources.
        dst_ptr: the same for the destinations.

    Attributes:
        src, dst: the sets, `Complete`.
        num_edges: edges of all graphs together, known without building them.

    Raises:
        ValueError: unequal numbers of graphs, or what `Complete` refuses.

    Example:
        >>> graph = CompleteBipartite([0, 2, 3], [0, 1, 3])
        >>> graph.num_edges, graph.edge_index.tolist()
        (4, [[0, 1, 2, 2], [0, 0, 1, 2]])
    """

    def __init__(self, src_ptr: int | Sequence[int] | Tensor, dst_ptr: int | Sequence[int] | Tensor) -> None:
        self.src, self.dst = Complete(src_ptr), Complete(dst_ptr)
        if self.src.num_graphs != self.dst.num_graphs:
            raise ValueError(
                f"`src_ptr` and `dst_ptr` must be of the same number of graphs, got {self.src.num_graphs} and "
                f"{self.dst.num_graphs}"
            )
        self.num_edges = sum(n * m for n, m in zip(self.src.sizes, self.dst.sizes))

    @cached_property
    def edge_index(self) -> Tensor:
        """Edges, int64 (2, e), sorted by destination, then by source; built once and kept."""
        batch, sizes = self.dst.batch, self.src.ptr.diff()
        degree = sizes[batch]
        dst = torch.repeat_interleave(degree, output_size=self.num_edges)
        position = torch.arange(self.num_edges, device=dst.device) - (degree.cumsum(0) - degree)[dst]
        return torch.stack([self.src.ptr[batch[dst]] + position, dst])

    def __repr__(self) -> str:
        ends = f"num_src={self.src.num_nodes}, num_dst={self.dst.num_nodes}"
        return f"CompleteBipartite(num_graphs={self.src.num_graphs}, {ends})"


def ends_of(graph: Structure | CompleteBipartite) -> tuple[int, int]:
    """Return the numbers of sources and destinations."""
    if isinstance(graph, CompleteBipartite):
        return graph.src.num_nodes, graph.dst.num_nodes
    return graph.num_nodes, graph.num_nodes

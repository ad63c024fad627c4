"""Hypothesis strategies for graphs."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch_geometric.data import Data


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 8, max_edges: int = 20, channels: int = 3) -> Data:
    """Draw directed graphs with random features, float64; self-loops, parallel edges and isolated nodes occur.

    Args:
        draw: given by hypothesis.
        max_nodes: n lies in 1 .. max_nodes.
        max_edges: e lies in 0 .. max_edges.
        channels: of `x` (n, channels) and `edge_attr` (e, channels).
    """
    n = draw(st.integers(1, max_nodes))
    edges = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=max_edges))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return Data(
        x=torch.randn(n, channels, generator=generator, dtype=torch.float64),
        edge_index=torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).t().contiguous(),
        edge_attr=torch.randn(len(edges), channels, generator=generator, dtype=torch.float64),
    )

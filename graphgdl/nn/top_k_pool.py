r"""TopKPool: the nodes with the highest scores stay, gated by their scores.

.. math:: y = \tanh\frac{X p}{|p|}, \qquad \iota = \operatorname{top}_k(y), \qquad X' = (X \odot y)_\iota, \qquad
          A' = A_{\iota, \iota}

Law: equivariant to node permutations, up to the order of the nodes that stay, where no two scores are equal; graphs of a
batch do not mix.
Source: Gao and Ji (2019), Graph U-Nets; PyG's `TopKPooling`, which runs.
Differs: the gate is tanh, as in PyG, not the logistic function.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.pool import TopKPooling
from torch_geometric.nn.pool.select import SelectOutput

from graphgdl.nn.coarsening import Coarse, Coarsening, graph_of_nodes, weighted_edges


class TopKPool(Coarsening):
    """PyG's top-k pooling, with the way back: nodes that were dropped receive 0.

    Args:
        in_channels: number of channels.
        ratio: share of the nodes of each graph that stay, or their number if it is an integer.

    Shapes:
        x (n, in_channels); edge_index (2, e) or a structure; batch (n,) or None; edge_weight (e,) or None -> `Coarse`.

    Raises:
        ValueError: `ratio` is not positive.
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> pool = TopKPool(1, ratio=1)
        >>> _ = pool.pool.select.weight.data.fill_(1.0)
        >>> coarse = pool(torch.tensor([[1.0], [3.0], [2.0]]), torch.tensor([[0, 1], [1, 2]]))
        >>> coarse.select.node_index.tolist()
        [1]
    """

    def __init__(self, in_channels: int, ratio: float | int = 0.5) -> None:
        super().__init__()
        if ratio <= 0:
            raise ValueError(f"`ratio` must be a positive share of the nodes, or their number, got {ratio}")
        self.in_channels = self.out_channels = in_channels
        self.pool = TopKPooling(in_channels, ratio)

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        self.pool.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Any, batch: Tensor | None = None, edge_weight: Tensor | None = None
    ) -> Coarse:
        """Return the graph of the nodes that stay."""
        edges, weight = weighted_edges(edge_index, x, edge_weight)
        batch = graph_of_nodes(edge_index, batch)
        out, kept_edges, kept_weight, kept_batch, kept, _ = self.pool(x, edges, weight, batch)
        select = SelectOutput(kept, x.size(0), torch.arange(kept.size(0), device=x.device), kept.size(0))
        return Coarse(out, kept_edges, kept_weight, None if batch is None else kept_batch, select)

    def __repr__(self) -> str:
        return f"TopKPool({self.in_channels}, ratio={self.pool.ratio})"

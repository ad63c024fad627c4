r"""DotProductAttention: each node averages the values of its neighbours, weighted by query times key.

.. math:: x_i' = \sum_{j \in N(i)} \alpha_{ij} v_j, \qquad
          \alpha_{ij} = \operatorname{softmax}_j \frac{q_i^\top k_j}{\sqrt c}

On the complete graph of a set this is self-attention, on the complete bipartite graph of two sets attention from one to
the other.

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: below 1-WL: a softmax average forgets multiplicities.
Source: Vaswani et al. (2017), Attention Is All You Need, eq. 1.
Differs: nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.utils import softmax

from graphgdl.nn.on_structure import CompiledOnEdges, OnStructure, graph_of
from graphgdl.nn.sdpa import Sdpa


class DotProductAttention(OnStructure, MessagePassing):
    r"""Attention without parameters; on `Complete` and `CompleteBipartite` the lowering `'sdpa'` builds no edge.

    Args:
        dropout: share of the attention weights dropped in training.

    Shapes:
        query (n, h, c), key, value (m, h, c); edge_index (2, e), `EdgeIndex`, `SparseTensor`, torch sparse, or a structure
        on one set of nodes (then m = n), or `CompleteBipartite` -> (n, h, c); a node without neighbours gets 0.

    Raises:
        ValueError: `dropout` is no share; `query`, `key`, `value` do not fit each other or are not (n, h, c).
        TypeError, ValueError: see `graphgdl.nn.on_structure.graph_of`.

    Example:
        >>> import torch
        >>> from graphgdl.domains.structure import Complete
        >>> attend, x = DotProductAttention(), torch.rand(5, 2, 3)
        >>> out = attend(x, x, x, Complete([0, 2, 5]))
        >>> assert torch.allclose(out, attend(x, x, x, Complete([0, 2, 5]).edge_index), atol=1e-6)
    """

    lowerings = {"sdpa": Sdpa(), "compiled": CompiledOnEdges()}  # noqa: RUF012

    def __init__(self, dropout: float = 0.0) -> None:
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"`dropout` must lie in 0 .. 1, got {dropout}")
        super().__init__(node_dim=0)
        self.dropout = dropout

    def forward(self, query: Tensor, key: Tensor, value: Tensor, edge_index: Any) -> Tensor:
        """Return the weighted averages of the values."""
        fit = query.dim() == 3 and query.shape[1:] == key.shape[1:] and key.shape == value.shape
        if not fit:
            raise ValueError(
                f"`query` must have shape (n, h, c), `key` and `value` (m, h, c), got {tuple(query.shape)}, "
                f"{tuple(key.shape)} and {tuple(value.shape)}"
            )
        edge_index = graph_of(edge_index, (key.flatten(1), query.flatten(1)))
        return self.propagate(edge_index, size=(key.size(0), query.size(0)), query=query, key=key, value=value)

    def message(
        self, query_i: Tensor, key_j: Tensor, value_j: Tensor, index: Tensor, ptr: Tensor | None, size_i: int | None
    ) -> Tensor:
        """Return each neighbour's value times its weight."""
        scores = (query_i * key_j).sum(dim=-1) / query_i.size(-1) ** 0.5
        alpha = F.dropout(softmax(scores, index, ptr, size_i), self.dropout, self.training)
        return value_j * alpha.unsqueeze(-1)

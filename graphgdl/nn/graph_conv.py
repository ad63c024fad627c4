r"""GraphConv: the node itself and the weighted sum of its neighbours, each with its own matrix.

.. math:: x_i' = W_1 x_i + W_2 \sum_{j \in N(i)} w_{ji} x_j

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: 1-WL with aggr='add' and injective layers (Theorem 2 of the source), less with 'mean' and 'max'.
Source: Morris et al. (2019), Weisfeiler and Leman Go Neural: Higher-order Graph Neural Networks, the 1-GNN layer.
Differs: the nonlinearity is left to the caller; edge weights are added.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn as pyg

from graphgdl.nn.dense import dense
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered


class GraphConv(Lowered, pyg.GraphConv):
    """The 1-GNN layer of Morris et al.; options and state dict are PyG's.

    Args:
        in_channels: size of each input sample, or (source, destination) sizes; -1 to take it from the first input.
        out_channels: size of each output sample.
        aggr: 'add', 'mean', 'max' or 'min'.
        bias: whether to learn a bias.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c_src), (n_dst, c_dst) or None; edge_index (2, e), `EdgeIndex`, `SparseTensor`
        (n_dst, n_src), torch sparse, or a structure; edge_weight (e,) or None; size (n_src, n_dst) or None
        -> (n_dst, out_channels).

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = GraphConv(1, 1, bias=False)
        >>> _ = [p.data.fill_(1.0) for p in conv.parameters()]
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out = conv(torch.tensor([[1.0], [3.0], [5.0]]), edge_index, torch.tensor([1.0, 10.0]))
        >>> assert out.flatten().tolist() == [1.0, 3.0, 36.0]
    """

    def forward(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None, size: Any = None) -> Tensor:
        """Return the new node features (n_dst, out_channels)."""
        edge_index = edges_of(edge_index, x, size, edge_weight=edge_weight)
        x = (x, x) if isinstance(x, Tensor) else x
        out = dense(self.lin_rel, self.propagate(edge_index, x=x, edge_weight=edge_weight, size=size))
        return out if x[1] is None else dense(self.lin_root, x[1], onto=out)

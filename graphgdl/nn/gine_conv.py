r"""GINEConv: GINConv whose messages read the edge features.

.. math:: x_i' = h\Big((1 + \epsilon)\, x_i + \sum_{j \in N(i)} \operatorname{ReLU}(x_j + e_{ji})\Big)

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: at most 1-WL on graphs with coloured edges.
Source: Hu et al. (2020), Strategies for Pre-training Graph Neural Networks, appendix A.
Differs: nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.typing import OptPairTensor

from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered


class GINEConv(Lowered, pyg.GINEConv):
    r"""The edge-aware graph isomorphism layer of Hu et al.; options and state dict are PyG's.

    Args:
        nn: the network h, (n, c) -> (n, out_channels).
        eps: first value of :math:`\epsilon`.
        train_eps: whether :math:`\epsilon` is learned.
        edge_dim: size of the edge features, mapped linearly to c; None where they already have size c.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c), (n_dst, c) or None; edge_index (2, e), `EdgeIndex`, `SparseTensor` (n_dst, n_src;
        its values stand in for missing edge features), torch sparse, or a structure; edge_attr (e, edge_dim or c);
        size (n_src, n_dst) or None -> (n_dst, out_channels).

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`; without `edge_dim`, edge features of another
        size than x.

    Example:
        >>> import torch
        >>> conv = GINEConv(torch.nn.Identity())
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out = conv(torch.tensor([[1.0], [3.0], [5.0]]), edge_index, torch.tensor([[10.0], [-4.0]]))
        >>> assert out.flatten().tolist() == [1.0, 3.0, 16.0]
    """

    def forward(self, x: Any, edge_index: Any, edge_attr: Tensor | None = None, size: Any = None) -> Tensor:
        """Return the new node features (n_dst, out_channels)."""
        edge_index = edges_of(edge_index, x, size, edge_attr=edge_attr)
        x = (x, x) if isinstance(x, Tensor) else x
        return self.nn(self.propagate(edge_index, x=x, edge_attr=edge_attr, size=size))

    def update(self, inputs: Tensor, x: OptPairTensor) -> Tensor:
        """Add the node itself: PyG does so after `propagate`, here the same loop does it."""
        return inputs if x[1] is None else inputs + (1 + self.eps) * x[1]

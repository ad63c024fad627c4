r"""GINConv: a network on the node plus the sum of its neighbours.

.. math:: x_i' = h\Big((1 + \epsilon)\, x_i + \sum_{j \in N(i)} x_j\Big)

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: 1-WL, with an injective h and enough layers (Theorem 3 of the source).
Source: Xu et al. (2019), How Powerful are Graph Neural Networks?, eq. 4.1.
Differs: nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.typing import OptPairTensor

from graphgdl.nn.dense import dense
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered


class GINConv(Lowered, pyg.GINConv):
    r"""The graph isomorphism layer of Xu et al.; options and state dict are PyG's.

    Args:
        nn: the network h, (n, c) -> (n, out_channels).
        eps: first value of :math:`\epsilon`.
        train_eps: whether :math:`\epsilon` is learned.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c), (n_dst, c) or None; edge_index (2, e), `EdgeIndex`, `SparseTensor` (n_dst, n_src;
        its values are ignored), torch sparse, or a structure; size (n_src, n_dst) or None -> (n_dst, out_channels).

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = GINConv(torch.nn.Identity(), eps=1.0)
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out = conv(torch.tensor([[1.0], [3.0], [5.0]]), edge_index)
        >>> assert out.flatten().tolist() == [2.0, 6.0, 14.0]
    """

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        """Return the new node features (n_dst, out_channels)."""
        edge_index = edges_of(edge_index, x, size)
        x = (x, x) if isinstance(x, Tensor) else x
        return dense(self.nn, self.propagate(edge_index, x=x, size=size))

    def update(self, inputs: Tensor, x: OptPairTensor) -> Tensor:
        """Add the node itself: PyG does so after `propagate`, here the same loop does it."""
        return inputs if x[1] is None else inputs + (1 + self.eps) * x[1]

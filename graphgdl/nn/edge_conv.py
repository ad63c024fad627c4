r"""EdgeConv: a network on the node and its difference to each neighbour.

.. math:: x_i' = \max_{j \in N(i)} h(x_i \,\Vert\, x_j - x_i)

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: at most 1-WL; strictly below with aggr='max' (it forgets multiplicities).
Source: Wang et al. (2019), Dynamic Graph CNN for Learning on Point Clouds, eq. 7 and 8.
Differs: the graph is given, not recomputed from the features.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn as pyg

from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered


class EdgeConv(Lowered, pyg.EdgeConv):
    """The edge convolution of Wang et al.; options and state dict are PyG's.

    Args:
        nn: the network h, (e, 2 c) -> (e, out_channels).
        aggr: 'max', 'add', 'mean' or 'min'.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c), (n_dst, c); edge_index (2, e), `EdgeIndex`, `SparseTensor` (n_dst, n_src; its
        values are ignored), torch sparse, or a structure -> (n_dst, out_channels).

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = EdgeConv(torch.nn.Identity())
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out = conv(torch.tensor([[1.0], [3.0], [5.0]]), edge_index)
        >>> assert out.tolist() == [[0.0, 0.0], [0.0, 0.0], [5.0, -2.0]]
    """

    def forward(self, x: Any, edge_index: Any) -> Tensor:
        """Return the new node features (n_dst, out_channels)."""
        return super().forward(x, edges_of(edge_index, x))

r"""NNConv: each edge's features become the matrix that its message is multiplied with.

.. math:: x_i' = \Theta x_i + \sum_{j \in N(i)} x_j \, h(e_{ji})

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: at most 1-WL on graphs with coloured edges.
Source: Gilmer et al. (2017), Neural Message Passing for Quantum Chemistry, section 5 ("edge network");
Simonovsky and Komodakis (2017), Dynamic Edge-Conditioned Filters in Convolutional Neural Networks on Graphs, eq. 1.
Differs: the update is a sum with a linear map of the node, not a GRU.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn as pyg

from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered


class NNConv(Lowered, pyg.NNConv):
    r"""The edge-conditioned convolution; options and state dict are PyG's.

    Args:
        in_channels: size of each input sample, or (source, destination) sizes.
        out_channels: size of each output sample.
        nn: the network h, (e, edge features) -> (e, in_channels * out_channels).
        aggr: 'add', 'mean', 'max' or 'min'.
        root_weight: whether the node itself enters.
        bias: whether to learn a bias.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c_src), (n_dst, c_dst) or None; edge_index (2, e), `EdgeIndex`, `SparseTensor`
        (n_dst, n_src; its values stand in for missing edge features), torch sparse, or a structure;
        edge_attr (e, edge features); size (n_src, n_dst) or None -> (n_dst, out_channels).

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = NNConv(1, 1, torch.nn.Identity(), root_weight=False, bias=False)
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out = conv(torch.tensor([[1.0], [3.0], [5.0]]), edge_index, torch.tensor([[10.0], [-4.0]]))
        >>> assert out.flatten().tolist() == [0.0, 0.0, -2.0]
    """

    def forward(self, x: Any, edge_index: Any, edge_attr: Tensor | None = None, size: Any = None) -> Tensor:
        """Return the new node features (n_dst, out_channels)."""
        edge_index = edges_of(edge_index, x, size, edge_attr=edge_attr)
        return super().forward(x, edge_index, edge_attr, size)

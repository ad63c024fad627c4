r"""SAGEConv: the node itself and an aggregate of its neighbours, each with its own matrix.

.. math:: x_i' = W_1 x_i + W_2 \operatorname{mean}_{j \in N(i)} x_j

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: strictly below 1-WL with aggr='mean' or 'max' (they forget multiplicities), 1-WL with aggr='sum'.
Source: Hamilton, Ying and Leskovec (2017), Inductive Representation Learning on Large Graphs, algorithm 1.
Differs: the nonlinearity is left to the caller; all neighbours are used, sampling is the loader's; the normalisation to
unit length is an option.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional
from torch_geometric import nn as pyg

from graphgdl.nn.dense import dense
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered


class SAGEConv(Lowered, pyg.SAGEConv):
    """The GraphSAGE layer of Hamilton et al.; options and state dict are PyG's.

    Args:
        in_channels: size of each input sample, or (source, destination) sizes; -1 to take it from the first input.
        out_channels: size of each output sample.
        aggr: 'mean', 'sum', 'max', 'min', any PyG aggregation, or a list of them.
        normalize: scale each output to unit length.
        root_weight: whether the node itself enters.
        project: apply a linear map and a ReLU to the neighbours first.
        bias: whether to learn a bias.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c_src), (n_dst, c_dst) or None; edge_index (2, e), `EdgeIndex`, `SparseTensor`
        (n_dst, n_src; its values are ignored), torch sparse, or a structure; size (n_src, n_dst) or None
        -> (n_dst, out_channels).

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = SAGEConv(1, 1, bias=False)
        >>> _ = [p.data.fill_(1.0) for p in conv.parameters()]
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out = conv(torch.tensor([[1.0], [3.0], [5.0]]), edge_index)
        >>> assert out.flatten().tolist() == [1.0, 3.0, 7.0]
    """

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        """Return the new node features (n_dst, out_channels)."""
        edge_index = edges_of(edge_index, x, size)
        src, dst = (x, x) if isinstance(x, Tensor) else x
        if self.project and hasattr(self, "lin"):
            src = self.lin(src).relu()
        out = dense(self.lin_l, self.propagate(edge_index, x=(src, dst), size=size))
        if self.root_weight and dst is not None:
            out = dense(self.lin_r, dst, onto=out)
        return functional.normalize(out, dim=-1) if self.normalize else out

r"""GATv2Conv: attention whose ranking of the neighbours depends on the node that asks.

.. math:: x_i' = \sum_{j \in N(i) \cup \{i\}} \alpha_{ij} \Theta_l x_j, \qquad
          \alpha_{ij} = \operatorname{softmax}_j \; a^\top \operatorname{LeakyReLU}
          (\Theta_l x_j + \Theta_r x_i + \Theta_e e_{ji})

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: below 1-WL: a softmax average forgets multiplicities.
Source: Brody, Alon and Yahav (2022), How Attentive are Graph Attention Networks?, eq. 7.
Differs: two matrices instead of one, unless `share_weights`; edge features are added.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.utils import is_torch_sparse_tensor

from graphgdl.nn.dense import dense
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered
from graphgdl.nn.self_loops import with_self_loops


class GATv2Conv(Lowered, pyg.GATv2Conv):
    r"""The dynamic graph attention layer of Brody et al.; options and state dict are PyG's.

    Args:
        in_channels: size of each input sample, or (source, destination) sizes; -1 to take it from the first input.
        out_channels: size of each head's output.
        heads: number of heads h.
        concat: concatenate the heads, or average them.
        negative_slope: slope of the LeakyReLU below 0.
        dropout: share of the attention weights dropped in training.
        add_self_loops: whether each node attends to itself too.
        edge_dim: size of the edge features, None where there are none.
        fill_value: features of the added self-loops: a number, a tensor, or 'mean', 'add', 'min', 'max', 'mul'.
        bias: whether to learn biases.
        share_weights: use one matrix for both ends.
        residual: whether to add a linear map of the node itself.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c_src), (n_dst, c_dst); edge_index (2, e), `EdgeIndex`, `SparseTensor`
        (n_dst, n_src), torch sparse, or a structure; edge_attr (e, edge_dim) or None -> (n_dst, h * out_channels), or
        (n_dst, out_channels) without `concat`; with `return_attention_weights` also (edge_index, alpha (e, h)),
        self-loops included.

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = GATv2Conv(1, 1, heads=2, add_self_loops=False)
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out, (_, alpha) = conv(torch.rand(3, 1), edge_index, return_attention_weights=True)
        >>> assert out.shape == (3, 2) and torch.allclose(alpha.sum(dim=0), torch.ones(2))
    """

    def forward(
        self, x: Any, edge_index: Any, edge_attr: Tensor | None = None, return_attention_weights: bool | None = None
    ) -> Any:
        """Return the new node features, and the attention weights if asked for."""
        edge_index = edges_of(edge_index, x, edge_attr=edge_attr)
        if not self.add_self_loops or type(edge_index) is not Tensor or is_torch_sparse_tensor(edge_index):
            return super().forward(x, edge_index, edge_attr, return_attention_weights)
        src, dst = (x, x) if isinstance(x, Tensor) else x
        shape = (-1, self.heads, self.out_channels)
        x_l = dense(self.lin_l, src).view(shape)
        x_r = x_l if dst is src and self.share_weights else dense(self.lin_r, dst).view(shape)
        looped = with_self_loops(edge_index, min(src.size(0), dst.size(0)))
        features = None if edge_attr is None else looped.features(edge_attr, self.fill_value)
        alpha = self.edge_updater(looped.edge_index, x=(x_l, x_r), edge_attr=features)
        out = self.propagate(looped.edge_index, x=(x_l, x_r), alpha=alpha)
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        if self.res is not None:
            out = out + self.res(dst)
        if self.bias is not None:
            out = out + self.bias
        return (out, (looped.edge_index, alpha)) if return_attention_weights else out

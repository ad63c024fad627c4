r"""GATConv: neighbours weighted by additive attention.

.. math:: x_i' = \sum_{j \in N(i) \cup \{i\}} \alpha_{ij} \Theta x_j, \qquad
          \alpha_{ij} = \operatorname{softmax}_j \operatorname{LeakyReLU}
          (a_s^\top \Theta x_j + a_t^\top \Theta x_i + a_e^\top \Theta_e e_{ji})

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: below 1-WL: a softmax average forgets multiplicities.
Source: Veličković et al. (2018), Graph Attention Networks, eq. 1-6.
Differs: edge features are added; the nonlinearity is left to the caller.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.utils import is_torch_sparse_tensor

from graphgdl.nn.dense import dense
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered
from graphgdl.nn.self_loops import with_self_loops


class GATConv(Lowered, pyg.GATConv):
    r"""The graph attention layer of Veličković et al.; options and state dict are PyG's.

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
        bias: whether to learn a bias.
        residual: whether to add a linear map of the node itself.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c_src), (n_dst, c_dst) or None; edge_index (2, e), `EdgeIndex`, `SparseTensor`
        (n_dst, n_src), torch sparse, or a structure; edge_attr (e, edge_dim) or None; size (n_src, n_dst) or None
        -> (n_dst, h * out_channels), or (n_dst, out_channels) without `concat`; with `return_attention_weights` also
        (edge_index, alpha (e, h)), self-loops included.

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = GATConv(1, 1, heads=2, add_self_loops=False)
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out, (_, alpha) = conv(torch.rand(3, 1), edge_index, return_attention_weights=True)
        >>> assert out.shape == (3, 2) and torch.allclose(alpha.sum(dim=0), torch.ones(2))
    """

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        size: Any = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Return the new node features, and the attention weights if asked for."""
        edge_index = edges_of(edge_index, x, size, edge_attr=edge_attr)
        if not self.add_self_loops or type(edge_index) is not Tensor or is_torch_sparse_tensor(edge_index):
            return super().forward(x, edge_index, edge_attr, size, return_attention_weights)
        src, dst = (x, x) if isinstance(x, Tensor) else x
        to_src, to_dst = (self.lin, self.lin) if self.lin is not None else (self.lin_src, self.lin_dst)
        shape = (-1, self.heads, self.out_channels)
        x_src: Tensor = dense(to_src, src).view(shape)
        x_dst = x_src if dst is src and to_dst is to_src else None if dst is None else dense(to_dst, dst).view(shape)
        scores: tuple[Tensor | None, ...]
        if x_dst is x_src:
            scores = _products(x_src, self.att_src, self.att_dst)
        else:
            scores = (*_products(x_src, self.att_src), None)
            if x_dst is not None:
                scores = scores[0], *_products(x_dst, self.att_dst)
        looped = with_self_loops(edge_index, min(size or [t.size(0) for t in (src, dst) if t is not None]))
        features = None if edge_attr is None else looped.features(edge_attr, self.fill_value)
        alpha = self.edge_updater(looped.edge_index, alpha=scores, edge_attr=features, size=size)
        out = self.propagate(looped.edge_index, x=(x_src, x_dst), alpha=alpha, size=size)
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        if self.res is not None and dst is not None:
            out = out + self.res(dst)
        if self.bias is not None:
            out = out + self.bias
        return (out, (looped.edge_index, alpha)) if return_attention_weights else out


def _products(x: Tensor, *vectors: Tensor) -> tuple[Tensor, ...]:
    """Return (n, h) for each vector (1, h, c): its products with x (n, h, c), all by one matrix of blocks (h c, k h)."""
    blocks = torch.cat(vectors).transpose(1, 2).diag_embed().permute(2, 1, 0, 3)  # (h, c, k, h)
    found = x.flatten(1) @ blocks.flatten(2).flatten(0, 1)
    return found.view(len(x), len(vectors), x.size(1)).unbind(1)

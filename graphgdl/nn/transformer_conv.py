r"""TransformerConv: scaled dot-product attention over the neighbours.

.. math:: x_i' = W_1 x_i + \sum_{j \in N(i)} \alpha_{ij} (W_2 x_j + W_6 e_{ji}), \qquad
          \alpha_{ij} = \operatorname{softmax}_j \frac{(W_3 x_i)^\top (W_4 x_j + W_6 e_{ji})}{\sqrt c}

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: below 1-WL: a softmax average forgets multiplicities.
Source: Shi et al. (2021), Masked Label Prediction: Unified Message Passing Model for Semi-Supervised Classification,
eq. 3-5.
Differs: the layer norm and the ReLU of the gated residual are left to the caller.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.typing import SparseTensor

from graphgdl.nn.dense import dense
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.lowering import Lowered


class TransformerConv(Lowered, pyg.TransformerConv):
    r"""The graph transformer layer of Shi et al.; options and state dict are PyG's.

    Args:
        in_channels: size of each input sample, or (source, destination) sizes; -1 to take it from the first input.
        out_channels: size of each head's output.
        heads: number of heads h.
        concat: concatenate the heads, or average them.
        beta: mix node and neighbours by a learned gate.
        dropout: share of the attention weights dropped in training.
        edge_dim: size of the edge features, None where there are none.
        bias: whether to learn biases.
        root_weight: whether the node itself enters.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, c) or a pair (n_src, c_src), (n_dst, c_dst); edge_index (2, e), `EdgeIndex`, `SparseTensor`
        (n_dst, n_src), torch sparse, or a structure; edge_attr (e, edge_dim) or None -> (n_dst, h * out_channels), or
        (n_dst, out_channels) without `concat`; with `return_attention_weights` also (edge_index, alpha (e, h)).

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = TransformerConv(1, 1, heads=2)
        >>> edge_index = torch.tensor([[0, 1], [2, 2]])
        >>> out, (_, alpha) = conv(torch.rand(3, 1), edge_index, return_attention_weights=True)
        >>> assert out.shape == (3, 2) and torch.allclose(alpha.sum(dim=0), torch.ones(2))
    """

    _alpha: Tensor | None  # what `message` leaves for `forward`

    @property
    def inert(self) -> tuple[str, ...]:
        """Parameters that cannot matter: this bias adds the same to all scores; PyG keeps `lin_skip` unused as well."""
        return ("lin_key.bias",) if self.root_weight else ("lin_key.bias", "lin_skip.weight", "lin_skip.bias")

    def forward(
        self, x: Any, edge_index: Any, edge_attr: Tensor | None = None, return_attention_weights: bool | None = None
    ) -> Any:
        """Return the new node features, and the attention weights if asked for."""
        edge_index = edges_of(edge_index, x, edge_attr=edge_attr)
        src, dst = (x, x) if isinstance(x, Tensor) else x
        maps = ((self.lin_query, dst), (self.lin_key, src), (self.lin_value, src))
        query, key, value = (dense(lin, v).view(-1, self.heads, self.out_channels) for lin, v in maps)
        out = self.propagate(edge_index, query=query, key=key, value=value, edge_attr=edge_attr)
        alpha, self._alpha = self._alpha, None
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        if self.root_weight and self.lin_beta is None:
            out = dense(self.lin_skip, dst, onto=out)
        elif self.root_weight:
            root = dense(self.lin_skip, dst)
            gate = self.lin_beta(torch.cat([out, root, out - root], dim=-1)).sigmoid()
            out = gate * root + (1 - gate) * out
        if not isinstance(return_attention_weights, bool):
            return out
        assert alpha is not None  # `message` keeps it
        if isinstance(edge_index, SparseTensor):
            return out, edge_index.set_value(alpha, layout="coo")
        return out, (edge_index, alpha)

r"""MultiheadAttentionBlock: attention from one set to another, then a small network at each element (MAB).

.. math:: \operatorname{MAB}(X, Y) = \operatorname{LN}(H + \operatorname{ReLU}(W H)), \qquad
          H = \operatorname{LN}(X + \operatorname{Multihead}(X, Y, Y))

Law: equivariant to permutations of X within each set, invariant to those of Y; a disjoint union of pairs of sets gives the
union of the results.
Power: of the elements of X as `DotProductAttention`: a softmax average forgets multiplicities.
Source: Lee et al. (2019), Set Transformer, section 3.1.
Differs: one linear map in place of any row-wise network, as in PyG, whose options and state dict these are (the authors'
code adds the projection of X to queries, where the paper and this layer add X); sets lie side by side as rows with a
structure in place of a padded batch with its mask.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn.aggr import utils as pyg

from graphgdl.groups import Law
from graphgdl.nn.dot_product_attention import DotProductAttention
from graphgdl.nn.laws import permutation_laws


class MultiheadAttentionBlock(pyg.MultiheadAttentionBlock):
    r"""The MAB of the Set Transformer; `block.attention` is the message-passing step, `block.attention.lowering` its form.

    Args:
        channels: size of each element.
        heads: number of heads h.
        layer_norm: whether to norm after attention and after the network.
        dropout: share of the attention weights dropped in training.
        device: of the parameters.

    Shapes:
        x (n, channels), y (m, channels); edge_index `CompleteBipartite` with the elements of y as sources and those of x
        as destinations, or `Complete` where both are one set, or (2, e), ... -> (n, channels).

    Raises:
        ValueError: `x` or `y` have other channels; `heads` does not divide `channels`.
        TypeError, ValueError: see `graphgdl.nn.DotProductAttention`.

    Example:
        >>> from graphgdl.domains import CompleteBipartite
        >>> block = MultiheadAttentionBlock(4, heads=2)
        >>> block(torch.rand(3, 4), torch.rand(5, 4), CompleteBipartite([0, 3, 5], [0, 1, 3])).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        layer_norm: bool = True,
        dropout: float = 0.0,
        device: torch.device | None = None,
    ) -> None:
        if heads < 1 or channels % heads:
            raise ValueError(f"`heads` must divide `channels` = {channels}, got {heads}")
        super().__init__(channels, heads, layer_norm, dropout, device)
        self.attention = DotProductAttention(dropout)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return equivariance to permutations within each set, where x and y are two features of one."""
        return permutation_laws(self, data)

    def forward(self, x: Tensor, y: Tensor, edge_index: Any) -> Tensor:
        """Return the elements of x after they have seen those of y."""
        for name, rows in (("x", x), ("y", y)):
            if rows.dim() != 2 or rows.size(1) != self.channels:
                raise ValueError(
                    f"`{name}` must have shape (n, {self.channels}), got {tuple(rows.shape)}; lay the sets side by side"
                )
        weight, bias, c = self.attn.in_proj_weight, self.attn.in_proj_bias, self.channels
        query = F.linear(x, weight[:c], bias[:c]).unflatten(1, (self.heads, -1))
        key, value = F.linear(y, weight[c:], bias[c:]).unflatten(1, (2, self.heads, -1)).unbind(1)
        out = x + self.attn.out_proj(self.attention(query, key, value, edge_index).flatten(1))
        if self.layer_norm1 is not None:
            out = self.layer_norm1(out)
        out = out + self.lin(out).relu()
        return out if self.layer_norm2 is None else self.layer_norm2(out)

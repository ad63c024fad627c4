r"""SetAttentionBlock: every element of a set attends to the whole set (SAB).

.. math:: \operatorname{SAB}(X) = \operatorname{MAB}(X, X)

Law: equivariant to permutations within each set; the sets of a batch do not mix.
Source: Lee et al. (2019), Set Transformer, section 3.1.
Differs: see `graphgdl.nn.MultiheadAttentionBlock`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.aggr import utils as pyg

from graphgdl.groups import Law
from graphgdl.nn.laws import permutation_laws
from graphgdl.nn.multihead_attention_block import MultiheadAttentionBlock


class SetAttentionBlock(pyg.SetAttentionBlock):
    """The SAB of the Set Transformer; options and state dict are PyG's.

    Args:
        channels, heads, layer_norm, dropout: see `MultiheadAttentionBlock`.

    Shapes:
        x (n, channels); structure `Complete`, or any other graph -> (n, channels).

    Raises:
        TypeError, ValueError: see `MultiheadAttentionBlock`.

    Example:
        >>> import torch
        >>> from graphgdl.domains import Complete
        >>> block, x = SetAttentionBlock(4), torch.rand(5, 4)
        >>> alone = block(x[:2], Complete(2))
        >>> assert torch.allclose(block(x, Complete([0, 2, 5]))[:2], alone, atol=1e-6)
    """

    def __init__(self, channels: int, heads: int = 1, layer_norm: bool = True, dropout: float = 0.0) -> None:
        nn.Module.__init__(self)  # PyG's would draw the parameters of its own block
        self.in_channels = self.out_channels = channels
        self.mab = MultiheadAttentionBlock(channels, heads, layer_norm, dropout)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return equivariance to permutations within each set."""
        return permutation_laws(self, data)

    def forward(self, x: Tensor, structure: Any) -> Tensor:
        """Return the elements after they have seen their set."""
        return self.mab(x, x, structure)

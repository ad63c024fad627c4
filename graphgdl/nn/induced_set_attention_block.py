r"""InducedSetAttentionBlock: the elements of a set see each other through a few learned points (ISAB).

.. math:: \operatorname{ISAB}(X) = \operatorname{MAB}(X, H), \qquad H = \operatorname{MAB}(I, X)

With m points the cost is m n in place of n^2 for a set of n elements.

Law: equivariant to permutations within each set; the sets of a batch do not mix.
Source: Lee et al. (2019), Set Transformer, section 3.1.
Differs: see `graphgdl.nn.MultiheadAttentionBlock`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.aggr import utils as pyg

from graphgdl.domains.structure import Complete
from graphgdl.groups import Law
from graphgdl.nn.laws import permutation_laws
from graphgdl.nn.multihead_attention_block import MultiheadAttentionBlock
from graphgdl.nn.on_structure import check_sets, points_of


class InducedSetAttentionBlock(pyg.InducedSetAttentionBlock):
    """The ISAB of the Set Transformer; options and state dict are PyG's.

    Args:
        channels: size of each element.
        num_induced_points: number of points m.
        heads, layer_norm, dropout: see `MultiheadAttentionBlock`.

    Shapes:
        x (n, channels); structure `Complete` -> (n, channels).

    Raises:
        ValueError: no point.
        TypeError, ValueError: see `MultiheadAttentionBlock` and `graphgdl.nn.on_structure.check_sets`.

    Example:
        >>> block = InducedSetAttentionBlock(4, num_induced_points=2)
        >>> block(torch.rand(5, 4), Complete([0, 2, 5])).shape
        torch.Size([5, 4])
    """

    def __init__(
        self, channels: int, num_induced_points: int, heads: int = 1, layer_norm: bool = True, dropout: float = 0.0
    ) -> None:
        if num_induced_points < 1:
            raise ValueError(f"`num_induced_points` must be at least 1, got {num_induced_points}")
        nn.Module.__init__(self)  # PyG's would draw the parameters of its own blocks
        self.in_channels = self.out_channels = channels
        self.ind = nn.Parameter(torch.empty(1, num_induced_points, channels))
        self.mab1 = MultiheadAttentionBlock(channels, heads, layer_norm, dropout)
        self.mab2 = MultiheadAttentionBlock(channels, heads, layer_norm, dropout)
        self.reset_parameters()

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return equivariance to permutations within each set."""
        return permutation_laws(self, data)

    def forward(self, x: Tensor, structure: Complete) -> Tensor:
        """Return the elements after they have seen the points, which have seen the set."""
        check_sets(structure, x)
        points = points_of(structure, self.ind.size(1))
        h = self.mab1(self.ind[0].repeat(structure.num_graphs, 1), x, points.from_sets)
        return self.mab2(x, h, points.to_sets)

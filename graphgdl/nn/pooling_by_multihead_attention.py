r"""PoolingByMultiheadAttention: learned seeds attend to a set, which leaves a fixed number of vectors of it (PMA).

.. math:: \operatorname{PMA}(X) = \operatorname{MAB}(S, \operatorname{ReLU}(W X))

Law: invariant to permutations within each set; the sets of a batch do not mix.
Power: a softmax average forgets multiplicities: a set and its double give one result.
Source: Lee et al. (2019), Set Transformer, section 3.2.
Differs: see `graphgdl.nn.MultiheadAttentionBlock`; the network on the elements is one layer, as in PyG.
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


class PoolingByMultiheadAttention(pyg.PoolingByMultiheadAttention):
    """The PMA of the Set Transformer; options and state dict are PyG's.

    Args:
        channels: size of each element.
        num_seed_points: number of seeds k.
        heads, layer_norm, dropout: see `MultiheadAttentionBlock`.

    Shapes:
        x (n, channels); structure `Complete` of g sets -> (g, k, channels); the seeds of an empty set see nothing.

    Raises:
        ValueError: no seed.
        TypeError, ValueError: see `MultiheadAttentionBlock` and `graphgdl.nn.on_structure.check_sets`.

    Example:
        >>> pool, x = PoolingByMultiheadAttention(4, num_seed_points=2), torch.rand(5, 4)
        >>> out = pool(x, Complete([0, 2, 5]))
        >>> assert torch.allclose(out, pool(x[[1, 0, 4, 2, 3]], Complete([0, 2, 5])), atol=1e-6)
    """

    def __init__(
        self, channels: int, num_seed_points: int = 1, heads: int = 1, layer_norm: bool = True, dropout: float = 0.0
    ) -> None:
        if num_seed_points < 1:
            raise ValueError(f"`num_seed_points` must be at least 1, got {num_seed_points}")
        nn.Module.__init__(self)  # PyG's would draw the parameters of its own block
        self.in_channels = self.out_channels = channels
        self.lin = nn.Linear(channels, channels)
        self.seed = nn.Parameter(torch.empty(1, num_seed_points, channels))
        self.mab = MultiheadAttentionBlock(channels, heads, layer_norm, dropout)
        self.reset_parameters()

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return invariance to permutations within each set."""
        return permutation_laws(self, data, invariant=True)

    def forward(self, x: Tensor, structure: Complete) -> Tensor:
        """Return what the seeds have seen of each set."""
        check_sets(structure, x)
        k, g = self.seed.size(1), structure.num_graphs
        out = self.mab(self.seed[0].repeat(g, 1), self.lin(x).relu(), points_of(structure, k).from_sets)
        return out.view(g, k, out.size(1))

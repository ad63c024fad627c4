r"""SetTransformer: attention within a set, then attention of a few learned seeds to the set.

.. math:: r = \operatorname{SAB}(\operatorname{PMA}(\operatorname{ISAB}(\dots \operatorname{ISAB}(W X))))

Law: invariant to permutations within each set; the sets of a batch do not mix.
Power: universal for continuous invariant functions of sets of one size (Lee et al. 2019, proposition 1); a set and its
double give one result.
Source: Lee et al. (2019), Set Transformer, section 3.
Differs: see `graphgdl.nn.MultiheadAttentionBlock`.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains import Complete
from graphgdl.groups import Law
from graphgdl.nn import InducedSetAttentionBlock, PoolingByMultiheadAttention, SetAttentionBlock
from graphgdl.nn.laws import permutation_laws
from graphgdl.nn.on_structure import check_sets, points_of


class SetTransformer(nn.Module):
    """One vector for each set, over ragged batches; no edge of a complete graph is built.

    Args:
        in_channels: size of each element.
        hidden_channels: size of the elements between the blocks.
        out_channels: size of what each seed gives.
        num_encoder_blocks: blocks before the pooling.
        num_decoder_blocks: blocks among the seeds after it.
        num_induced_points: points through which the elements see each other; None lets each see each.
        num_seed_points: number of seeds k.
        heads: number of heads of each attention.
        layer_norm: whether the blocks norm.
        dropout: share of the attention weights dropped in training.

    Shapes:
        x (n, in_channels); structure `Complete` of g sets -> (g, k * out_channels), seed by seed.

    Raises:
        ValueError: see the blocks; `x` is not (n, in_channels).
        TypeError: `structure` is no `Complete`.

    Example:
        >>> import torch
        >>> model = SetTransformer(3, 8, 2, num_induced_points=4, heads=2)
        >>> model(torch.rand(5, 3), Complete([0, 2, 5])).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_encoder_blocks: int = 2,
        num_decoder_blocks: int = 1,
        num_induced_points: int | None = None,
        num_seed_points: int = 1,
        heads: int = 4,
        layer_norm: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, num_seed_points * out_channels

        def encoder() -> nn.Module:
            if num_induced_points is None:
                return SetAttentionBlock(hidden_channels, heads, layer_norm, dropout)
            return InducedSetAttentionBlock(hidden_channels, num_induced_points, heads, layer_norm, dropout)

        self.embedding = nn.Linear(in_channels, hidden_channels)
        self.encoders = nn.ModuleList(encoder() for _ in range(num_encoder_blocks))
        self.pool = PoolingByMultiheadAttention(hidden_channels, num_seed_points, heads, layer_norm, dropout)
        self.decoders = nn.ModuleList(
            SetAttentionBlock(hidden_channels, heads, layer_norm, dropout) for _ in range(num_decoder_blocks)
        )
        self.head = nn.Linear(hidden_channels, out_channels)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return invariance to permutations within each set."""
        return permutation_laws(self, data, invariant=True)

    def forward(self, x: Tensor, structure: Complete) -> Tensor:
        """Return one row for each set."""
        check_sets(structure, x)
        if x.dim() != 2 or x.size(1) != self.in_channels:
            raise ValueError(f"`x` must have shape (n, {self.in_channels}), got {tuple(x.shape)}")
        x = self.embedding(x)
        for block in self.encoders:
            x = block(x, structure)
        x = self.pool(x, structure)
        seeds = points_of(structure, x.size(1)).from_sets.dst
        rows = x.flatten(0, 1)
        for block in self.decoders:
            rows = block(rows, seeds)
        return self.head(rows).view(structure.num_graphs, self.out_channels)

"""Graph isomorphism network: sum over the neighbours, then a map that tells sums apart."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Linear, Module, ModuleList, Sequential, Tanh
from torch_geometric.data import Batch, Data

from graphgdl.groups import Law
from graphgdl.nn import GINConv, global_add_pool
from graphgdl.nn.laws import permutation_laws

EPSILON = 2**0.5 - 1  # irrational: with 0 a node's own feature is one more neighbour's


def gin_convs(in_channels: int, hidden: int, layers: int) -> ModuleList:
    """`layers` GIN layers of width `hidden`: a linear map of the sum, then tanh."""
    widths = [in_channels] + [hidden] * (layers - 1)
    return ModuleList(GINConv(Sequential(Linear(width, hidden), Tanh()), eps=EPSILON) for width in widths)


class GIN(Module):
    r"""Sum aggregation, sum readout: as strong as 1-WL, and no stronger.

    .. math:: x_i' = \tanh\Big(W \big((1 + \epsilon) x_i + \sum_{j \in N(i)} x_j\big) + b\Big)

    Law: invariant under permutations.    Power: `1-wl`.
    Source: Xu et al. (2019), "How powerful are graph neural networks?", equation 4.1.
    Differs: one linear map and tanh in the place of a perceptron with ReLU. Sums of an analytic function tell multisets
    apart for almost all weights, those of a piecewise linear one do not: Amir et al. (2023), "Neural injective functions
    for multisets, measures and graphs via a finite witness theorem".

    Args:
        in_channels, out_channels: features of a node, outputs of a graph.
        hidden: width of the layers.
        layers: how many.

    Shapes:
        batch with `x` (n, in_channels), `edge_index` (2, e), `batch` (n,); output (num_graphs, out_channels).
    """

    power = "1-wl"

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 16, layers: int = 4) -> None:
        super().__init__()
        self.convs = gin_convs(in_channels, hidden, layers)
        self.readout = Linear(hidden, out_channels)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return invariance to permutations of the nodes."""
        return permutation_laws(self, data, invariant=True)

    def forward(self, batch: Batch) -> Tensor:
        """Embed each graph of the batch."""
        x = batch.x
        for conv in self.convs:
            x = conv(x, batch.edge_index)
        return self.readout(global_add_pool(x, batch.batch, batch.num_graphs))

"""Graph isomorphism network: sum over the neighbours, then a perceptron."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Linear, Module, ModuleList, ReLU, Sequential
from torch_geometric.data import Batch
from graphgdl.nn import GINConv, global_add_pool


class GIN(Module):
    r"""Sum aggregation with perceptrons, sum readout: as strong as 1-WL, and no stronger.

    .. math:: x_i' = \phi\Big(x_i + \sum_{j \in N(i)} x_j\Big)

    Law: invariant under permutations.    Power: `1-wl`.
    Source: Xu et al. (2019), "How powerful are graph neural networks?", equation 4.1.    Differs: no batch norm.

    Args:
        in_channels, out_channels: features of a node, outputs of a graph.
        hidden: width of the layers.
        layers: how many.

    Shapes:
        batch with `x` (n, in_channels), `edge_index` (2, e), `batch` (n,); output (num_graphs, out_channels).
    """

    power = "1-wl"

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 32, layers: int = 5) -> None:
        super().__init__()
        widths = [in_channels] + [hidden] * layers
        self.convs = ModuleList(
            GINConv(Sequential(Linear(a, hidden), ReLU(), Linear(hidden, b), ReLU()))
            for a, b in zip(widths[:-1], widths[1:])
        )
        self.readout = Linear(hidden, out_channels)

    def forward(self, batch: Batch) -> Tensor:
        """Embed each graph of the batch."""
        x = batch.x
        for conv in self.convs:
            x = conv(x, batch.edge_index)
        return self.readout(global_add_pool(x, batch.batch, batch.num_graphs))

"""Graph attention network."""

from __future__ import annotations

from torch import Tensor
from torch.nn import ELU, Linear, Module, ModuleList
from torch_geometric.data import Batch, Data

from graphgdl.groups import Law
from graphgdl.nn import GATConv, global_add_pool
from graphgdl.nn.laws import permutation_laws


class GAT(Module):
    """Attention over the neighbours, sum readout.

    Law: invariant under permutations.    Power: below `1-wl`: an average over the neighbours forgets multiplicities.
    Source: Veličković et al. (2018), "Graph attention networks".    Differs: nothing in the layer; sum readout.

    Args:
        in_channels, out_channels: features of a node, outputs of a graph.
        hidden: width of the layers, a multiple of `heads`.
        layers: how many.
        heads: of the attention.

    Shapes:
        batch with `x` (n, in_channels), `edge_index` (2, e), `batch` (n,); output (num_graphs, out_channels).
    """

    power = "1-wl"

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 32, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        widths = [in_channels] + [hidden] * layers
        self.convs = ModuleList(GATConv(a, hidden // heads, heads=heads) for a in widths[:-1])
        self.act = ELU()
        self.readout = Linear(hidden, out_channels)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return invariance to permutations of the nodes."""
        return permutation_laws(self, data, invariant=True)

    def forward(self, batch: Batch) -> Tensor:
        """Embed each graph of the batch."""
        x = batch.x
        for conv in self.convs:
            x = self.act(conv(x, batch.edge_index))
        return self.readout(global_add_pool(x, batch.batch, batch.num_graphs))

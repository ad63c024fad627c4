"""GIN on the n copies of a graph with one marked node each."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Linear, Module, Sequential, Tanh
from torch_geometric.data import Batch, Data

from graphgdl.expressivity.lift import MarkedCopies, marked_copies
from graphgdl.expressivity.models.gin import gin_convs
from graphgdl.groups import Law
from graphgdl.nn import global_add_pool
from graphgdl.nn.laws import permutation_laws


class NodeMarkingGIN(Module):
    """GIN on each copy, a nonlinear map of each copy's sum, the sum over the copies.

    Law: invariant under permutations.    Power: `node-marking` (ID-GNN, NGNN and DS-GNN with node marking).
    Source: You et al. (2021), "Identity-aware graph neural networks"; Bevilacqua et al. (2022), "Equivariant subgraph
    aggregation networks", DS-GNN.    Differs: the layers of `GIN` here; parameters and arithmetic are float64, because on
    most Cai-Fürer-Immerman pairs the gap is below the rounding of float32.

    Args:
        in_channels, out_channels: features of a node, outputs of a graph.
        hidden: width of the layers.
        layers: how many; a difference at distance r from the marked node needs r of them.

    Shapes:
        batch of `MarkedCopies`; output (num_graphs, out_channels).
    """

    power = "node-marking"

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 16, layers: int = 8) -> None:
        super().__init__()
        self.convs = gin_convs(in_channels + 1, hidden, layers)
        self.copy = Sequential(Linear(hidden, hidden), Tanh())
        self.readout = Linear(hidden, out_channels)
        self.double()

    @staticmethod
    def transform(data: Data) -> MarkedCopies:
        """Lift a graph to its marked copies."""
        return marked_copies(data)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return invariance to permutations of the nodes."""
        return permutation_laws(self, data, invariant=True)

    def forward(self, batch: Batch) -> Tensor:
        """Embed each graph of the batch."""
        x = batch.x.to(self.readout.weight.dtype)
        for conv in self.convs:
            x = conv(x, batch.edge_index)
        copies = self.copy(global_add_pool(x, batch.copy_index, batch.root_index.numel()))
        return self.readout(global_add_pool(copies, batch.batch[batch.root_index], batch.num_graphs))

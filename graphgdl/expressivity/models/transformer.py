"""Graph transformers: attention between all nodes of a graph, which sees edges only through a positional encoding."""

from __future__ import annotations

from torch import Tensor
from torch.nn import LayerNorm, Linear, Module, ModuleList, ReLU, Sequential
from torch_geometric.data import Batch, Data

from graphgdl.domains import Complete
from graphgdl.expressivity.encoding import closed_walks
from graphgdl.groups import Law
from graphgdl.nn import TransformerConv, global_add_pool
from graphgdl.nn.laws import permutation_laws


class Transformer(Module):
    """Attention over the complete graph, no positional encoding: a function of the set of nodes.

    Law: invariant under permutations.    Power: below `1-wl`; it counts nodes and sees no edge.
    Source: Vaswani et al. (2017), "Attention is all you need", on the nodes of a graph, as in Dwivedi and Bresson (2021).
    Differs: norm first; heads add up to the width; sum readout.

    Args:
        in_channels, out_channels: features of a node, outputs of a graph.
        hidden: width of the layers.
        layers: how many.
        heads: of the attention.

    Shapes:
        batch with `x` (n, in_channels), `batch` (n,), `ptr` (g + 1,); output (num_graphs, out_channels).
    """

    power = "1-wl"

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 32, layers: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.embed = Linear(in_channels, hidden)
        self.attention = ModuleList(
            TransformerConv(hidden, hidden // heads, heads=heads, root_weight=False) for _ in range(layers)
        )
        self.perceptron = ModuleList(
            Sequential(LayerNorm(hidden), Linear(hidden, 2 * hidden), ReLU(), Linear(2 * hidden, hidden))
            for _ in range(layers)
        )
        self.norm = ModuleList(LayerNorm(hidden) for _ in range(layers))
        self.readout = Linear(hidden, out_channels)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return invariance to permutations of the nodes."""
        return permutation_laws(self, data, invariant=True)

    def forward(self, batch: Batch) -> Tensor:
        """Embed each graph of the batch."""
        everyone = Complete(batch.ptr)
        x = self.embed(batch.x)
        for norm, attention, perceptron in zip(self.norm, self.attention, self.perceptron):
            x = x + attention(norm(x), everyone)
            x = x + perceptron(x)
        return self.readout(global_add_pool(x, batch.batch, batch.num_graphs))


class TransformerRWSE(Transformer):
    """The same with closed-walk counts of up to 16 steps as positional encoding.

    Law: invariant under permutations.    Power: `rwse-wl`.
    Source: Rampášek et al. (2022), "Recipe for a general, powerful, scalable graph transformer", for the encoding.
    Differs: see `closed_walks`.
    """

    power = "rwse-wl"
    length = 16

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 32, layers: int = 3, heads: int = 4) -> None:
        super().__init__(in_channels + self.length - 1, out_channels, hidden, layers, heads)

    @classmethod
    def transform(cls, data: Data) -> Data:
        """Append the encoding to the features."""
        import torch

        walks = closed_walks(data.edge_index, data.num_nodes, cls.length)
        return Data(x=torch.cat([data.x, walks.to(data.x.dtype)], dim=1), edge_index=data.edge_index)

"""Controls of the paired comparison, and models with one mistake each."""

import torch
from torch.nn import Linear, Module
from torch_geometric.nn import global_add_pool


class Model(Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.out_channels = out_channels
        self.linear = Linear(in_channels, out_channels)

    def pooled(self, batch):
        return global_add_pool(self.linear(batch.x), batch.batch, batch.num_graphs)


class RandomFeatures(Model):
    """Noise for each node: everything looks different, nothing is separated."""

    def forward(self, batch):
        x = self.linear(batch.x) + torch.randn(batch.num_nodes, self.out_channels, dtype=batch.x.dtype)
        return global_add_pool(x, batch.batch, batch.num_graphs)


class BatchPosition(Model):
    """Adds the place of the graph in the batch, and a little noise so that the covariance is regular."""

    def forward(self, batch):
        place = torch.arange(batch.num_graphs, dtype=batch.x.dtype).unsqueeze(1)
        return self.pooled(batch) + place + 1e-3 * torch.randn(batch.num_graphs, self.out_channels)


class NaN(Model):
    def forward(self, batch):
        return self.pooled(batch) * float("nan")


class WrongShape(Model):
    def forward(self, batch):
        return self.linear(batch.x)


class Integers(Model):
    def forward(self, batch):
        return self.pooled(batch).long()


class BadTransform(Model):
    def transform(self, data):
        return data.x


class Triangles(Model):
    """Counts triangles, but claims to be a plain message-passing network: a leak above its ceiling."""

    power = "1-wl"

    def forward(self, batch):
        adjacency = torch.zeros(batch.num_nodes, batch.num_nodes, dtype=batch.x.dtype)
        adjacency[batch.edge_index[0], batch.edge_index[1]] = 1
        closed = (adjacency @ adjacency * adjacency).sum(1, keepdim=True)
        return global_add_pool(self.linear(closed), batch.batch, batch.num_graphs)

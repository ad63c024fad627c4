"""One example, a module and an input, for each public layer: what `graphgdl verify` runs over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import Conv2d, Flatten, Linear, Module, Sequential, Tanh
from torch_geometric.data import Data

from graphgdl import nn
from graphgdl.domains import Chain, Complete, Grid, Structure, StructuredData
from graphgdl.groups import (
    SE,
    SO,
    Cyclic,
    Dihedral,
    FieldAction,
    FieldType,
    Law,
    Representation,
    direct_sum,
    frequency,
    monomials,
    regular,
    scalars,
    trivial,
)
from graphgdl.models import Blueprint, SetTransformer, Skip, UNet
from graphgdl.nn.coarsening import Coarsening
from graphgdl.nn.planar_laws import DEGREE, about_center

C, OUT, EDGE, N = 4, 6, 3, 7
"""Channels of nodes, of outputs, of edges; number of nodes."""

Input: TypeAlias = Data | Sequence[Data]
Draw = Callable[[torch.Generator], Input]


@dataclass(frozen=True)
class Example:
    """How to make a module and its input.

    Args:
        build: makes the module, from torch's random numbers; for a limit also one for each input.
        draw: makes the input, or for a limit inputs from coarse to fine.
    """

    build: Callable[[], Module | Sequence[Module]]
    draw: Draw

    def make(self, seed: int = 0) -> tuple[Module | Sequence[Module], Input]:
        """Return module and input, the same for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build(), self.draw(torch.Generator().manual_seed(seed))


def nodes(*more: str, size: int = C) -> Draw:
    """Draw nodes without edges: `x`, and further features of the same size."""
    return lambda generator: Data(**{name: torch.randn(N, size, generator=generator) for name in ("x", *more)})


def graph(**channels: int) -> Callable[[torch.Generator], Data]:
    """Draw a graph with `x`, and positive edge inputs of so many channels each; 0 stands for one number an edge."""

    def draw(generator: torch.Generator) -> Data:
        data = Data(x=torch.randn(N, C, generator=generator))
        dst = torch.arange(N).repeat_interleave(3)
        src = (dst + torch.randint(1, N, dst.shape, generator=generator)) % N
        data.edge_index = torch.stack([src, dst])
        for name, size in channels.items():
            data[name] = 0.5 + torch.rand(dst.numel(), *[size] * bool(size), generator=generator)
        return data

    return draw


def on(structure: Structure, *names: str, size: tuple[int, ...] = (C,)) -> Draw:
    """Draw features on a structure: `x`, or what is named."""

    def draw(generator: torch.Generator) -> Data:
        n = structure.num_nodes
        features = {name: torch.randn(n, *size, generator=generator) for name in names or ("x",)}
        return StructuredData(structure=structure, num_nodes=n, **features)

    return draw


class FromFunction(Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.forward = function


class Residual(Module):
    """A network of torch for images: a convolution beside its input, then every other place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv2d(C, C, 3, padding=1, padding_mode="circular")
        self.down = Conv2d(C, OUT, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return images (g, c, h / 2, w / 2)."""
        return self.down(x + torch.tanh(self.conv(x)))


class Sinusoids(Module):
    """`sinusoidal_encoding` of positions on a line."""

    def forward(self, pos: Tensor) -> Tensor:
        """Encode the positions (n, 1)."""
        return nn.sinusoidal_encoding(pos[:, 0], C)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return what shifts of the positions do: each pair of channels turns by the shift times its frequency."""
        line = SE(1)

        def matrix(g: Tensor) -> Tensor:
            sin, cos = nn.sinusoidal_encoding(line.offset(g), C)[0].view(-1, 2).T
            return torch.block_diag(*torch.stack([cos, sin, -sin, cos], dim=1).view(-1, 2, 2))

        turns = Representation(line, C, "sinusoids", matrix)
        return (Law(FieldAction(line, {"pos": line}, output=turns), "shifts of the positions"),)


def mlp(c_in: int, c_out: int) -> Module:
    """Return a small network."""
    return Sequential(Linear(c_in, 8), Tanh(), Linear(8, c_out))


def pairs() -> Module:
    """Return a function of pairs (t, 2, c)."""
    return Sequential(Flatten(), mlp(2 * C, OUT))


def trained(norm: Module) -> Module:
    """Return a norm with running statistics as training leaves them, not all alike."""
    for name, values in norm.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            values.uniform_(0.5, 1.5)
    return norm


def points(generator: torch.Generator) -> Data:
    """Draw points of the plane with `x` and edges."""
    data = graph()(generator)
    data.pos = torch.randn(N, 2, generator=generator)
    return data


def refined() -> list[Module]:
    """Return one kernel, that ends at 2, at the spacings 1, 1/2, 1/4."""
    coarse, *finer = [nn.SteerableConv(MIXED, MIXED, size, spacing=4 / (size + 1)) for size in TAPS]
    for conv in finer:
        conv.load_state_dict(coarse.state_dict())
    return [coarse, *finer]


def smooth(generator: torch.Generator) -> list[Data]:
    """Draw a polynomial, sampled for each of `refined` so that its outputs reach 4 from the centre."""
    weights = torch.randn((DEGREE + 1) * (DEGREE + 2) // 2, MIXED.size, generator=generator).double()
    family = []
    for size in TAPS:
        shape, spacing = (3 * size + 2,) * 2, 4 / (size + 1)
        x = monomials(about_center(shape) * spacing / 8, DEGREE) @ weights
        family.append(StructuredData(x, Grid(shape), spacing=spacing))
    return family


def there_and_back(pool: Coarsening) -> Module:
    """Return a pooling, a layer on the coarse graph, and the way back."""
    return Blueprint([pool, nn.GraphConv(C, C), nn.Unpool()])


def turned() -> Module:
    """Return a network on images that follows quarter turns and gives one row for each image, which does not."""
    lift, conv = nn.GroupLiftingConv(C, 2, 3, C4, padding=1), nn.GroupConv(2, 2, 3, C4, padding=1)
    act = nn.PointwiseNonlinearity(REGULAR, torch.tanh)
    return Blueprint([lift, act, conv, act, nn.GroupPool(REGULAR), nn.Readout("mean"), Linear(2, OUT)])


SETS, CHAINS = Complete([0, 3, N]), Chain([0, 3, N])
TORUS, CYLINDER = Grid((4, 6), periodic=True), Grid((4, 5), periodic=(True, False))
SQUARE, OPEN = Grid((4, 4), periodic=True), Grid((5, 5))
C4, ROTATIONS = Cyclic(4), SO(2)
MIXED = FieldType(direct_sum([trivial(ROTATIONS), frequency(ROTATIONS, 1)]), 2)
TAPS = (3, 7, 15)
REGULAR, ARROWS = FieldType(regular(C4), 2), FieldType(frequency(ROTATIONS, 1), 2)

EXAMPLES = {
    "GCNConv": Example(lambda: nn.GCNConv(C, OUT), graph()),
    "GCNConv, weighted": Example(lambda: nn.GCNConv(C, OUT), graph(edge_weight=0)),
    "SAGEConv": Example(lambda: nn.SAGEConv(C, OUT), graph()),
    "GraphConv": Example(lambda: nn.GraphConv(C, OUT), graph(edge_weight=0)),
    "GINConv": Example(lambda: nn.GINConv(mlp(C, OUT), train_eps=True), graph()),
    "GINEConv": Example(lambda: nn.GINEConv(mlp(C, OUT), edge_dim=EDGE), graph(edge_attr=EDGE)),
    "GATConv": Example(lambda: nn.GATConv(C, OUT, heads=2, edge_dim=EDGE, dropout=0.1), graph(edge_attr=EDGE)),
    "GATv2Conv": Example(lambda: nn.GATv2Conv(C, OUT, heads=2, edge_dim=EDGE, dropout=0.1), graph(edge_attr=EDGE)),
    "TransformerConv": Example(
        lambda: nn.TransformerConv(C, OUT, heads=2, edge_dim=EDGE, dropout=0.1), graph(edge_attr=EDGE)
    ),
    "NNConv": Example(lambda: nn.NNConv(C, OUT, Linear(EDGE, C * OUT)), graph(edge_attr=EDGE)),
    "EdgeConv": Example(lambda: nn.EdgeConv(mlp(2 * C, OUT)), graph()),
    "ApproximatelyEquivariant": Example(
        lambda: nn.ApproximatelyEquivariant(nn.GCNConv(C, OUT), nn.EdgeConv(mlp(2 * C, OUT))), graph()
    ),
    "GridConv": Example(lambda: nn.GridConv(C, OUT, 3, dim=2, padding=1), on(TORUS)),
    "GridConv, stride 2": Example(lambda: nn.GridConv(C, OUT, 3, dim=2, padding=1, stride=2), on(TORUS)),
    "GridConv, on a cylinder": Example(lambda: nn.GridConv(C, OUT, 3, padding=(1, 0)), on(CYLINDER)),
    "GridConvTranspose": Example(lambda: nn.GridConvTranspose(C, OUT, 2, dim=2, stride=2), on(TORUS)),
    "GridPool": Example(lambda: nn.GridPool(3, dim=2, stride=1, padding=1), on(TORUS)),
    "GridPool, stride 2": Example(lambda: nn.GridPool(2, "mean", dim=2), on(TORUS)),
    "GridUpsample": Example(lambda: nn.GridUpsample(2, dim=2), on(TORUS)),
    "GridGlobalPool": Example(nn.GridGlobalPool, on(OPEN)),
    "GridSequential": Example(
        lambda: nn.GridSequential(
            nn.GridConv(C, 8, 3, dim=2, padding=1), Tanh(), nn.GridPool(2, dim=2), nn.GridGlobalPool(), Linear(8, OUT)
        ),
        on(TORUS),
    ),
    "GridNetwork": Example(lambda: nn.from_torch(Residual()), on(TORUS)),
    "GroupLiftingConv": Example(lambda: nn.GroupLiftingConv(C, 2, 3, C4, padding=1), on(SQUARE)),
    "GroupLiftingConv, open": Example(lambda: nn.GroupLiftingConv(C, 2, 3, C4, stride=2), on(OPEN)),
    "GroupConv": Example(lambda: nn.GroupConv(2, 2, 3, Dihedral(4), padding=1), on(SQUARE, size=(16,))),
    "GroupConv, stride 2": Example(lambda: nn.GroupConv(1, 2, 3, C4, padding=1, stride=2), on(SQUARE)),
    "GroupPool": Example(lambda: nn.GroupPool(REGULAR), on(SQUARE, size=(8,))),
    "SteerableConv": Example(lambda: nn.SteerableConv(scalars(C), ARROWS, 3, padding=1), on(SQUARE)),
    "SteerableConv, refined": Example(refined, smooth),
    "SteerablePointConv": Example(lambda: nn.SteerablePointConv(ARROWS, ARROWS, radius=4.0), points),
    "ChainRNN": Example(lambda: nn.ChainRNN(C, OUT, num_layers=2, bias=False), on(CHAINS)),
    "ChainGRU": Example(lambda: nn.ChainGRU(C, OUT, num_layers=2, dropout=0.1), on(CHAINS)),
    "ChainLSTM": Example(lambda: nn.ChainLSTM(C, OUT, bidirectional=True), on(CHAINS)),
    "DotProductAttention": Example(
        lambda: nn.DotProductAttention(dropout=0.1), on(SETS, "query", "key", "value", size=(2, 3))
    ),
    "TransformerEncoderLayer": Example(lambda: nn.TransformerEncoderLayer(C, 2, dim_feedforward=8), on(SETS)),
    "DeepSets": Example(lambda: nn.DeepSets(mlp(C, 8), mlp(8, OUT)), on(SETS)),
    "DeepSetsConv": Example(lambda: nn.DeepSetsConv(C, OUT), on(SETS)),
    "JanossyPooling": Example(lambda: nn.JanossyPooling(2, pairs()), on(SETS)),
    "JanossyPooling, marked": Example(lambda: nn.JanossyPooling(2, pairs(), marked=True), on(SETS)),
    "JanossyPooling, sampled": Example(lambda: nn.JanossyPooling(2, pairs(), num_samples=16), on(SETS)),
    "MultiheadAttentionBlock": Example(lambda: nn.MultiheadAttentionBlock(C, 2, dropout=0.1), on(SETS, "x", "y")),
    "SetAttentionBlock": Example(lambda: nn.SetAttentionBlock(C, 2), on(SETS)),
    "InducedSetAttentionBlock": Example(lambda: nn.InducedSetAttentionBlock(C, 3, 2), on(SETS)),
    "PoolingByMultiheadAttention": Example(lambda: nn.PoolingByMultiheadAttention(C, 2, 2), on(SETS)),
    "SetTransformer": Example(lambda: SetTransformer(C, 8, OUT, num_induced_points=3, heads=2), on(SETS)),
    "HeavyEdgePool": Example(lambda: there_and_back(nn.HeavyEdgePool()), graph(edge_weight=0)),
    "TopKPool": Example(lambda: there_and_back(nn.TopKPool(C)), graph(edge_weight=0)),
    "DiffPool": Example(lambda: there_and_back(nn.DiffPool(C, 3)), graph(edge_weight=0)),
    "MinCutPool": Example(lambda: there_and_back(nn.MinCutPool(C, 3)), graph(edge_weight=0)),
    "Unpool": Example(lambda: Blueprint([nn.TopKPool(C), nn.Unpool()]), graph()),
    "Readout": Example(nn.Readout, nodes()),
    "PointwiseNonlinearity": Example(lambda: nn.PointwiseNonlinearity(REGULAR), nodes(size=8)),
    "NormNonlinearity": Example(lambda: nn.NormNonlinearity(ARROWS), nodes()),
    "GatedNonlinearity": Example(lambda: nn.GatedNonlinearity(ARROWS), nodes()),
    "FieldNorm": Example(lambda: trained(nn.FieldNorm(ARROWS)), nodes()),
    "NormPool": Example(lambda: nn.NormPool(ARROWS), nodes()),
    "Blueprint": Example(
        lambda: Blueprint([nn.GraphConv(C, 8), Tanh(), nn.Readout("mean"), Linear(8, OUT)]), graph(edge_weight=0)
    ),
    "Skip": Example(lambda: Skip([nn.GraphConv(C, C), Tanh()], "add"), graph(edge_weight=0)),
    "Blueprint, turned": Example(turned, on(SQUARE)),
    "UNet": Example(lambda: UNet.on_grid(C, OUT, [8, 16], dim=2), on(TORUS)),
    "UNet, on a graph": Example(lambda: UNet.on_graph(C, OUT, [8, 16]), graph(edge_weight=0)),
    "sinusoidal_encoding": Example(Sinusoids, lambda generator: Data(pos=torch.randn(N, 1, generator=generator))),
    "global_add_pool": Example(lambda: FromFunction(nn.global_add_pool), nodes()),
    "global_mean_pool": Example(lambda: FromFunction(nn.global_mean_pool), nodes()),
    "global_max_pool": Example(lambda: FromFunction(nn.global_max_pool), nodes()),
    "AttentionalAggregation": Example(lambda: nn.AttentionalAggregation(Linear(C, 1, bias=False)), nodes()),
    "DeepSetsAggregation": Example(lambda: nn.DeepSetsAggregation(mlp(C, 8), mlp(8, OUT)), nodes()),
    "GraphMultisetTransformer": Example(lambda: nn.GraphMultisetTransformer(C, k=2, heads=2), nodes()),
    "Set2Set": Example(lambda: nn.Set2Set(C, processing_steps=2), nodes()),
    "SetTransformerAggregation": Example(lambda: nn.SetTransformerAggregation(C, heads=2), nodes()),
    "SoftmaxAggregation": Example(lambda: nn.SoftmaxAggregation(learn=True), nodes()),
    "SortAggregation": Example(lambda: nn.SortAggregation(3), nodes()),
    "BatchNorm": Example(lambda: trained(nn.BatchNorm(C)), nodes()),
    "DiffGroupNorm": Example(lambda: trained(nn.DiffGroupNorm(C, groups=2)), nodes()),
    "GraphNorm": Example(lambda: nn.GraphNorm(C), nodes()),
    "GraphSizeNorm": Example(nn.GraphSizeNorm, nodes()),
    "InstanceNorm": Example(lambda: nn.InstanceNorm(C, affine=True), nodes()),
    "LayerNorm": Example(lambda: nn.LayerNorm(C), nodes()),
    "MeanSubtractionNorm": Example(nn.MeanSubtractionNorm, nodes()),
    "MessageNorm": Example(lambda: nn.MessageNorm(learn_scale=True), nodes("msg")),
    "PairNorm": Example(nn.PairNorm, nodes()),
}

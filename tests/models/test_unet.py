"""UNet: on a grid it is torch's, written out; on both domains it obeys its law, and a broken twin does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphgdl.domains import Grid, StructuredData
from graphgdl.groups import Permutation, Translations
from graphgdl.models import UNet
from graphgdl.models.state import State
from graphgdl.nn import (
    DiffPool,
    GCNConv,
    GraphConv,
    GridConv,
    GridPool,
    GridUpsample,
    MinCutPool,
    TopKPool,
    Unpool,
)
from graphgdl.testing import assert_disjoint_union, assert_equivariant, assert_twin_fails

CHANNELS = [3, 4, 5]


class TorchUNet(nn.Module):
    """Written by hand, as in a tutorial: two poolings."""

    def __init__(self, padding_mode):
        super().__init__()

        def conv(c, d):
            return nn.Conv2d(c, d, 3, padding=1, padding_mode=padding_mode)

        self.down0, self.down1, self.bottom = [
            nn.Sequential(conv(c, d), nn.ReLU(), conv(d, d), nn.ReLU()) for c, d in ((2, 3), (3, 4), (4, 5))
        ]
        self.pool0, self.pool1 = nn.Conv2d(3, 3, 2, stride=2), nn.Conv2d(4, 4, 2, stride=2)
        self.back1, self.back0 = nn.ConvTranspose2d(5, 4, 2, stride=2), nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.up1, self.up0 = [nn.Sequential(conv(2 * d, d), nn.ReLU(), conv(d, d), nn.ReLU()) for d in (4, 3)]
        self.head = nn.Conv2d(3, 7, 1)

    def forward(self, images):
        fine = self.down0(images)
        middle = self.down1(self.pool0(fine))
        coarse = self.bottom(self.pool1(middle))
        middle = self.up1(torch.cat([middle, self.back1(coarse)], dim=1))
        return self.head(self.up0(torch.cat([fine, self.back0(middle)], dim=1)))

    def in_order(self):
        """Parameters in the order of the way through."""
        parts = [self.down0, self.pool0, self.down1, self.pool1, self.bottom]
        parts += [self.back1, self.up1, self.back0, self.up0, self.head]
        return [p for part in parts for p in part.parameters()]


@pytest.mark.parametrize("periodic", [False, True])
def test_on_a_grid_it_is_torchs(periodic):
    torch.manual_seed(0)
    ours, theirs = UNet.on_grid(2, 7, CHANNELS, dim=2).double(), TorchUNet("circular" if periodic else "zeros").double()
    for p, q in zip(theirs.in_order(), ours.parameters(), strict=True):
        p.data.copy_(q.data.view(p.shape))
    images = torch.randn(2, 2, 8, 12, dtype=torch.float64)
    x = images.movedim(1, -1).flatten(0, -2).requires_grad_()
    out = ours(x, Grid((8, 12), periodic, ptr=[0, 96, 192]))
    want = theirs(images.requires_grad_()).movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(out, want)
    leaves = [x, *ours.parameters()], [images, *theirs.in_order()]
    grads = [torch.autograd.grad(y.sin().sum(), inputs) for y, inputs in zip((out, want), leaves)]
    torch.testing.assert_close(grads[0][0], grads[1][0].movedim(1, -1).flatten(0, -2))
    for got, expected in zip(grads[0][1:], grads[1][1:], strict=True):
        torch.testing.assert_close(got, expected.view(got.shape))


def ring_and_chords(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    one_way = torch.cat([ring, torch.tensor([[0, 2], [3, 6]])], dim=1)
    weight = torch.rand(one_way.size(1), generator=generator) + 0.5
    edges = torch.cat([one_way, one_way.flip(0)], dim=1)
    return Data(x=torch.randn(n, 2, generator=generator), edge_index=edges, edge_weight=weight.repeat(2))


class LouderFirstNode(nn.Module):
    """The model with one thing broken: the node that happens to be number 0 speaks a little louder."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, data):
        data = data.clone()
        data.x = torch.cat([1.05 * data.x[:1], data.x[1:]])
        return self.model(data)


@pytest.mark.parametrize("conv", [None, GCNConv], ids=["GraphConv", "GCNConv"])
def test_on_a_graph_it_moves_with_the_nodes(conv):
    torch.manual_seed(0)
    model = UNet.on_graph(2, 7, CHANNELS, *([] if conv is None else [conv]))
    data = ring_and_chords(12)
    assert model(data).shape == (12, 7)
    assert assert_equivariant(model, data, group=Permutation(12)) < 1e-10
    assert_disjoint_union(model, [data, ring_and_chords(9, seed=1)])
    assert_twin_fails(LouderFirstNode(model), data, group=Permutation(12))


def test_on_a_graph_each_node_and_parameter_counts():
    torch.manual_seed(0)
    model, data = UNet.on_graph(2, 1, CHANNELS).double(), ring_and_chords(12)
    data = data.apply(lambda t: t.double().requires_grad_() if t.is_floating_point() else t)
    (first, *rest) = torch.autograd.grad(model(data)[0].sum(), [data.x, data.edge_weight, *model.parameters()])
    assert (first.abs().sum(1) > 0).sum() > 6  # through the coarse graph node 0 sees far
    assert all(grad.abs().sum() > 0 for grad in rest)
    small = UNet.on_graph(2, 1, [3, 4]).double()

    def f(x, weight):
        return small(x, data.edge_index, edge_weight=weight)

    assert torch.autograd.gradcheck(f, (data.x, data.edge_weight))


def test_any_pooling_and_its_way_back_will_do():
    torch.manual_seed(0)

    def conv(c, d):
        return GridConv(c, d, 3, dim=2, padding=1)

    model = UNet(2, 7, CHANNELS, conv, lambda c, d: GridPool(2, dim=2), lambda c, d: GridUpsample(2, dim=2))
    fine, middle, coarse = Grid((8, 12), True), Grid((4, 6), True), Grid((2, 3), True)
    widths = [layer.in_channels for layer in model.modules() if isinstance(layer, GridConv)]
    assert widths == [2, 3, 3, 4, 4, 5, 4 + 5, 4, 3 + 4, 3]
    run = model.run(State(torch.randn(96, 2), fine, seen=(seen := [])))
    assert run.domain == fine
    assert [state.domain for layer, state in seen if isinstance(layer, GridPool | GridUpsample)] == [
        *(fine, middle),
        *(coarse, middle),
    ]
    poolings = [lambda c, d: TopKPool(c, 0.6), lambda c, d: DiffPool(c, 4), lambda c, d: MinCutPool(c, 4)]
    for down in poolings:
        assert_equivariant(UNet(2, 7, CHANNELS, GraphConv, down, lambda c, d: Unpool()), ring_and_chords(12))


class EvenShifts(Translations):
    """Shifts by multiples of 4, which two poolings by 2 leave."""

    def sample(self, generator=None):
        return 4 * torch.randint(0, 3, (2,), generator=generator) % torch.tensor(self.shape)


def test_on_a_torus_it_moves_with_the_shifts_that_its_poolings_leave():
    torch.manual_seed(0)
    model = UNet.on_grid(2, 3, CHANNELS, dim=2)
    data = StructuredData(torch.randn(96, 2), Grid((8, 12), periodic=True))
    call = lambda f, d: f(d.x, d.structure)  # noqa: E731
    assert assert_equivariant(model, data, group=EvenShifts((8, 12), periodic=True), call=call) < 1e-10
    with pytest.raises(AssertionError, match="UNet is not equivariant"):
        assert_equivariant(model, data, group=Translations((8, 12), periodic=True), call=call)
    assert_disjoint_union(model, [data, StructuredData(data.x.flip(0), data.structure)], call=call)

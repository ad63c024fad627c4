"""Which networks of torch follow the shifts of a torus: those of which it is known, and no others."""

from __future__ import annotations

import pytest
import torch
import torch_networks as networks
from image_cases import randn
from torch import nn
from torch.nn import functional as F
from torch_networks import Calls, conv

from graphgdl.domains import Grid, StructuredData
from graphgdl.models import Blueprint
from graphgdl.nn import GridPool, GridSequential, GridUpsample, Readout, from_torch
from graphgdl.testing import verify


def circular(network):
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            module.padding_mode = "circular"
    return network


LAWS = {
    "unet": (networks.UNet, "translations by multiples of 4x4", False),
    "densenet": (networks.DenseNet, "translations by multiples of 2x2", True),
    "gated": (networks.Gated, None, None),
    "in-place": (networks.InPlace, "translations of the periodic grid", False),
}


@pytest.mark.parametrize("case", LAWS)
def test_laws(case):
    build, statement, invariant = LAWS[case]
    torch.manual_seed(0)
    network = from_torch(circular(build().double()).eval())
    data = StructuredData(randn(8 * 12, 2, seed=3), Grid((8, 12), periodic=True))
    assert [(law.statement, law.invariant) for law in network.laws(data)] == [(statement, invariant)] * bool(statement)
    assert all(verdict.holds for verdict in (verify(network, data) if statement else []))


LAWLESS = {
    "weights of places": lambda net, x: net.conv(x) * net.places,
    "a norm with weights of places": lambda net, x: net.layer_norm(net.conv(x)),
    "a cut": lambda net, x: net.conv(x)[:, :, 1:],
    "one axis pooled": lambda net, x: net.conv(x).mean(3),
    "joined along an axis": lambda net, x: torch.cat([net.conv(x), x], 2),
    "flattened": lambda net, x: net.conv(x).flatten(1),
    "softmax over places": lambda net, x: net.conv(x).softmax(-1),
    "ends that are no ring": lambda net, x: F.conv2d(x, net.conv.weight, padding=1),
    "pooled with ends": lambda net, x: F.avg_pool2d(net.conv(x), 3, 1, 1, divisor_override=2),
    "a stride that does not divide": lambda net, x: F.max_pool2d(net.conv(x), 3, 2),
    "one axis by its other name": lambda net, x: net.conv(x).mean(axis=3),
    "several results": lambda net, x: (net.conv(x), x.mean()),
    "values": lambda net, x: net.conv(x) * x[0, 0, 0, 0].item(),
}
LAWFUL = {
    "unit by unit": (lambda net, x: F.gelu(net.norm(net.conv(x))) + 2 * x.mean(1, keepdim=True), False),
    "gates": (
        lambda net, x: net.conv(x) * torch.sigmoid(F.adaptive_avg_pool2d(x, 1)) + x.mean((2, 3))[..., None, None],
        False,
    ),
    "channels": (lambda net, x: F.glu(torch.cat([net.conv(x), x], 1), 1).chunk(1, dim=1)[0].softmax(dim=1), False),
    "windows": (lambda net, x: F.interpolate(F.max_pool2d(net.conv(x), 2), scale_factor=2) - x, False),
    "pooled": (lambda net, x: net.conv(x).amax(dim=(-2, -1)).view(x.size(0), -1) ** 2, True),
}


def on_a_torus(function):
    torch.manual_seed(0)
    layers = {"conv": conv(), "norm": nn.BatchNorm2d(2), "layer_norm": nn.LayerNorm((2, 4, 6))}
    used = {name: layer for name, layer in layers.items() if name in function.__code__.co_names}
    network = circular(Calls(function, **used)).double().eval()
    network.register_buffer("places", randn(4, 6))
    return from_torch(network), StructuredData(randn(24, 2, seed=3), Grid((4, 6), periodic=True))


@pytest.mark.parametrize("case", LAWLESS)
def test_what_may_tell_places_apart_leaves_no_law(case):
    network, data = on_a_torus(LAWLESS[case])
    assert network.laws(data) == ()


@pytest.mark.parametrize("case", LAWFUL)
def test_what_treats_places_alike_keeps_the_law(case):
    function, invariant = LAWFUL[case]
    network, data = on_a_torus(function)
    (verdict,) = verify(network, data)
    assert verdict.holds, verdict.failures
    assert (verdict.invariant, "2x2" in verdict.law) == (invariant, case == "windows")
    assert network.laws(StructuredData(data.x, Grid((4, 6)))) == ()


def test_the_grid_of_the_output():
    network, data = on_a_torus(LAWFUL["windows"][0])
    with pytest.raises(
        ValueError, match="`structure` must be that of the last call, whose output tells its grid, got Grid"
    ):
        network.grid(data.structure)
    network(data.x, data.structure)
    assert network.grid(Grid((4, 6), periodic=True)) == data.structure
    network, _ = on_a_torus(lambda net, x: net.conv(x)[:, :, ::2])
    network(data.x, data.structure)
    assert network.grid(data.structure) == Grid((2, 6))


def test_a_network_among_layers():
    """Its inner grids are coarser than what comes in and goes out, so that the whole promises no more than it does."""
    network, data = on_a_torus(LAWFUL["windows"][0])
    assert GridSequential(nn.Tanh(), network).laws(data) == ()
    torch.testing.assert_close(
        GridSequential(nn.Tanh(), network, nn.Tanh())(data.x, data.structure),
        network(data.x.tanh(), data.structure).tanh(),
    )
    assert Blueprint([network, nn.Tanh()]).laws(data) == ()
    assert Blueprint([GridSequential(GridPool(2, dim=2), GridUpsample(2, dim=2))]).laws(data) == ()
    network, _ = on_a_torus(LAWFUL["unit by unit"][0])
    (verdict,) = verify(Blueprint([network, nn.Tanh(), Readout("mean")]), data)
    assert verdict.holds, verdict.failures
    assert (verdict.law, verdict.invariant) == ("translations of the periodic grid", True)

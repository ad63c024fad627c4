"""A trained network of torch for images, run as message passing on grids: same numbers, same parameters."""

from __future__ import annotations

import copy

import pytest
import torch
from image_cases import as_nodes, nodes, randn
from torch import nn

from graphgdl.domains import Grid, StructuredData
from graphgdl.nn import (
    GridConv,
    GridConvTranspose,
    GridFlatten,
    GridGlobalPool,
    GridPool,
    GridSequential,
    GridUpsample,
    explain_lowering,
    from_torch,
)
from graphgdl.testing import verify

CLOSE = {"rtol": 1e-11, "atol": 1e-11}


def classifier():
    block = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.GELU(), nn.AvgPool2d(2))
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)),
        *(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5), nn.Dropout(0.5), nn.PReLU(5), nn.Linear(5, 3)),
    )


def trained(network, images, steps=3):
    labels = torch.arange(images.size(0)) % 3
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network


def make(build, seed=0):
    torch.manual_seed(seed)
    return build().double()


def force(module, lowering):
    for layer in module.modules():
        if hasattr(layer, "lowerings"):
            layer.lowering = lowering


@pytest.mark.parametrize("lowering", ["conv", "message"])
def test_a_trained_network_keeps_its_numbers(lowering):
    images = randn(6, 2, 9, 8)
    torch.manual_seed(1)
    network = trained(make(classifier), images).eval()
    ours = from_torch(network)
    force(ours, lowering)
    pixels = images.clone().requires_grad_()
    x, grid = nodes(pixels)
    want, got = network(pixels), ours(x, grid)
    torch.testing.assert_close(got, want, **CLOSE)
    leaves = [pixels, *network.parameters()]
    for a, b in zip(derivatives(got, leaves), derivatives(want, leaves), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
    assert {row.ran for row in explain_lowering(ours, *nodes(images))} == {lowering}


def derivatives(out, leaves):
    """Return the gradients, and the gradients of a function of the gradient in the first leaf."""
    first = torch.autograd.grad(out.sin().sum(), leaves, create_graph=True)
    return [*first, *torch.autograd.grad(first[0].tanh().sum(), leaves, allow_unused=True, materialize_grads=True)]


def test_parameters_names_statistics_and_mode_are_the_networks():
    images = randn(6, 2, 8, 8)
    network = make(classifier)
    network[4].eval()
    ours = from_torch(network)
    assert list(ours.state_dict()) == list(network.state_dict())
    for a, b in zip(ours.parameters(), network.parameters(), strict=True):
        assert a is b
    assert ours.training
    assert not ours.get_submodule("4").training
    twin, outs = copy.deepcopy(network), []
    for run in (lambda: ours(*nodes(images)), lambda: twin(images)):  # in training: dropout, statistics of the batch
        torch.manual_seed(0)
        outs.append(run())
    assert torch.equal(*outs)
    for a, b in zip(ours.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(a, b)


NETWORKS = {
    "1d": (
        lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.MaxPool1d(2, ceil_mode=True), nn.Sigmoid()),
        (3, 2, 9),
    ),
    "3d": (
        lambda: nn.Sequential(
            nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), nn.AvgPool3d(2, 1), nn.AdaptiveMaxPool3d((1, 1, 1))
        ),
        (2, 2, 4, 3, 3),
    ),
    "lenet": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(18, 4), nn.Softmax(-1)
        ),
        (2, 2, 6, 8),
    ),
    "autoencoder": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=(0, 1)),
            nn.Upsample(scale_factor=2),
            nn.Upsample(scale_factor=(1.0, 2.0)),
            nn.Conv2d(4, 2, 1),
            nn.LogSoftmax(dim=1),
        ),
        (2, 2, 5, 6),
    ),
    "nearest": (lambda: nn.Sequential(nn.UpsamplingNearest2d(scale_factor=(2, 3)), nn.ReLU()), (2, 2, 3, 2)),
    "circular": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), nn.MaxPool2d(2), nn.ELU()),
        (2, 2, 4, 6),
    ),
    "shared": (lambda: nn.Sequential(*[nn.Conv1d(2, 2, 3, padding=1)] * 2), (2, 2, 5)),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_other_networks_keep_theirs(case):
    build, shape = NETWORKS[case]
    network, images = make(build).eval(), randn(*shape)
    ours, (x, grid) = from_torch(network), nodes(images, case == "circular")
    out = ours(x, grid)
    torch.testing.assert_close(out, as_nodes(network(images)).reshape(out.shape), **CLOSE)
    where = ours.grid(grid)
    assert where is None if case == "lenet" else where.num_nodes == out.size(0)


def test_images_of_unequal_size_lie_in_one_batch():
    network = make(classifier).eval()
    first, second = randn(1, 2, 9, 8), randn(1, 2, 6, 11, seed=1)
    x = torch.cat([nodes(first)[0], nodes(second)[0]])
    want = torch.cat([network(first), network(second)])
    torch.testing.assert_close(from_torch(network)(x, Grid([(9, 8), (6, 11)])), want, **CLOSE)


CONV, POOL, UP = GridConv(1, 2, 3, dim=2, padding=1), GridPool(2, dim=2), GridUpsample(2, dim=2)
LAWS = {
    "one": ([CONV, nn.ReLU()], "translations of the periodic grid", False),
    "stride": ([CONV, nn.Sequential(), GridSequential(nn.ReLU(), POOL)], "translations by multiples of 2x2", False),
    "up": ([CONV, POOL, UP, nn.Tanh()], "translations by multiples of 2x2", False),
    "nested": ([CONV, GridSequential(POOL, UP), nn.Tanh()], "translations by multiples of 2x2", False),
    "pooled": (
        [CONV, GridSequential(POOL, UP, GridGlobalPool()), GridFlatten(), nn.Linear(2, 3)],
        "translations by multiples of 2x2",
        True,
    ),
    "one-axis": ([CONV, GridPool((1, 3))], "translations by multiples of 1x3", False),
    "odd": ([CONV, GridPool((3, 3), stride=2)], None, False),
    "flat": ([CONV, GridSequential(GridFlatten())], None, False),
}


@pytest.mark.parametrize("case", LAWS)
def test_laws_of_a_sequence(case):
    layers, statement, invariant = LAWS[case]
    data = StructuredData(randn(24, 1, seed=3), Grid((4, 6), periodic=True))
    network = GridSequential(*layers)
    assert [(law.statement, law.invariant) for law in network.laws(data)] == [(statement, invariant)] * bool(statement)
    assert all(verdict.holds for verdict in (verify(network, data) if statement else []))
    assert network.laws(StructuredData(randn(48, 1), Grid((4, 6), True, ptr=[0, 24, 48]))) == ()


def test_a_circular_network_keeps_its_law():
    network, (x, grid) = from_torch(make(NETWORKS["circular"][0])), nodes(randn(1, 2, 4, 6), periodic=True)
    (verdict,) = verify(network, StructuredData(x, grid))
    assert verdict.holds, verdict.failures
    assert (verdict.law, verdict.kind) == ("translations by multiples of 2x2", "subgroup")
    with pytest.raises(ValueError, match="`data` must hold a Grid as its `structure`, got None"):
        network.laws(StructuredData(x))


def hooked(layer):
    layer.register_forward_hook(lambda module, args, out: 2 * out)
    return layer


def own(layer):
    layer.forward = torch.cos
    return layer


class Doubled(nn.Conv1d):
    def forward(self, x):
        return 2 * super().forward(x)


SKIPPED = {
    "it has hooks or a forward of its own": lambda: hooked(nn.Conv1d(2, 2, 1)),
    "it has hooks or a forward of its own, too": lambda: own(nn.Conv1d(2, 2, 1)),
    "a Doubled may compute something else": lambda: Doubled(2, 2, 3),
    "does not repeat pixels by whole factors": lambda: nn.Upsample(scale_factor=1.5),
    "Upsample(size=4, mode='nearest') does not": lambda: nn.Upsample(size=4),
    "mode='linear') does not": lambda: nn.Upsample(scale_factor=2, mode="linear"),
    "does not tell the number of axes, nor do all other layers": lambda: nn.Upsample(scale_factor=2),
    "`divisor_override` of AvgPool2d is not known": lambda: nn.AvgPool2d(2, divisor_override=3),
    "`ceil_mode` does not go with a mean": lambda: nn.AvgPool1d(2, padding=1, ceil_mode=True),
}


@pytest.mark.parametrize("reason", SKIPPED)
def test_what_is_left_to_torch_says_why(reason):
    network = make(lambda: nn.Sequential(SKIPPED[reason]()))
    images = randn(2, 2, 4, 6) if "2d" in reason else randn(2, 2, 6)
    ours = from_torch(network)
    assert reason.removesuffix(", too") in ours.skipped["0"]
    assert torch.equal(ours(*nodes(images)), as_nodes(network(images)))


def test_what_is_no_network_is_refused():
    for network in (own, nn.Conv1d(1, 1, 1)):
        with pytest.raises(
            TypeError, match=r"`network` must be a torch.nn.Module that calls others, got .*; wrap a single"
        ):
            from_torch(network)
    network = nn.Sequential(nn.ReLU())
    network.generator = (line for line in ())
    with pytest.raises(ValueError, match="`network` cannot be copied, which keeps what it is: cannot pickle"):
        from_torch(network)
    with pytest.raises(TypeError, match=r"`conv` must be a torch.nn.ConvTranspose1d, 2d or 3d, got Conv1d"):
        GridConvTranspose.from_torch(nn.Conv1d(1, 1, 1))


@pytest.mark.parametrize("lowering", ["conv", "message"])
def test_more_than_images_goes_to_torch(lowering):
    class Sized(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose1d(2, 2, 3, stride=2)

        def forward(self, x):
            return self.up(x, output_size=[10])

    network, images = Sized().double(), randn(2, 2, 4)
    ours = from_torch(network)
    force(ours, lowering)
    assert torch.equal(ours(*nodes(images)), as_nodes(network(images)))


def test_on_its_edges_a_layer_takes_a_batch_of_images():
    ours = from_torch(nn.Sequential(nn.Conv2d(2, 2, 3).double())).get_submodule("0")
    ours.lowering = "message"
    with pytest.raises(ValueError, match=r"`images` must have 4 axes \(g, c, \*shape\), got shape \(2, 4, 5\)"):
        ours(randn(2, 4, 5))


def test_a_ring_is_refused_where_torch_has_ends():
    images = randn(1, 1, 4)
    for layer in (nn.Conv1d(1, 1, 3, padding=1), nn.MaxPool1d(2, padding=1), nn.ConvTranspose1d(1, 1, 4, 2, padding=1)):
        with pytest.raises(ValueError, match="`padding_mode` 'zeros' does not fit a grid that is periodic"):
            from_torch(nn.Sequential(layer).double())(*nodes(images, periodic=True))


def test_readouts_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="`aggr` must be 'mean' or 'max', got 'sum'"):
        GridGlobalPool("sum")
    with pytest.raises(ValueError, match=r"`structure` must hold grids of one shape .*, got \(\(2,\), \(3,\)\)"):
        GridFlatten()(randn(5, 1), Grid([(2,), (3,)]))
    with pytest.raises(ValueError, match=r"`x` must have shape \(2, c\), .* got \(3, 1\)"):
        GridGlobalPool()(randn(3, 1), Grid((2,)))


def test_global_pool_is_pooling_with_a_window_of_the_whole_grid():
    x, grid = randn(24, 3), Grid((3, 4), ptr=[0, 12, 24])
    for aggr in ("mean", "max"):
        out = GridGlobalPool(aggr)(x, grid)
        torch.testing.assert_close(out, GridPool((3, 4), aggr)(x, grid))
        unequal = GridGlobalPool(aggr)(x, Grid([(3, 4), (2, 6)]))
        torch.testing.assert_close(unequal, out)
    assert GridGlobalPool().grid(grid).shapes == ((1, 1), (1, 1))
    assert GridGlobalPool()(randn(0, 3), Grid((0, 4))).tolist() == [[0.0] * 3]

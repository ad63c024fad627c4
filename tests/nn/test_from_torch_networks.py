"""Networks of torch with a forward of their own become message passing on grids; what is not understood is refused."""

from __future__ import annotations

import copy
import io
import random

import numpy as np
import pytest
import torch
import torch_networks as networks
from image_cases import as_nodes, nodes, randn
from torch import fx, nn
from torch.nn import functional as F

from graphgdl.domains import Grid, StructuredData
from graphgdl.nn import explain_lowering, from_torch
from graphgdl.testing import verify

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
CASES = {
    "resnet": (networks.ResNet, (3, 2, 33, 40)),
    "unet": (networks.UNet, (2, 2, 8, 12)),
    "densenet": (networks.DenseNet, (3, 2, 6, 5)),
    "gated": (networks.Gated, (3, 2, 4, 5)),
    "residual-1d": (networks.Residual1d, (3, 2, 8)),
    "in-place": (networks.InPlace, (2, 2, 4, 5)),
}


def make(case, seed=0):
    build, shape = CASES[case]
    torch.manual_seed(seed)
    network = build().double()
    for buffer in network.buffers():  # statistics that matter
        if buffer.dim() == 1:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return network, randn(*shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_value_gradient_and_statistics_are_the_networks(case, training):
    network, images = make(case)
    ours, twin = from_torch(network.train(training)), copy.deepcopy(network)
    pixels = images.clone().requires_grad_()
    want, got = as_nodes(twin(pixels.clone())), ours(*nodes(pixels))
    torch.testing.assert_close(got, want, **CLOSE)
    weight = randn(*want.shape, seed=1)
    mine = torch.autograd.grad((got * weight).sum(), [pixels, *network.parameters()])
    theirs = torch.autograd.grad((want * weight).sum(), [pixels, *twin.parameters()])
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
    for (name, a), (other, b) in zip(ours.state_dict().items(), twin.state_dict().items(), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
        assert name == other
    where = ours.grid(nodes(images)[1])
    assert where is None if want.dim() == 2 and got.size(0) == images.size(0) else where.num_nodes == got.size(0)


@pytest.mark.parametrize("case", ["resnet", "unet"])
def test_messages_give_the_same(case):
    network, _ = make(case)
    images, ours = randn(2, 2, 8, 8), from_torch(network.eval())
    for layer in ours.modules():
        if hasattr(layer, "lowerings"):
            layer.lowering = "message"
    torch.testing.assert_close(ours(*nodes(images)), as_nodes(network(images)), **CLOSE)
    assert {row.ran for row in explain_lowering(ours, *nodes(images))} == {"message"}


@pytest.mark.parametrize("case", ["resnet", "unet", "densenet"])
def test_unequal_images_lie_in_one_batch(case):
    network, _ = make(case)
    network.eval()
    first, second = randn(1, 2, 16, 12), randn(2, 2, 8, 20, seed=1)
    x = torch.cat([nodes(first)[0], nodes(second)[0]])
    want = torch.cat([as_nodes(network(first)), as_nodes(network(second))])
    torch.testing.assert_close(from_torch(network)(x, Grid([(16, 12), (8, 20), (8, 20)])), want, **CLOSE)


def test_parameters_are_shared_and_copies_are_not():
    network, images = make("resnet")
    network.eval().layer2.requires_grad_(False)
    ours = from_torch(network)
    x, grid = nodes(images)
    want = ours(x, grid)
    assert [p is q for p, q in zip(ours.parameters(), network.parameters(), strict=True)].count(False) == 0
    assert [p.requires_grad for p in ours.parameters()].count(False) == len(list(network.layer2.parameters()))
    copied, loaded = copy.deepcopy(ours), saved_and_loaded(ours)
    other, _ = make("resnet", seed=1)
    fresh = from_torch(other.eval())
    assert not torch.allclose(fresh(x, grid), want)
    fresh.load_state_dict(network.state_dict())
    other.load_state_dict(ours.state_dict())
    torch.nn.init.zeros_(network.fc.weight)
    torch.nn.init.zeros_(network.fc.bias)
    for module in (copied, loaded, fresh):
        torch.testing.assert_close(module(x, grid), want, **CLOSE)
        assert not module.training
    assert not ours(x, grid).any()


def saved_and_loaded(module):
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("case", CASES)
def test_what_is_saved_and_loaded_or_copied_computes_the_same(case):
    network, images = make(case)
    ours, (x, grid) = from_torch(network.eval()), nodes(images)
    for module in (saved_and_loaded(ours), copy.deepcopy(ours)):
        torch.testing.assert_close(module(x, grid), ours(x, grid), rtol=0, atol=0)


def test_modes_of_parts_are_kept_and_followed():
    network, images = make("densenet")
    network.drop = 0.5
    network.norms[1].eval()
    ours, (x, grid) = from_torch(network), nodes(images)
    assert ours.training
    assert not ours.get_submodule("norms.1").training
    assert not torch.allclose(ours(x, grid), ours(x, grid))
    torch.testing.assert_close(ours.eval()(x, grid), network.eval()(images), **CLOSE)
    nested = nn.Sequential(network.train())
    network.training = False  # the mode of the function, not of the layers
    ours = from_torch(nested)
    torch.testing.assert_close(ours(x, grid), nested(images), **CLOSE)
    ours.train()
    assert not torch.allclose(ours(x, grid), ours(x, grid))


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


class Calls(nn.Module):
    """A network whose forward is a function of it and its images."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


def conv(c_in=2, c_out=2):
    return nn.Conv2d(c_in, c_out, 3, padding=1)


EXACT = {
    "rows of the image": lambda net, x: net.conv(x).flatten(2).transpose(1, 2).softmax(-1),
    "one axis of two": lambda net, x: net.conv(x).mean(3).mean(2),
    "sizes": lambda net, x: net.conv(x).view(-1, x.size(1) * x.shape[-1] * x.size(2)),
    "squeezed": lambda net, x: F.adaptive_max_pool2d(net.conv(x), 1).squeeze(-1).squeeze(-1),
    "everything": lambda net, x: torch.sum(net.conv(x)),
    "negative axes": lambda net, x: torch.cat((x, net.conv(x)), dim=-3).softmax(dim=-3),
    "a sum by keyword": lambda net, x: torch.add(torch.add(x, other=net.conv(x)), other=net.gamma, alpha=2),
    "by keyword": lambda net, x: F.avg_pool2d(input=F.relu(input=net.conv(x)), kernel_size=2, ceil_mode=False),
    "one channel for all": lambda net, x: torch.sigmoid(net.conv(x).mean((2, 3), keepdim=True)) * net.narrow(x),
    "finer": lambda net, x: F.interpolate(net.conv(x), scale_factor=(2, 1)) ** 2,
    "a layer twice": lambda net, x: net.conv(net.conv(x).clamp(min=0)),
    "sizes in a tuple": lambda net, x: torch.reshape(net.conv(x), (x.shape[0], -1)) + x.reshape((x.size(0), 48)),
    "changed once flat": lambda net, x: F.relu_(net.conv(x).flatten(1)) + torch.flatten(x, 1),
    "over channels": lambda net, x: x * net.conv(x).mean(1, keepdim=True) + x.amax(dim=(1,), keepdim=True),
    "what a tensor lacks": lambda net, x: net.conv(x) if not hasattr(x, "tensors") else x,
    "a value of a parameter": lambda net, x: x * net.scale.exp() + float(3) * net.scale.item(),
}


@pytest.mark.parametrize("case", EXACT)
def test_ways_of_calling_torch(case):
    torch.manual_seed(0)
    network = Calls(EXACT[case], conv=conv(), narrow=conv(2, 1), scale=nn.Parameter(torch.tensor(0.5))).double()
    network.gamma = nn.Parameter(randn(2, 1, 1))
    images = randn(3, 2, 4, 6)
    want = network(images)
    got = from_torch(network)(*nodes(images))
    torch.testing.assert_close(got, as_nodes(want) if want.dim() == 4 else want, **CLOSE)


def test_a_buffer_is_read_and_written_at_each_call():
    network = Calls(lambda net, x: (net.count.add_(1), net.conv(x) * net.count)[1], conv=conv()).double()
    network.register_buffer("count", torch.tensor(0.0).double())
    ours, images = from_torch(network), randn(2, 2, 3, 4)
    assert network.count == 0
    ours(*nodes(images))
    torch.testing.assert_close(ours(*nodes(images)), as_nodes(network.conv(images) * 2), **CLOSE)
    assert ours.count is network.count
    assert network.count == 2


class Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clamp(0)

    @staticmethod
    def backward(ctx, grad):
        return grad


class Frozen(nn.BatchNorm2d):
    def train(self, mode=True):
        return super().train(False)


def without_gradient(net, x):
    with torch.no_grad():
        y = net.conv(x)
    return y + x


def kept(net, x):
    net.kept = net.conv(x)
    return net.kept


def flat_is_changed(net, x):
    y = net.conv(x)
    F.relu_(y.flatten(1))
    return y


def image_is_changed(net, x):
    y = net.conv(x)
    flat = net.dropout(y.view(y.size(0), -1))
    y *= 2
    return flat


def own(net):
    net.conv.forward = lambda x: x
    return net


REFUSED = {
    "cannot be traced, its forward must do the same to all images": lambda net, x: x if x.size(0) > 1 else -x,
    "cannot be traced, .* turns gradients or autocast on or off": without_gradient,
    r"cannot be traced, .* turns gradients or autocast on or off; do": lambda net, x: Clamp.apply(x),
    "cannot be traced, .* it asks for the type of a value": lambda net, x: x if isinstance(x, torch.Tensor) else -x,
    r"step 'flatten' shares its memory .* before step 'output' reads the other; change a clone": flat_is_changed,
    r"step 'view' shares its memory with the image": image_is_changed,
    "`add`, must not have `out`; use what it returns": lambda net, x: torch.add(x, 1, out=x),
    "`network` draws random numbers in its forward; draw them in a module": lambda net, x: x * float(torch.rand(1)),
    r"`network` draws random numbers in its forward": lambda net, x: x * random.random(),
    r"`network` draws random .* such as Dropout": lambda net, x: x * np.random.rand(),  # noqa: NPY002
    "`network` makes a tensor in its forward; register it as a buffer": lambda net, x: x * torch.ones(2, 1, 1),
    "`network` writes 'kept' in its forward, which the result would not do": kept,
    "`network` does other things in training and in evaluation": lambda net, x: x if net.training else net.conv(x),
    "`network` reads 'loose', a tensor that is neither parameter nor buffer": lambda net, x: x * net.loose,
    r"`network` must return one tensor, got tuple": lambda net, x: (x, x),
    r"step 'cumsum' in its forward, `cumsum`, is not known on grids; see": lambda net, x: x.cumsum(2),
    r"step 'conv2d' in its forward, `conv2d`, is not known": lambda net, x: F.conv2d(x, net.conv.weight),
    r"step 'foreign' .* is not known on grids: it is none of torch's functions": lambda net, x: foreign(x),
    r"step 'getattr_1' in its forward, `getattr`, is not known": lambda net, x: x.data,
    r"`avg_pool2d`, must have numbers as its options": lambda net, x: F.avg_pool2d(x, x.shape[2:]),
    r"`interpolate`, must repeat pixels by whole factors": lambda net, x: F.interpolate(x, scale_factor=1.5),
    r"`interpolate`, must not have `antialias`": lambda net, x: F.interpolate(
        x, scale_factor=2, mode="bilinear", antialias=True
    ),
    r"`cat`, must have `dim` 1, the channels, got 0": lambda net, x: torch.cat([x, x]),
    r"`cat`, must have `dim` 1, the channels, got 3": lambda net, x: torch.cat([x, net.conv(x)], 3),
    r"`cat`, joins images with what is none": lambda net, x: torch.cat([x, net.conv.weight], 1),
    r"`softmax`, must have `dim` 1, the channels, got -1": lambda net, x: net.conv(x).softmax(-1),
    r"child 'conv', Conv2d\(.* comes after a Flatten or its like": lambda net, x: net.conv(x.transpose(2, 3)),
    r"child 'norm', BatchNorm2d\(.* must be called with one image and no more": lambda net, x: net.norm(input=x),
}


@fx.wrap
def foreign(x):
    return x


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_understood_is_refused(message):
    network = Calls(REFUSED[message], conv=conv(), norm=nn.BatchNorm2d(2), dropout=nn.Dropout())
    network.loose = torch.tensor(2.0)
    before = vars(network).copy()
    with pytest.raises((ValueError, TypeError), match=message):
        from_torch(network)
    assert vars(network) == before


def test_what_would_be_lost_is_refused():
    with pytest.raises(
        TypeError, match=r"child 'conv' has a forward of its own, which its class does not know; subclass"
    ):
        from_torch(own(Calls(None, conv=conv())))
    with pytest.raises(TypeError, match="child '0', a Frozen, overrides `train`, which would be lost"):
        from_torch(nn.Sequential(Frozen(2)))
    with pytest.raises(ValueError, match="`network` child 'grid' has a name that the result needs; rename it"):
        from_torch(Calls(lambda net, x: net.grid(x), grid=conv()))


UNFIT = {
    r"images on unequal grids meet, Grid\(.*shape=\(4, 6\).* and Grid\(.*shape=\(2, 3\)": lambda net, x: (
        x + net.coarse(x)
    ),
    r"unequal grids meet, .*shape=\(4, 6\)": lambda net, x: torch.cat([x, net.coarse(x)], 1),
    r"a tensor of shape \(1, 2, 4, 6\) meets images; it must have .* for each channel, shape \(1, c, 1, 1\)": (
        lambda net, x: x + net.places
    ),
    r"a tensor of shape \(2,\) meets images": lambda net, x: net.coarse(x) + net.vector,
    "a tensor for 3 images meets 2": lambda net, x: net.coarse(x) + net.three,
}


@pytest.mark.parametrize("message", UNFIT)
def test_what_does_not_fit_is_refused_at_the_first_call(message):
    network = Calls(UNFIT[message], coarse=nn.Conv2d(2, 2, 2, 2)).double()
    for name, shape in {"places": (1, 2, 4, 6), "vector": (2,), "three": (3, 2, 1, 1)}.items():
        network.register_buffer(name, torch.ones(shape).double())
    with pytest.raises(ValueError, match=message) as caught:
        from_torch(network)(*nodes(randn(2, 2, 4, 6)))
    assert "of the converted network, in the forward of ''" in caught.value.__notes__[0]


def test_images_of_unequal_size_are_not_flattened():
    network = from_torch(Calls(lambda net, x: net.conv(x).flatten(1), conv=conv()).double())
    with pytest.raises(ValueError, match=r"`structure` must hold grids of one shape here, got \(\(1, 2\), \(2, 2\)\)"):
        network(randn(6, 2), Grid([(1, 2), (2, 2)]))
    with pytest.raises(ValueError, match="`structure` must have 2 axes, got a grid of 1"):
        network(randn(6, 2), Grid((6,)))

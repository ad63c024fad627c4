"""Networks of torch with a forward of their own become message passing on grids, whatever the forward does."""

from __future__ import annotations

import copy
import io
import random

import numpy as np
import pytest
import torch
import torch_networks as networks
from image_cases import as_nodes, nodes, randn
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves
from torch_networks import Calls, conv

from graphgdl.domains import Grid
from graphgdl.nn import explain_lowering, from_torch

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


def listed(net, x):
    net.seen.append(1)
    return net.conv(x) * len(net.seen)


ANYTHING = {
    "a branch on values": lambda net, x: net.conv(x) if x.sum() > 0 else -x,
    "without gradient": without_gradient,
    "a derivative of its own": lambda net, x: Clamp.apply(net.conv(x)),
    "the type of a value": lambda net, x: (
        net.conv(x) if type(x) is torch.Tensor and isinstance(x, torch.Tensor) else -x
    ),
    "flat is changed": flat_is_changed,
    "image is changed": image_is_changed,
    "random numbers": lambda net, x: (
        x * float(torch.rand(1)) + torch.randn_like(x) * random.random() * np.random.rand()  # noqa: NPY002
    ),
    "tensors made": lambda net, x: net.conv(x) * torch.ones(2, 1, 1) + torch.arange(x.size(3)),
    "kept": kept,
    "listed": listed,
    "modes": lambda net, x: F.dropout(x if net.training else net.conv(x), 0.5, net.conv.training),
    "a loose tensor": lambda net, x: net.conv(x) * net.loose,
    "several results": lambda net, x: (x, {"pooled": net.conv(x).mean((2, 3))}),
    "along places": lambda net, x: net.conv(x).cumsum(2).roll(1, 3),
    "functional": lambda net, x: F.conv2d(F.pad(x, (1, 0, 1, 0), "reflect"), net.conv.weight),
    "by sizes": lambda net, x: F.interpolate(
        F.avg_pool2d(net.conv(x), x.shape[2] // 2), size=x.shape[2:], mode="bilinear"
    ),
    "joined elsewhere": lambda net, x: torch.cat([torch.cat([x, net.conv(x)], 3), torch.cat([x, x], 3)]),
    "parts of channels": lambda net, x: torch.mul(*net.conv(x).chunk(2, 1)) + x[:, :1, ::2, ::2].mean(),
    "turned over": lambda net, x: net.conv(x.transpose(2, 3)),
    "by keyword": lambda net, x: net.norm(input=net.conv(input=x)),
    "values for places": lambda net, x: net.conv(x) + net.places + net.places[0, 0, 0],
    "a sequence of channels": lambda net, x: x * net.line(x.mean((2, 3))[:, None]).transpose(1, 2)[..., None],
    "shuffled": lambda net, x: F.pixel_shuffle(torch.cat([net.conv(x), x], 1), 2),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", ANYTHING)
def test_a_forward_may_do_anything(case, training):
    torch.manual_seed(0)
    network = (
        Calls(
            ANYTHING[case],
            conv=conv(),
            norm=nn.BatchNorm2d(2),
            dropout=nn.Dropout(),
            line=nn.Conv1d(1, 1, 3, padding=1),
        )
        .double()
        .train(training)
    )
    network.loose, network.seen, network.places = torch.tensor(2.0), [], randn(1, 2, 4, 6)
    ours, twin, images = from_torch(network), copy.deepcopy(network), randn(3, 2, 4, 6)
    x, grid = nodes(images)
    outs = []
    for run in (lambda: ours(x, grid), lambda: twin(images)):
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        outs.append([as_nodes(out) for out in tree_leaves(run())])
    for got, want in zip(*outs, strict=True):
        assert torch.equal(got, want)
    assert network.seen == []
    assert not hasattr(network, "kept")


class Frozen(nn.BatchNorm2d):
    def train(self, mode=True):
        return super().train(False)


class FrozenWhole(nn.Sequential):
    def train(self, mode=True):
        super().train(mode)
        self[1].eval()
        return self


def test_modes_of_their_own_hooks_and_names_are_kept():
    images = randn(2, 2, 4, 6)
    for network in (nn.Sequential(conv(), Frozen(2)), FrozenWhole(conv(), nn.BatchNorm2d(2))):
        ours = from_torch(network.double().train()).train()
        assert ours.training
        assert not ours.get_submodule("1").training
        assert torch.equal(ours(*nodes(images)), as_nodes(network(images)))
    network, calls = Calls(lambda net, x: net.grid(x) + net.skipped(x), grid=conv(), skipped=nn.Tanh()).double(), []
    network.register_forward_hook(lambda module, args, out: calls.append(args[0].shape))
    network.skipped.register_forward_pre_hook(lambda module, args: calls.append(module.training))
    ours = from_torch(network)
    want = network(images)
    assert torch.equal(ours.eval()(*nodes(images)), as_nodes(want))
    assert calls == [True, images.shape, False, images.shape]
    assert ours.state_dict().keys() == network.state_dict().keys()


def test_a_layer_in_a_list_is_converted_for_all_who_hold_it():
    network = Calls(lambda net, x: net.held[0](net.held[0](x)), conv=conv()).double()
    network.held = [network.conv]
    ours, images = from_torch(network), randn(2, 2, 4, 6)
    ours.conv.lowering = "message"
    torch.testing.assert_close(ours(*nodes(images)), as_nodes(network(images)), **CLOSE)
    assert {row.ran for row in explain_lowering(ours, *nodes(images))} == {"message"}
    assert network.held[0] is network.conv
    assert type(network.conv) is nn.Conv2d


def test_parameters_may_be_replaced():
    ours, (x, grid) = (
        from_torch(Calls(lambda net, x: net.conv(x) * net.scale, conv=conv()).double()),
        nodes(randn(2, 2, 4, 6)),
    )
    with pytest.raises(AttributeError, match="scale"):
        ours(x, grid)
    ours.scale = nn.Parameter(torch.tensor(2.0))
    first = ours(x, grid)
    doubled = {name: 2 * value for name, value in ours.state_dict().items()}
    swapped = torch.func.functional_call(ours, doubled, (x, grid))
    torch.testing.assert_close(swapped, 4 * first, **CLOSE)
    ours.conv.weight, ours.conv.bias = nn.Parameter(2 * ours.conv.weight), nn.Parameter(2 * ours.conv.bias)
    for ours.conv.lowering in ("auto", "message"):
        torch.testing.assert_close(ours(x, grid), 2 * first, **CLOSE)
    assert ours.to("meta").conv.weight.is_meta
    assert ours(x.to("meta"), grid.to("meta")).shape == first.shape


def test_grids_of_unequal_size_whose_results_do_not_join():
    for function in (lambda net, x: net.conv(x).flatten(1), lambda net, x: net.conv(x).sum()):
        network = from_torch(Calls(function, conv=conv()).double())
        with pytest.raises(
            ValueError, match=r"`structure` must hold grids of one shape for this network, whose results do"
        ):
            network(randn(6, 2), Grid([(1, 2), (2, 2)]))
    with pytest.raises(ValueError, match="`structure` must have 2 axes, got a grid of 1"):
        network(randn(6, 2), Grid((6,)))

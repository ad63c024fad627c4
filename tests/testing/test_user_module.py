"""A user's class is built in one of two ways, and gets the input that its forward names."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from graphgdl.expressivity.models import MODELS
from graphgdl.testing import call_module
from graphgdl.testing.user_module import example_of


class Layer(nn.Module):
    def __init__(self, in_channels=5, out_channels=2):
        super().__init__()
        self.in_channels, self.out_channels, self.edge_dim = in_channels, out_channels, 2

    def forward(self, x, edge_index, edge_attr, edge_weight):
        return x


class Bare(nn.Module):
    in_channels = 9

    def forward(self, x):
        return x


def test_channels_and_edge_inputs():
    module, data = example_of(Layer, dim=2).make()
    assert (module.in_channels, module.out_channels) == (4, 6)
    e = data.num_edges
    shapes = {key: tuple(value.shape) for key, value in data.to_dict().items()}
    assert shapes == {"x": (7, 4), "edge_index": (2, e), "edge_attr": (e, 2), "edge_weight": (e,), "pos": (7, 2)}
    _, data = example_of(Bare).make()
    assert set(data.to_dict()) == {"x", "edge_index", "pos"}
    assert data.x.shape == (7, 9)


class Energy(nn.Module):
    def forward(self, z, pos, batch=None):
        return pos


class OfData(nn.Module):
    def forward(self, data):
        return data.x


def test_molecules_have_atomic_numbers():
    _, data = example_of(Energy).make()
    assert (data.z.dtype, data.z.shape, data.pos.shape) == (torch.int64, (7,), (7, 3))
    assert int(data.z.min()) > 0
    _, data = example_of(OfData).make()
    assert set(data.to_dict()) == {"x", "edge_index", "pos", "edge_attr", "z"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda depth: None,
            "as <lambda>(in_channels=4, out_channels=6) or <lambda>(), but it needs `depth`",
        ),
        (lambda: 3, "`module` <lambda> must make a torch.nn.Module, got int"),
        (3, "`module` 3 must be a class, got int"),
    ],
)
def test_what_is_no_module_is_refused(build, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        example_of(build)


def test_a_model_gets_its_lift_of_each_graph():
    model, data = example_of(MODELS["node-marking-gin"]).make()
    one, two = call_module(model, data), call_module(model, Batch.from_data_list([data, data]))
    assert one.shape == (1, 6)
    torch.testing.assert_close(two, one.expand(2, 6))


def test_what_the_input_lacks_is_named():
    with pytest.raises(
        ValueError, match=r"`data` must have `edge_attr` and `edge_weight`, which Layer.forward takes, got"
    ):
        call_module(Layer(), Data(x=torch.ones(2, 5), edge_index=torch.tensor([[0], [1]])))

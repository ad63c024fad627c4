"""SetTransformer beside PyG's aggregation on padded sets, under the laws of sets, and able to learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn.aggr import SetTransformerAggregation, utils
from torch_geometric.utils import to_dense_batch

from graphgdl.domains import Chain, Complete
from graphgdl.models import Blueprint, SetTransformer
from graphgdl.nn import InducedSetAttentionBlock, Readout, SetAttentionBlock, explain_lowering
from graphgdl.testing import assert_contract

CLOSE = {"rtol": 1e-11, "atol": 1e-11}
SETS = Complete([0, 4, 5, 8])


def randn(n, c, seed=1):
    return torch.randn(n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**options):
    torch.manual_seed(0)
    model = SetTransformer(3, 6, 2, heads=2, **options).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def test_equals_pygs_aggregation_with_its_weights():
    model, x = made(num_seed_points=2, num_decoder_blocks=2), randn(8, 3)
    theirs = SetTransformerAggregation(6, 2, 2, 2, heads=2, layer_norm=True).double()
    theirs.encoders.load_state_dict(model.encoders.state_dict())
    theirs.pma.load_state_dict(model.pool.state_dict())
    theirs.decoders.load_state_dict(model.decoders.state_dict())
    seeds = theirs(model.embedding(x), SETS.batch).view(3, 2, 6)
    torch.testing.assert_close(model(x, SETS), model.head(seeds).flatten(1), **CLOSE)


def test_induced_points_are_those_of_pyg():
    model, x = made(num_induced_points=2, num_encoder_blocks=1, num_decoder_blocks=0), randn(8, 3)
    block = utils.InducedSetAttentionBlock(6, 2, 2).double()
    block.load_state_dict(model.encoders[0].state_dict())
    padded, mask = to_dense_batch(model.embedding(x), SETS.batch)
    want = model.head(model.pool(block(padded, mask)[mask], SETS)).flatten(1)
    torch.testing.assert_close(model(x, SETS), want, **CLOSE)


class OnData(nn.Module):
    """The model on a `Data` that is one set, or a batch of sets."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, data):
        return self.model(data.x, Complete(data.ptr if "ptr" in data else data.num_nodes))


class Leak(OnData):
    """The model with one thing broken: an element's place in the list leaks into its features."""

    def forward(self, data):
        data = data.clone()
        data.x = data.x + 0.01 * torch.arange(data.num_nodes, dtype=data.x.dtype)[:, None] * data.x
        return super().forward(data)


@pytest.mark.parametrize("options", [{}, {"num_induced_points": 2, "num_seed_points": 2, "layer_norm": False}])
def test_contract(options):
    model = made(**options)
    if options:  # without norms the numbers of this draw grow from block to block
        for parameter in model.parameters():
            parameter.data *= 0.5
    errors = assert_contract(OnData(model), Data(x=randn(6, 3)), twin=Leak(model), law="invariant")
    assert max(errors["law"], errors["union"]) < 1e-10 < errors["twin"]


def test_it_learns_the_largest_element_of_a_set():
    """The toy problem of the paper's section 5.1."""
    torch.manual_seed(0)
    model = SetTransformer(1, 16, 1, num_encoder_blocks=1, num_induced_points=4, heads=2, layer_norm=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        sizes = torch.randint(1, 6, (16,))
        x, sets = (
            torch.rand(int(sizes.sum()), 1),
            Complete(torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])),
        )
        want = torch.stack([rows.amax(0) for rows in x.split(sizes.tolist())])
        loss = (model(x, sets) - want).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1  # a constant is about 0.2 away


def test_no_edge_is_built():
    assert {row.ran for row in explain_lowering(made(num_induced_points=2), randn(8, 3), Complete([0, 4, 8]))} == {
        "sdpa"
    }


def test_blocks_are_layers_of_a_blueprint():
    blocks = [nn.Linear(3, 4), InducedSetAttentionBlock(4, 2), SetAttentionBlock(4), Readout("mean")]
    x, (lift, first, second, _) = randn(8, 3).float(), blocks
    want = second(first(lift(x), SETS), SETS)
    out = Blueprint(blocks)(x, SETS)
    torch.testing.assert_close(out, torch.stack([rows.mean(0) for rows in want.split(SETS.sizes)]))
    with pytest.raises(ValueError, match=r"layer 1, `SetAttentionBlock\(5, .* takes 5 scalar .* gives 4 scalar"):
        Blueprint([nn.Linear(3, 4), SetAttentionBlock(5)])


def test_misuse_is_refused_by_name():
    with pytest.raises(ValueError, match=r"`x` must have shape \(n, 3\), got \(8, 4\)"):
        made()(randn(8, 4), SETS)
    with pytest.raises(TypeError, match=r"`structure` must be Complete\(ptr\), .* got Chain"):
        made()(randn(8, 3), Chain(8))

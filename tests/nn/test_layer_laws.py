"""Every layer, in its fast form, obeys the contract: permutations, disjoint unions, nothing vacuous, a twin that fails."""

from __future__ import annotations

import pytest
import torch
from layer_cases import CASES, inputs
from torch import nn
from torch_geometric.data import Data

from graphgdl.testing import assert_contract


class LouderFirstNode(nn.Module):
    """The layer with one thing broken: the node that happens to be number 0 speaks a little louder."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, *args):
        return self.layer(torch.cat([1.05 * x[:1], x[1:]]), *args)


def call(module, data):
    return module(data.x, data.edge_index, *([] if data.edge_attr is None else [data.edge_attr]))


@pytest.mark.parametrize("case", [case for case in CASES if not case.bipartite], ids=lambda case: case.name)
def test_contract(case):
    layer, given = case.ours(), inputs(case)
    layer.lowering = "compiled"
    data = Data(x=given.x_src.detach(), edge_index=given.edge_index)
    if given.edge is not None:
        data.edge_attr = given.edge.detach()
    inert = getattr(layer, "inert", ())
    errors = assert_contract(layer, data, twin=LouderFirstNode(layer), call=call, inert=inert)
    assert max(errors["law"], errors["union"]) < 1e-10 < errors["twin"]

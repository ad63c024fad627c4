"""What the compiler does not understand it refuses with a reason, and no wrong number ever comes out of it.

Each function below is a `message` (or `aggregate`, `update`) as a user may write it. With a reason it must be refused for
that reason; without one it must be compiled, and agree with the message path in value and gradient.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.utils import scatter
from user_layers import reason
from user_messages import G, assert_refused_or_right, assert_same, case, cases_of, forgotten, made, node_features  # noqa: F401

IN_PROOF = "differs from that of the message path in the proof"


# --- control flow and numbers that depend on values


@case("Tensor.item")
def branches_on_a_value(self, x_j):
    return x_j if x_j.sum() > 0 else -x_j


@case("Tensor.item")
def reads_a_parameter_as_a_number(self, x_j):
    return x_j * self.weight[0].item()


@case("reads data by tolist")
def lists_a_parameter(self, x_j):
    return x_j * self.weight.tolist()[0]


@case("nonzero")
def selects_by_a_mask(self, x_j):
    return x_j * x_j[x_j > 0].sum()


@case("nonzero")
def drops_edges(self, x_j):
    return x_j[x_j.sum(-1).nonzero().squeeze(-1)]


@case("sort")
def sorts(self, x_j):
    return x_j.sort(-1).values


@case("topk")
def takes_the_greatest(self, x_j):
    return x_j.topk(2, -1).values.repeat(1, 2)


# --- numbers of nodes and edges as data


@case(IN_PROOF)
def divides_by_the_number_of_edges(self, x_j):
    return x_j / x_j.size(0)


@case(IN_PROOF)
def scales_by_the_log_of_the_number_of_edges(self, x_j):
    return x_j * math.log(x_j.size(0))


@case(IN_PROOF)
def scales_by_the_number_of_nodes(self, x_j, dim_size):
    return x_j * dim_size


@case("branches on the number of nodes or edges")
def branches_on_the_number_of_edges(self, x_j):
    return 3 * x_j if x_j.size(0) > 1000 else x_j


@case(IN_PROOF)
def branches_on_the_log_of_the_number_of_edges(self, x_j):
    return 3 * x_j if math.log(x_j.size(0)) > 7 else x_j


@case(IN_PROOF, "update")
def divides_by_the_number_of_nodes(self, inputs):
    return inputs / inputs.size(0)


@case("for each node or edge out of nothing")
def numbers_the_edges(self, x_j):
    return x_j * torch.arange(x_j.size(0)).view(-1, 1)


# --- statistics over all edges or nodes


@case("a mean over all edges or nodes")
def centres_over_edges(self, x_j):
    return x_j - x_j.mean(0)


@case("a mean over all edges or nodes", "update")
def centres_over_nodes(self, inputs):
    return inputs - inputs.mean(0)


@case("a norm of order 2, or over all edges")
def normalises_over_edges(self, x_j):
    return x_j / x_j.norm()


@case("a softmax over all edges")
def softmax_over_edges(self, x_j):
    return x_j.softmax(0)


@case("native_batch_norm")
def batch_norm(self, x_j):
    return F.batch_norm(x_j, None, None, training=True)


@case()
def subtracts_the_sum_over_edges(self, x_j):
    return x_j - x_j.sum(0)


# --- the edge index


@case("the edge index is used as data")
def index_as_data(self, x_j, index):
    return x_j * index.view(-1, 1).to(x_j.dtype)


@case("the edge index is used as data")
def compares_ends(self, x_j, edge_index):
    return x_j * (edge_index[0] < edge_index[1]).view(-1, 1)


@case("selects rows by something else")
def index_arithmetic(self, x_j, index, x, dim_size):
    return x_j + x[(index + 1) % dim_size]


@case("selects rows by something else")
def flipped_index(self, x_j, edge_index, x):
    return x_j * x[edge_index.flip(0)[0]]


@case()
def scatters_to_sources_and_back(self, x_j, edge_index, dim_size):
    return scatter(x_j, edge_index[0], 0, dim_size=dim_size, reduce="sum")[edge_index[1]]


@case("edges or nodes are sliced")
def uses_the_first_edge(self, x_j):
    return x_j - x_j[0]


@case("edges or nodes are sliced")
def reverses_edges(self, x_j):
    return x_j.flip(0)


@case("edges or nodes are rolled")
def rolls_edges(self, x_j):
    return x_j.roll(1, 0)


@case("a running sum or product over all edges")
def accumulates_over_edges(self, x_j):
    return x_j.cumsum(0)


@case("merges edges or nodes with features")
def transposes_into_features(self, x_j):
    return x_j.t().reshape(x_j.size(0), 4)


@case("folded")
def folds_edges_the_wrong_way(self, x_j):
    return x_j.view(-1, 2).view(2, -1).t().reshape(-1, 4)


@case("folded with features")
def weighs_edges_folded_with_features(self, x_j):
    return (x_j.view(-1, 2).t() * self.weight[:2].view(2, 1)).t().reshape(-1, 4)


@case("folded with features")
def sums_edges_folded_with_features(self, x_j):
    return x_j * x_j.view(-1, 2).t().sum(0).view(-1, 2).repeat(1, 2)


@case()
def linear_map_of_vectors(self, x_j):
    return F.linear(x_j.view(-1, 2, 2), self.weight.view(2, 2)).flatten(1).tanh()


@case()
def merges_edges_and_back(self, x_j):
    return (x_j.view(-1) * 2).view(-1, 4)


@case("edges or nodes are padded")
def pads_edges(self, x_j):
    return F.pad(x_j, (0, 0, 1, -1))


@case("a maximum over all edges")
def greatest_edge(self, x_j):
    return x_j * x_j.max(0).values


@case("a maximum over all edges")
def greatest_number(self, x_j):
    return x_j / x_j.max()


@case("a minimum over all edges")
def least_edge(self, x_j):
    return x_j - x_j.amin(0)


@case("a variance over all edges")
def spread_of_edges(self, x_j):
    return x_j / x_j.std(0)


@case("a statement over all edges")
def any_edge(self, x_j):
    return x_j * (x_j > 0).any(0)


@case("a running sum or product over all edges")
def product_of_edges(self, x_j):
    return x_j * x_j.prod(0)


@case("a product over all edges")
def product_of_everything(self, x_j):
    return x_j * x_j.prod()


# --- dtypes and ops


@case("a running sum or product of 68 features")
def runs_too_far(self, x_j):
    return x_j.repeat(1, 17).cumsum(-1)[:, :4]


@case("a norm of order 3")
def cubic_norm(self, x_j):
    return x_j / x_j.norm(p=3, dim=-1, keepdim=True)


@case("a variance of a single feature")
def variance_of_one(self, x_j):
    return x_j + x_j[:, :1].var(-1, keepdim=True)


@case("picks or places several features by position")
def picks_several(self, x_j):
    return x_j.gather(1, x_j.argmax(-1, keepdim=True).expand(-1, 4))


@case(r"constants greater than 2\*\*24")
def great_whole_number(self, x_j):
    return x_j * torch.tensor(2**40)


@case()
def scaled_products(self, x_j):
    h = x_j.view(-1, 2, 2)
    return torch.baddbmm(h, h, h, alpha=0.5).flatten(1)


@case("nonzero")
def picks_by_a_constant_mask(self, x_j):
    return x_j * self.weight[torch.tensor([True, False, True, True])].sum()


@case()
def picks_by_constants_from_the_end(self, x_j):
    return x_j * self.weight.detach()[torch.tensor([-1, 0])].sum()


@case("the bits of numbers")
def masks_bits(self, x_j):
    return x_j * ((x_j > 0).sum(-1, keepdim=True) & 2)


@case("int64")
def sums_to_an_integer(self, x_j):
    return x_j * x_j.sum(-1, keepdim=True, dtype=torch.int64)


@case("division with rounding")
def divides_down(self, x_j):
    return x_j.div(0.3, rounding_mode="floor")


@case("edge index is used as data|int64")
def rounds_to_integers(self, x_j):
    return (x_j * 10).long().to(x_j.dtype)


@case("float16")
def computes_in_half(self, x_j):
    return x_j.half().to(x_j.dtype)


@case("aten.i0.default is not understood: prims.bessel_i0.default is not understood")
def special_function(self, x_j):
    return torch.special.i0(x_j)


@case()
def asks_for_nan(self, x_j):
    odd = torch.where(x_j > 1, torch.nan, torch.where(x_j > 0.5, torch.inf, torch.where(x_j < -1, -torch.inf, x_j)))
    kept = torch.where(torch.isnan(odd), 2.0, odd).masked_fill(torch.isinf(odd), 3.0)
    return torch.cat([kept, torch.where(torch.isfinite(odd), x_j, 4.0), odd.nan_to_num(5.0, 6.0, 7.0)], -1)


@case()
def computes_in_float32(self, x_j):
    return x_j.float().to(x_j.dtype)


@case()
def powers(self, x_j):
    return x_j**3 + x_j**0 + x_j**1.0 + x_j.abs() ** self.weight


# --- aggregation


@case(None, "aggregate")
def sums_into_zeros(self, inputs, index, dim_size):
    return torch.zeros(dim_size, inputs.size(1), dtype=inputs.dtype).index_add_(0, index, inputs)


@case(None, "aggregate")
def sums_into_ones(self, inputs, index, dim_size):
    return torch.empty(dim_size, inputs.size(1), dtype=inputs.dtype).fill_(1.0).index_add_(0, index, inputs)


@case("writes rows by index", "aggregate")
def last_edge_wins(self, inputs, index, dim_size):
    out = torch.zeros(dim_size, inputs.size(1), dtype=inputs.dtype)
    out[index] = inputs
    return out


@case("includes what it is reduced into", "aggregate")
def maximum_with_zero(self, inputs, index, dim_size):
    into = torch.zeros(dim_size, inputs.size(1), dtype=inputs.dtype)
    return into.scatter_reduce_(0, index.view(-1, 1).expand_as(inputs), inputs, "amax")


@case("'prod'", "aggregate")
def products(self, inputs, index, dim_size):
    return scatter(inputs, index, 0, dim_size=dim_size, reduce="mul")


@case("computed from the number of nodes", "aggregate")
def one_row_more(self, inputs, index, dim_size):
    into = torch.zeros(dim_size + 1, inputs.size(1), dtype=inputs.dtype)
    return into.index_add_(0, index, inputs)[:dim_size]


@case(None, "update")
def returns_the_same_twice(self, inputs):
    return inputs, inputs


@pytest.mark.filterwarnings("ignore:Casting complex", "ignore:var():UserWarning")
@pytest.mark.parametrize("name", cases_of(__name__))
def test_refused_or_right(name):
    assert_refused_or_right(name)


# --- programs are shared between layers that record the same, so a verdict must not travel further than it is true


def test_a_proof_does_not_vouch_for_another_message():
    """Both record `x_j * 3`, one because it does not see the graph it is recorded on."""
    x = node_features(9, 4)
    assert_same(made("message", lambda self, x_j: 3 * x_j), x, G.edge_index, "compiled")
    assert_same(made("message", branches_on_the_log_of_the_number_of_edges), x, G.edge_index, "auto")


def test_a_refusal_does_not_spoil_another_message():
    x = node_features(9, 4)
    assert reason(made("message", branches_on_the_log_of_the_number_of_edges), x, G.edge_index) is not None
    assert reason(made("message", lambda self, x_j: 3 * x_j), x, G.edge_index) is None

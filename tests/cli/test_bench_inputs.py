"""The graphs and the user-written messages of `graphgdl bench ops`, the latter against dense formulas."""

import math
from dataclasses import replace

import pytest
import torch
from torch_geometric.utils import to_dense_adj

from graphgdl.cli.bench.hot_path import messages
from graphgdl.cli.bench.hot_path.graphs import GRAPHS, build_graph

TINY = 0.002


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_simple_sorted_and_seeded(name):
    graph = build_graph(name, 0.05)
    src, dst = graph.edge_index
    keys = dst * graph.num_nodes + src
    assert bool((keys.diff() > 0).all())  # sorted by destination, then source; no edge twice
    assert bool((src != dst).all())
    assert int(graph.edge_index.min()) >= 0
    assert int(graph.edge_index.max()) < graph.num_nodes
    assert graph.pos.shape == (graph.num_nodes, 3)
    assert float((graph.pos[src] - graph.pos[dst]).norm(dim=1).min()) > 0
    again, other = build_graph(name, 0.05), build_graph(name, 0.05, seed=1)
    assert torch.equal(again.edge_index, graph.edge_index)
    assert name == "grid" or not torch.equal(other.edge_index, graph.edge_index)


def test_shapes_of_the_graphs():
    graphs = {name: build_graph(name) for name in GRAPHS}
    sizes = {name: (graph.num_nodes, graph.num_edges) for name, graph in graphs.items()}
    assert sizes["random-20k"] == sizes["power-law"] == (20_000, 400_000)
    assert sizes["random-100k"] == (100_000, 1_000_000)
    assert sizes["citation-169k"] == (169_343, 1_166_243)
    assert sizes["grid"] == (141**2, 4 * 141 * 140)
    n, e = sizes["molecules"]
    assert 17 < n / 128 < 19
    assert 36 < e / 128 < 40
    degree = {name: torch.bincount(graphs[name].edge_index[1]) for name in ("hub", "power-law", "molecules")}
    assert int(degree["hub"][0]) == 19_999
    assert int(degree["hub"][1:].max()) < 20
    assert int(degree["molecules"].max()) == 4
    ordered = degree["power-law"].sort(descending=True).values.double()
    slope = (ordered[1000] / ordered[10]).log() / math.log(1000 / 10)
    assert -0.75 < float(slope) < -0.5  # rank^(-2/3), a little flatter at the top, where repeated edges were dropped


def _dense(graph):
    return to_dense_adj(graph.edge_index, max_num_nodes=graph.num_nodes)[0].t().double()  # [i, j]: j -> i


@pytest.fixture
def small():
    graph = build_graph("random-20k", TINY)  # 40 nodes, 800 edges
    return replace(graph, pos=graph.pos.double())


def test_painn_message_is_the_papers(small):
    torch.manual_seed(0)
    c, layer = 3, messages.PaiNNMessage(3).double()
    s, v = torch.randn(small.num_nodes, c).double(), torch.randn(small.num_nodes, 3, c).double()
    r = small.pos[None] - small.pos[:, None]  # [i, j] = r_j - r_i
    d = r.norm(dim=-1) + torch.eye(small.num_nodes)
    rbf = torch.stack([torch.sin(k * math.pi / 5 * d) / d for k in range(1, 21)], dim=-1)
    cut = torch.where(d < 5, 0.5 * (torch.cos(math.pi * d / 5) + 1), 0.0) * _dense(small)
    assert int((d[_dense(small) > 0] > 5).sum()) > 0
    x = layer.phi(s)[None] * layer.filter(rbf) * cut[..., None]
    ds = x[..., :c].sum(dim=1)
    dv = torch.einsum("ijc,jdc->idc", x[..., c : 2 * c], v)
    dv += torch.einsum("ijc,ijd->idc", x[..., 2 * c :], r / d[..., None])
    out = layer(s, v, small.pos, small.edge_index)
    torch.testing.assert_close(out, (s + ds, v + dv), rtol=1e-5, atol=1e-5)  # the frequencies are float32


def test_egnn_message_is_the_papers(small):
    torch.manual_seed(0)
    n, c = small.num_nodes, 3
    layer, h, x = messages.EGNNMessage(c).double(), torch.randn(n, c).double(), small.pos
    r = x[:, None] - x[None]
    both = torch.cat([h[:, None].expand(n, n, c), h[None].expand(n, n, c), r.square().sum(-1, keepdim=True)], dim=-1)
    m = layer.phi_e(both) * _dense(small)[..., None]
    moved = x + layer.scale * (r * layer.phi_x(layer.phi_e(both)) * _dense(small)[..., None]).sum(dim=1)
    expected = h + layer.phi_h(torch.cat([h, m.sum(dim=1)], dim=-1)), moved
    torch.testing.assert_close(layer(h, x, small.edge_index), expected, rtol=1e-9, atol=1e-9)


def test_cfconv_message_is_the_papers(small):
    torch.manual_seed(0)
    layer = messages.CFConvMessage(3).double()
    x = torch.randn(small.num_nodes, 3).double()
    d = (small.pos[:, None] - small.pos[None]).norm(dim=-1, keepdim=True)
    w = layer.filter(torch.exp(-layer.gamma * (d - torch.linspace(0, 5, 50).double()) ** 2)) * _dense(small)[..., None]
    expected = layer.lin_out(torch.einsum("ijc,jc->ic", w, layer.lin_in(x)))
    torch.testing.assert_close(layer(x, small.pos, small.edge_index), expected, rtol=1e-6, atol=1e-6)


def test_pna_message_is_the_papers(small):
    torch.manual_seed(0)
    n, c = small.num_nodes, 3
    layer, x, a = messages.PNALike(c).double(), torch.randn(n, c).double(), _dense(small)[..., None]
    m = layer.pre(torch.cat([x[:, None].expand(n, n, c), x[None].expand(n, n, c)], dim=-1))
    mean = (m * a).sum(1) / a.sum(1)
    std = ((m - mean[:, None]).square() * a).sum(1).div(a.sum(1)).sqrt()
    parts = [mean, m.masked_fill(a == 0, -math.inf).amax(1), std, (m * a).sum(1)]
    torch.testing.assert_close(layer(x, small.edge_index), layer.post(torch.cat(parts, -1)), rtol=1e-7, atol=1e-7)


def test_build_graph_names_the_graphs():
    with pytest.raises(ValueError, match="`graph` must be one of random-20k"):
        build_graph("nope")

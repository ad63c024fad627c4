"""What PyG and torch do with a model: explainers, to_hetero, loaders, torch.compile, autocast."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from layer_cases import BY_NAME, close, gradients, inputs
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.loader import DataLoader

from graphgdl import nn as gdl
from graphgdl.nn import explain_lowering


class Model(nn.Module):
    """Two layers of a room, `graphgdl.nn` or PyG's, and a readout."""

    def __init__(self, room, layer="GCNConv", readout=False):
        super().__init__()
        self.conv1, self.conv2 = getattr(room, layer)(4, 8), getattr(room, layer)(8, 3)
        self.pool = room.global_add_pool if readout else None

    def forward(self, x, edge_index, batch=None):
        x = self.conv2(self.conv1(x, edge_index).relu(), edge_index)
        return x if self.pool is None else self.pool(x, batch)


def graph(n=12, e=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=generator), torch.randint(0, n, (2, e), generator=generator)


def explanation(room, layer):
    torch.manual_seed(0)
    model = Model(room, layer)
    x, edge_index = graph()
    explainer = Explainer(
        model,
        algorithm=GNNExplainer(epochs=5),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    torch.manual_seed(1)
    return model, explainer(x, edge_index, index=3), (x, edge_index)


@pytest.mark.parametrize("layer", ["GCNConv", "SAGEConv", "GATConv", "GATv2Conv", "TransformerConv"])
def test_gnn_explainer_gives_the_same_masks(layer):
    model, ours, args = explanation(gdl, layer)
    _, theirs, _ = explanation(pyg, layer)
    close(ours.edge_mask, theirs.edge_mask)
    close(ours.node_mask, theirs.node_mask)
    assert ours.edge_mask.unique().numel() > 5
    assert [row.ran for row in explain_lowering(model, *args)] == [
        "compiled",
        "compiled",
    ]  # and afterwards it is fast again


def test_explaining_runs_the_message_path_with_its_reason():
    from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

    model, (x, edge_index) = Model(gdl), graph()
    before = model(x, edge_index)
    set_masks(model, torch.zeros(edge_index.size(1)), edge_index)
    report = explain_lowering(model, x, edge_index)
    assert {row.ran for row in report} == {"message"}
    assert all(row.refused == {"compiled": "explain mode needs every message"} for row in report)
    assert not torch.allclose(model(x, edge_index), before)
    clear_masks(model)
    close(model(x, edge_index), before)


@pytest.mark.parametrize("layer", ["SAGEConv", "GraphConv", "GATv2Conv", "TransformerConv"])
def test_to_hetero_gives_the_same(layer):
    data = HeteroData()
    data["paper"].x, data["author"].x = torch.randn(6, 4), torch.randn(5, 4)
    generator = torch.Generator().manual_seed(0)
    for edge_type in (("author", "writes", "paper"), ("paper", "rev_writes", "author"), ("paper", "cites", "paper")):
        sizes = [data[edge_type[0]].num_nodes, data[edge_type[2]].num_nodes]
        data[edge_type].edge_index = torch.stack([torch.randint(0, s, (9,), generator=generator) for s in sizes])
    models = []
    for room in (gdl, pyg):
        homogeneous = Model(room, layer)
        if layer == "GATv2Conv":  # bipartite edges take no self-loops
            homogeneous.conv1.add_self_loops = homogeneous.conv2.add_self_loops = False
        models.append(pyg.to_hetero(homogeneous, data.metadata()))
    models[1].load_state_dict(models[0].state_dict())
    ours, theirs = (model(data.x_dict, data.edge_index_dict) for model in models)
    for key in ("paper", "author"):
        close(ours[key], theirs[key])
    rows = explain_lowering(models[0], data.x_dict, data.edge_index_dict)
    assert len(rows) == 6
    assert {row.ran for row in rows} == {"compiled"}


def test_to_hetero_with_bases_uses_hooks():
    data = HeteroData()
    data["a"].x, data["b"].x = torch.randn(4, 4), torch.randn(3, 4)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1, 3], [0, 1, 2]])
    data["b", "to", "a"].edge_index = torch.tensor([[0, 1, 2], [3, 1, 2]])
    outs = []
    for room in (gdl, pyg):
        torch.manual_seed(0)
        model = pyg.to_hetero_with_bases(Model(room, "SAGEConv"), data.metadata(), num_bases=2, in_channels={"x": 4})
        outs.append(model(data.x_dict, data.edge_index_dict)["b"])
        if room is gdl:
            rows = explain_lowering(model, data.x_dict, data.edge_index_dict)
            assert {row.refused["compiled"] for row in rows} == {"a hook is registered on message"}
    close(*outs)


def test_batches_equal_their_graphs_one_by_one():
    model = Model(gdl, "GATConv", readout=True).double()
    graphs = [graph(n, 3 * n, seed=n) for n in (5, 1, 9)]
    data = [Data(x=x.double(), edge_index=edges) for x, edges in graphs]
    out = model(*(batch := Batch.from_data_list(data)).x.unsqueeze(0), batch.edge_index, batch.batch)
    one = torch.cat([model(d.x, d.edge_index, torch.zeros(d.num_nodes, dtype=torch.int64)) for d in data])
    close(out, one)
    loaded = next(iter(DataLoader(data, batch_size=3)))
    close(model(loaded.x, loaded.edge_index, loaded.batch), one)


@pytest.mark.parametrize("lowering", ["auto", "message"])
@pytest.mark.parametrize(
    "name",
    [
        "GCNConv",
        "GraphConv-max-weight",
        "SAGEConv-max",
        "GINConv",
        "GINEConv",
        "GATConv-edge",
        "GATv2Conv",
        "TransformerConv-edge",
        "NNConv",
        "EdgeConv",
    ],
)
def test_compiles_without_a_graph_break(name, lowering):
    case = BY_NAME[name]
    layer, given = case.ours(), inputs(case)
    layer.lowering = lowering
    expected = given.call(layer)
    torch._dynamo.reset()
    out = given.call(torch.compile(layer, fullgraph=True, backend="aot_eager"))
    close(out, expected)
    leaves = [*given.leaves, *layer.parameters()]
    for actual, wanted in zip(gradients(out, leaves), gradients(expected, leaves)):
        close(actual, wanted)


def test_torch_compile_refuses_a_fixed_compiled_form():
    layer, (x, edge_index) = gdl.SAGEConv(4, 4), graph()
    layer.lowering = "compiled"
    torch._dynamo.reset()
    with pytest.raises(Exception, match=r"does not apply: torch\.compile traces the message path; use 'auto'"):
        torch.compile(layer, fullgraph=True, backend="eager")(x, edge_index)


@pytest.mark.parametrize("name", ["GCNConv", "SAGEConv", "GATConv-heads", "GATv2Conv", "TransformerConv", "EdgeConv"])
def test_autocast_runs_the_message_path(name):
    case = BY_NAME[name]
    layer, given = case.ours(torch.float32), inputs(case, torch.float32)
    theirs = case.theirs(torch.float32)
    theirs.load_state_dict(layer.state_dict())
    expected = given.call(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        row = explain_lowering(layer, given.x, given.edge_index)[0]
        out, wanted = given.call(layer), given.call(theirs)
    assert row.refused["compiled"] == "autocast is active on the CPU"
    assert out.dtype == wanted.dtype
    assert (out.float() - expected).norm() < 0.03 * expected.norm()
    assert explain_lowering(layer, given.x, given.edge_index)[0].ran == "compiled"


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_half_precision_parameters(name):
    case = BY_NAME[name]
    layer, given = case.ours(torch.float32).bfloat16(), inputs(case, torch.bfloat16)
    exact = case.ours(torch.float32).double()
    wide = inputs(case)
    for leaf, half in zip(wide.leaves, given.leaves):
        leaf.data.copy_(half.data)
    for parameter, half in zip(exact.parameters(), layer.parameters()):
        parameter.data.copy_(half.data)
    out, expected = given.call(layer), wide.call(exact)
    assert out.dtype == torch.bfloat16
    assert (out.double() - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("around", ["checkpoint", "reentrant checkpoint", "offloading"])
def test_a_layer_first_called_where_saved_tensors_are_hooked(around):
    """What is compiled and proved meanwhile is not taken for what the layer saves."""
    found = []
    for lowering in ("compiled", "message"):
        torch.manual_seed(0)
        layer = gdl.EdgeConv(nn.Sequential(nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 3), nn.Dropout(0.0))).double()
        layer.lowering = lowering
        x, edge_index = graph(seed=1)
        x = x.double().requires_grad_()
        if around == "offloading":
            with torch.autograd.graph.save_on_cpu():
                out = layer(x, edge_index)
                out.sin().sum().backward()
        else:
            out = checkpoint(layer, x, edge_index, use_reentrant=around == "reentrant checkpoint")
            out.sin().sum().backward()
        found.append([out, x.grad, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs)

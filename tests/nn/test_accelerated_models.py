"""Models after `accelerate`: the same objects and numbers, saved, copied, explained, switched and given back."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from types import MethodType

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import HeteroData
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn.models.schnet import InteractionBlock

from graphgdl.nn import Accelerated, accelerate, decelerate, explain_lowering

N, E, C = 14, 60, 4


def graph(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, C, generator=generator, dtype=torch.float64).to(dtype)
    return x.requires_grad_(), torch.randint(N, (2, E), generator=generator)


def seeded(build):
    torch.manual_seed(0)
    return build().double().eval()


def lowerings(model, *args, **kwargs):
    return {row.ran for row in explain_lowering(model, *args, **kwargs)}


def same(model, plain, *args):
    """Compare values and gradients, and that every layer ran compiled."""
    assert lowerings(model, *args) == {"compiled"}
    found = []
    for m in (model, plain):
        value = m(*args)
        leaves = [p for p in m.parameters() if p.requires_grad]
        grads = torch.autograd.grad(value.sin().sum(), leaves, allow_unused=True)
        found.append([value, *(g for g in grads if g is not None)])
    assert len(found[0]) > 1
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9 * (theirs.abs().max().item() + 1))


class Sums(pyg.MessagePassing):
    """A user's layer."""

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)

    def message(self, x_i, x_j):
        return (x_i - x_j).tanh()


class OwnSteps(Sums):
    def propagate(self, edge_index, size=None, **kwargs):
        return 2 * super().propagate(edge_index, size=size, **kwargs)


class OwnScores(pyg.GATConv):
    def edge_updater(self, edge_index, size=None, **kwargs):
        return 2 * super().edge_updater(edge_index, size=size, **kwargs)


DEGREES = torch.tensor([1, 3, 4, 2, 1])
MODELS = {
    "GCN": lambda: pyg.GCN(C, 6, 2, 3, norm="batch", jk="cat"),
    "GraphSAGE": lambda: pyg.GraphSAGE(C, 6, 2, 3, aggr="max"),
    "GIN": lambda: pyg.GIN(C, 6, 2, 3),
    "GAT": lambda: pyg.GAT(C, 6, 2, 4, heads=2, v2=True),
    "PNA": lambda: pyg.PNA(C, 6, 2, 3, aggregators=["mean", "std"], scalers=["identity"], deg=DEGREES),
    "EdgeCNN": lambda: pyg.EdgeCNN(C, 6, 2, 3),
    "GAE": lambda: pyg.GAE(pyg.GCN(C, 6, 1)).encoder,
    "DeepGCN": lambda: pyg.DeepGCNLayer(pyg.GENConv(C, C), nn.LayerNorm(C), nn.ReLU(), block="res+"),
    "Sequential": lambda: pyg.Sequential(
        "x, edge_index",
        [(pyg.GCNConv(C, 5), "x, edge_index -> h"), nn.ReLU(), (pyg.SAGEConv(5, 3), "h, edge_index -> h")],
    ),
    "DirGNN": lambda: pyg.DirGNNConv(pyg.GATConv(C, 3, add_self_loops=False)),
    "user's": Sums,
}


@pytest.mark.parametrize("name", MODELS)
def test_models_give_the_same(name):
    model, plain = seeded(MODELS[name]), seeded(MODELS[name])
    if not list(model.parameters()):
        x, edges = graph()
        torch.testing.assert_close(accelerate(model)(x, edges), plain(x, edges), rtol=1e-12, atol=1e-12)
        assert lowerings(model, x, edges) == {"compiled"}
        return
    same(accelerate(model), plain, *graph())


def test_the_layer_of_schnet_gives_the_same():
    def build():
        return InteractionBlock(8, 5, 6, cutoff=3.0)

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 8, generator=generator, dtype=torch.float64)
    weight, attr = torch.rand(E, generator=generator).double(), torch.rand(E, 5, generator=generator).double()
    same(accelerate(seeded(build)), seeded(build), x, graph()[1], weight, attr)


@pytest.mark.parametrize("first", [True, False])
def test_a_model_turned_heterogeneous_gives_the_same(first):
    data = HeteroData()
    generator = torch.Generator().manual_seed(0)
    data["a"].x = torch.randn(6, C, generator=generator).double()
    data["b"].x = torch.randn(5, C, generator=generator).double()
    for source, target in [("a", "b"), ("b", "a")]:
        sizes = data[source].num_nodes, data[target].num_nodes
        data[source, "to", target].edge_index = torch.stack(
            [torch.randint(n, (20,), generator=generator) for n in sizes]
        )

    def build():
        return pyg.GraphSAGE((C, C), 6, 2, 3)

    model, plain = seeded(build), pyg.to_hetero(seeded(build), data.metadata())
    torch.manual_seed(1)
    model = pyg.to_hetero(accelerate(model) if first else model, data.metadata())
    accelerate(model)
    model.load_state_dict(plain.state_dict())
    args = data.x_dict, data.edge_index_dict
    assert lowerings(model, *args) == {"compiled"}
    for key, value in plain(*args).items():
        torch.testing.assert_close(model(*args)[key], value, rtol=1e-12, atol=1e-12)


def test_the_layers_stay_the_objects_they_are_and_come_back():
    model = seeded(MODELS["GAT"])
    x, edges = graph()
    layers, parameters = list(model.modules()), list(model.parameters())
    classes, state, shown = [type(m) for m in layers], copy.deepcopy(model.state_dict()), repr(model)
    keys = [set(vars(m)) for m in layers]
    before = model(x, edges)
    assert accelerate(model) is model
    assert isinstance(model.accelerated, Accelerated)
    assert model.accelerated.layers == ("convs.0", "convs.1")
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert all(isinstance(m, c) for m, c in zip(model.modules(), classes, strict=True))
    assert list(model.state_dict()) == list(state)
    assert repr(model) == shown
    assert accelerate(model) is model  # twice is once
    model(x, edges)
    assert decelerate(model) is model
    assert [type(m) for m in model.modules()] == classes
    assert [set(vars(m)) for m in model.modules()] == keys
    assert lowerings(model, x, edges) == {"message"}
    assert torch.equal(model(x, edges), before)


def test_an_example_compiles_at_once():
    x, edges = graph()
    model = seeded(MODELS["GCN"])
    accelerate(model, x, edge_index=edges)
    assert lowerings(model, x, edges) == {"compiled"}


def test_a_copy_is_accelerated_and_has_parameters_of_its_own():
    x, edges = graph()
    model = accelerate(seeded(MODELS["GAT"]), x, edges)
    twin = copy.deepcopy(model)
    torch.testing.assert_close(twin(x, edges), model(x, edges), rtol=0, atol=0)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    assert lowerings(twin, x, edges) == {"compiled"}
    assert (twin(x, edges) - model(x, edges)).abs().max() > 1e-3
    plain = seeded(MODELS["GAT"])
    plain.load_state_dict(twin.state_dict())
    same(twin, plain, x, edges)


LOADS = """
import sys, torch
model = torch.load(sys.argv[1], weights_only=False)
x, edges, expected = torch.load(sys.argv[2])
assert torch.equal(model(x, edges), expected)
from graphgdl.nn import decelerate, explain_lowering
assert {row.ran for row in explain_lowering(model, x, edges)} == {"compiled"}
plain = decelerate(model)
assert torch.allclose(plain(x, edges), expected, rtol=1e-10)
assert {row.ran for row in explain_lowering(plain, x, edges)} == {"message"}
"""


def test_a_saved_model_loads_where_accelerate_was_never_called(tmp_path):
    x, edges = graph()
    model = accelerate(seeded(MODELS["GAT"]), x, edges)
    torch.save(model, tmp_path / "model.pt")
    torch.save((x.detach(), edges, model(x, edges).detach()), tmp_path / "data.pt")
    subprocess.run([sys.executable, "-c", LOADS, tmp_path / "model.pt", tmp_path / "data.pt"], check=True, timeout=120)


@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_pickled_and_back(protocol):
    x, edges = graph()
    model = accelerate(seeded(lambda: pyg.GATConv(C, 3)))
    model.lowering = "compiled"
    again = pickle.loads(pickle.dumps(model, protocol))
    assert type(again) is type(model)
    assert again.lowering == "compiled"
    torch.testing.assert_close(again(x, edges), model(x, edges), rtol=0, atol=0)


def test_the_state_dict_goes_both_ways(tmp_path):
    x, edges = graph()
    model = accelerate(seeded(MODELS["GCN"]))
    torch.save(model.state_dict(), tmp_path / "state.pt")
    plain = MODELS["GCN"]().double().eval()
    plain.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    same(model, plain, x, edges)
    other = accelerate(MODELS["GCN"]().double().eval())
    other.load_state_dict(plain.state_dict())
    same(other, plain, x, edges)


def explained(model, x, edges):
    explainer = Explainer(
        model,
        algorithm=GNNExplainer(epochs=5),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    torch.manual_seed(1)
    return explainer(x, edges, index=3)


@pytest.mark.parametrize("name", ["GCN", "GAT"])
def test_an_explainer_gets_the_messages(name):
    x, edges = (t.detach() for t in graph())
    model, plain = accelerate(seeded(MODELS[name])), seeded(MODELS[name])
    ours, theirs = explained(model, x, edges), explained(plain, x, edges)
    torch.testing.assert_close(ours.edge_mask, theirs.edge_mask)
    torch.testing.assert_close(ours.node_mask, theirs.node_mask)
    assert ours.edge_mask.unique().numel() > 5
    assert lowerings(model, x, edges) == {"compiled"}
    value = model(x, edges)
    torch.testing.assert_close(decelerate(model)(x, edges), value)
    torch.testing.assert_close(explained(model, x, edges).edge_mask, theirs.edge_mask)
    accelerate(plain)  # after PyG's own explainer has left its marks
    assert plain.accelerated.skipped == {}
    assert lowerings(plain, x, edges) == {"compiled"}


def test_a_layer_given_back_while_it_is_explained_still_explains():
    x, edges = (t.detach() for t in graph())
    conv = accelerate(seeded(lambda: pyg.GraphConv(C, 3)))
    conv.explain = True
    conv._edge_mask, conv._loop_mask, conv._apply_sigmoid = torch.zeros(E).double(), torch.ones(E).bool(), False
    masked = conv(x, edges)
    assert lowerings(conv, x, edges) == {"message"}
    torch.testing.assert_close(decelerate(conv)(x, edges), masked)
    conv.explain = False
    assert (conv(x, edges) - masked).abs().max() > 1e-3


def test_hooks_are_called():
    x, edges = graph()
    conv, seen = seeded(lambda: pyg.SAGEConv(C, 3)), []
    conv.register_forward_hook(lambda *_: seen.append("forward"))
    accelerate(conv)
    assert lowerings(conv, x, edges) == {"compiled"}
    handle = conv.register_message_forward_hook(lambda *_: seen.append("message"))
    assert lowerings(conv, x, edges) == {"message"}
    handle.remove()
    assert lowerings(conv, x, edges) == {"compiled"}
    assert seen == ["forward", "message", "forward", "forward"]


def test_training_and_evaluation():
    x, edges = graph()
    model, plain = (seeded(lambda: pyg.GATConv(C, 3, dropout=0.5)) for _ in range(2))
    accelerate(model).train()
    torch.manual_seed(0)
    assert not torch.allclose(model(x, edges), model(x, edges))
    assert lowerings(model, x, edges) == {"compiled"}
    same(model.eval(), plain, x, edges)


def test_another_dtype():
    model, plain = accelerate(seeded(MODELS["GCN"])).float(), seeded(MODELS["GCN"]).float()
    x, edges = graph(torch.float32)
    torch.testing.assert_close(model(x, edges), plain(x, edges), rtol=1e-5, atol=1e-5)
    same(model.to(torch.float64), plain.double(), *graph())


def test_a_layer_with_steps_of_its_own_is_left_alone():
    own = MethodType(lambda self, *args, **kwargs: None, object())
    replaced = Sums()
    replaced.propagate = own
    model = nn.ModuleDict({"own": OwnSteps(), "scores": OwnScores(C, 3), "set": replaced, "good": Sums()})
    classes = [type(m) for m in model.values()]
    accelerate(model)
    assert model.accelerated.layers == ("good",)
    assert model.accelerated.skipped == {
        "own": "`OwnSteps` has its own `propagate`",
        "scores": "`OwnScores` has its own `edge_updater`",
        "set": "`propagate` is set on the instance",
    }
    assert [type(m) for m in model.values()][:-1] == classes[:-1]
    assert replaced.propagate is own
    x, edges = graph()
    torch.testing.assert_close(model["own"](x, edges), 2 * Sums()(x, edges))


def test_a_child_of_a_layer_with_its_own_propagate_does_what_pyg_does():
    """PyG generates a `propagate` for the child, which hides its parent's."""

    class Child(OwnSteps):
        pass

    x, edges = graph()
    theirs = Child()(x, edges)
    conv = accelerate(Child())
    torch.testing.assert_close(conv(x, edges), theirs)
    assert lowerings(conv, x, edges) == {"compiled"}


BARE = """
import torch
from torch_geometric.nn import GCNConv, MessagePassing
MessagePassing()  # PyG now puts a generated `propagate` into the class of all layers
from graphgdl.nn import accelerate, explain_lowering
torch.manual_seed(0)
conv, x, edges = GCNConv(2, 2), torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]])
expected = conv(x, edges)
MessagePassing()
assert explain_lowering(accelerate(conv), x, edges)[0].ran == "compiled"
assert torch.allclose(conv(x, edges), expected)
conv.lowering = "message"
assert torch.allclose(conv(x, edges), expected)
"""


def test_a_bare_layer_made_before_changes_nothing():
    subprocess.run([sys.executable, "-c", BARE], check=True, timeout=120)


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"`model` must be a torch.nn.Module, got int"):
        accelerate(3)

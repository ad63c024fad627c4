"""Every class of `torch_geometric.nn.conv`: how to build it, what to call it with; and the table of what runs compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch_geometric.nn as pyg
import torch_geometric.typing
from torch import Tensor, library, nn
from torch_geometric.nn import conv as convs
from torch_geometric.nn.aggr import MultiAggregation, SoftmaxAggregation

import graphgdl.nn as gdl

TABLE = Path(gdl.__file__).parent / "ACCELERATED.md"
N, M, E = 12, 9, 47
C = 8


def mlp(c_in: int, c_out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(c_in, 6), nn.Tanh(), nn.Linear(6, c_out))


def pool(dtype: torch.dtype = torch.float64, seed: int = 0) -> dict[str, Any]:
    """Return the inputs by name: random features, and edges that leave nodes without any."""
    generator = torch.Generator().manual_seed(seed)

    def real(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    def whole(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    edges, across = whole(N - 2, 2, E), torch.stack([whole(N, E), whole(M, E)])
    back = torch.stack([whole(M, E), whole(N, E)])
    x, y = real(N, C), real(M, C)
    return {
        "x": x,
        "pair": (x, y),
        "unequal": (x, real(M, 5)),
        "half": (x, None),
        "edges": edges,
        "sorted": edges[:, edges[1].argsort()],
        "others": whole(N, 2, 31),
        "across": across,
        "incidence": torch.stack([whole(N, E), whole(M, E)]),
        "weight": (real(E).detach().abs() + 0.3).requires_grad_(),
        "attr": real(E, 3),
        "wide": real(E, C),
        "hyper_attr": real(M, C),
        "pseudo": (real(E, 3).detach().sigmoid()).requires_grad_(),
        "pos": real(N, 3),
        "both_pos": (real(N, 3), real(M, 3)),
        "normal": real(N, 3),
        "type": whole(3, E),
        "node_type": whole(2, N),
        "x_0": real(N, C),
        "deep": real(N, 3, C),
        "colour": whole(4, N),
        "mesh_x": real(N, C),
        "mesh": torch.stack([torch.arange(N).repeat_interleave(4), whole(N, 4 * N)]),
        "nodes": {"a": x, "b": y},
        "relations": {("a", "to", "b"): across, ("b", "to", "a"): back, ("a", "in", "a"): edges},
        "size": (N, M),
    }


METADATA = (["a", "b"], [("a", "to", "b"), ("b", "to", "a"), ("a", "in", "a")])
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@dataclass(frozen=True)
class Case:
    """A class with one set of options, and the names of its inputs (`key=name` for a keyword)."""

    name: str
    build: Callable[[Any], nn.Module]
    inputs: str = "x edges"
    dtype: torch.dtype = torch.float64

    @property
    def title(self) -> str:
        return self.name.partition("-")[0]

    @property
    def options(self) -> str:
        return self.name.partition("-")[2] or "plain"

    def layer(self) -> nn.Module:
        """Return the layer in evaluation mode, every parameter filled so that every one is seen."""
        torch.manual_seed(0)
        layer = self.build(getattr(convs, self.title)).to(self.dtype).eval()
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.5)
        return layer

    def arguments(self, given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        named = [part.rpartition("=") for part in self.inputs.split()]
        return [given[n] for k, _, n in named if not k], {k: given[n] for k, _, n in named if k}

    def leaves(self, given: dict[str, Any]) -> list[Tensor]:
        names = [part.rpartition("=")[2] for part in self.inputs.split()]
        return [t for name in names for t in tensors(given[name]) if t.requires_grad]

    def outcome(self, layer: nn.Module) -> str:
        """Run a layer, and return 'compiled', or the reason of what was not."""
        args, options = self.arguments(pool(self.dtype))
        rows = gdl.explain_lowering(layer, *args, **options)
        if not rows:
            return "it passes no messages"
        reasons = {reason for row in rows for reason in row.refused.values()}
        short = {r.partition(":")[0] if "when run without values" in r else r for r in reasons}  # the rest is torch's
        return "; ".join(sorted(short)) or "compiled"


def plain(cls: Any, **options: Any) -> nn.Module:
    """Return a layer that sends its neighbours' features, as the base class does."""

    class Layer(cls):  # type: ignore[misc]
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.propagate(edge_index, x=x)

    return Layer(**options)


def tensors(value: Any) -> list[Tensor]:
    """Return the floating-point tensors in what a layer takes or returns."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        return [t for v in value.values() for t in tensors(v)]
    return [t for v in value for t in tensors(v)] if isinstance(value, tuple | list) else []


def hetero(cls: Any) -> nn.Module:
    inner = {r: pyg.SAGEConv((C, C), C) for r in METADATA[1][:2]}
    return cls({**inner, METADATA[1][2]: pyg.GATConv(C, C, add_self_loops=False)})


DEGREES = torch.tensor([1, 3, 4, 2, 1])
CASES = [
    Case("MessagePassing", lambda cls: plain(cls, aggr="sum")),
    Case("MessagePassing-mean", lambda cls: plain(cls, aggr="mean")),
    Case("MessagePassing-max", lambda cls: plain(cls, aggr="max")),
    Case("MessagePassing-mul", lambda cls: plain(cls, aggr="mul")),
    Case("MessagePassing-median", lambda cls: plain(cls, aggr="median")),
    Case("MessagePassing-softmax", lambda cls: plain(cls, aggr=SoftmaxAggregation(learn=True))),
    Case("MessagePassing-several", lambda cls: plain(cls, aggr=MultiAggregation(["mean", "max", "std"]))),
    Case("MessagePassing-var", lambda cls: plain(cls, aggr="var")),
    Case("SimpleConv", lambda cls: cls(), "x edges weight"),
    Case("SimpleConv-root", lambda cls: cls("mean", combine_root="cat")),
    Case("SimpleConv-pair", lambda cls: cls("max"), "pair across"),
    Case("GCNConv", lambda cls: cls(C, 5)),
    Case("GCNConv-weight", lambda cls: cls(C, 5), "x edges weight"),
    Case("GCNConv-raw", lambda cls: cls(C, 5, normalize=False), "x edges weight"),
    Case("ChebConv", lambda cls: cls(C, 5, 3)),
    Case("ChebConv-weight", lambda cls: cls(C, 5, 2, normalization="rw"), "x edges weight"),
    Case("SAGEConv", lambda cls: cls(C, 5)),
    Case("SAGEConv-max", lambda cls: cls(C, 5, aggr="max", project=True, normalize=True)),
    Case("SAGEConv-several", lambda cls: cls(C, 5, aggr=["mean", "max", "std"])),
    Case("SAGEConv-softmax", lambda cls: cls(C, 5, aggr="softmax")),
    Case("SAGEConv-lstm", lambda cls: cls(C, 5, aggr="lstm"), "x sorted"),
    Case("SAGEConv-pair", lambda cls: cls((C, 5), 4), "unequal across"),
    Case("SAGEConv-half", lambda cls: cls((C, C), 4, root_weight=False), "half across size=size"),
    Case("GraphConv", lambda cls: cls(C, 5)),
    Case("GraphConv-weight", lambda cls: cls(C, 5, aggr="max"), "x edges weight"),
    Case("GraphConv-pair", lambda cls: cls((C, 5), 4), "unequal across weight"),
    Case("GravNetConv", lambda cls: cls(C, 5, 2, 4, 3), "x"),
    Case("GatedGraphConv", lambda cls: cls(C, 2)),
    Case("GatedGraphConv-weight", lambda cls: cls(C, 2, aggr="mean"), "x edges weight"),
    Case("ResGatedGraphConv", lambda cls: cls(C, 5)),
    Case("ResGatedGraphConv-attr", lambda cls: cls(C, 5, edge_dim=3), "x edges attr"),
    Case("ResGatedGraphConv-pair", lambda cls: cls((C, 5), 4), "unequal across"),
    Case("GATConv", lambda cls: cls(C, 4, heads=2)),
    Case("GATConv-attr", lambda cls: cls(C, 4, heads=2, edge_dim=3, concat=False, residual=True), "x edges attr"),
    Case("GATConv-no_loops", lambda cls: cls(C, 4, add_self_loops=False)),
    Case("GATConv-pair", lambda cls: cls((C, 5), 4, heads=2, add_self_loops=False), "unequal across"),
    Case("GATv2Conv", lambda cls: cls(C, 4, heads=2)),
    Case(
        "GATv2Conv-attr", lambda cls: cls(C, 4, heads=2, edge_dim=3, concat=False, share_weights=True), "x edges attr"
    ),
    Case("GATv2Conv-pair", lambda cls: cls((C, 5), 4, heads=2, add_self_loops=False), "unequal across"),
    Case("TransformerConv", lambda cls: cls(C, 4, heads=2)),
    Case("TransformerConv-attr", lambda cls: cls(C, 4, heads=2, edge_dim=3, beta=True), "x edges attr"),
    Case("TransformerConv-pair", lambda cls: cls((C, 5), 4, heads=2, concat=False), "unequal across"),
    Case("AGNNConv", lambda cls: cls()),
    Case("AGNNConv-no_loops", lambda cls: cls(add_self_loops=False, requires_grad=False)),
    Case("TAGConv", lambda cls: cls(C, 5)),
    Case("TAGConv-weight", lambda cls: cls(C, 5, K=2, normalize=False), "x edges weight"),
    Case("GINConv", lambda cls: cls(mlp(C, 5), train_eps=True)),
    Case("GINConv-pair", lambda cls: cls(mlp(C, 5)), "pair across"),
    Case("GINEConv", lambda cls: cls(mlp(C, 5)), "x edges wide"),
    Case("GINEConv-attr", lambda cls: cls(mlp(C, 5), edge_dim=3), "x edges attr"),
    Case("GINEConv-pair", lambda cls: cls(mlp(C, 5), edge_dim=3), "pair across attr"),
    Case("ARMAConv", lambda cls: cls(C, 5)),
    Case("ARMAConv-stacks", lambda cls: cls(C, 5, num_stacks=2, num_layers=2), "x edges weight"),
    Case("SGConv", lambda cls: cls(C, 5, K=2)),
    Case("SGConv-weight", lambda cls: cls(C, 5, K=2, add_self_loops=False), "x edges weight"),
    Case("SSGConv", lambda cls: cls(C, 5, 0.2, K=2)),
    Case("SSGConv-weight", lambda cls: cls(C, 5, 0.2, K=2), "x edges weight"),
    Case("APPNP", lambda cls: cls(2, 0.1)),
    Case("APPNP-raw", lambda cls: cls(2, 0.1, normalize=False), "x edges weight"),
    Case("MFConv", lambda cls: cls(C, 5, max_degree=3)),
    Case("MFConv-pair", lambda cls: cls((C, C), 5, max_degree=3), "pair across"),
    Case("RGCNConv", lambda cls: cls(C, 5, 3), "x edges type"),
    Case("RGCNConv-bases", lambda cls: cls(C, 6, 3, num_bases=2, aggr="max"), "x edges type"),
    Case("RGCNConv-blocks", lambda cls: cls(C, 6, 3, num_blocks=2), "x edges type"),
    Case("RGCNConv-pair", lambda cls: cls((C, C), 5, 3), "pair across type"),
    Case("FastRGCNConv", lambda cls: cls(C, 5, 3), "x edges type"),
    Case("FastRGCNConv-blocks", lambda cls: cls(C, 6, 3, num_blocks=2), "x edges type"),
    Case("RGATConv", lambda cls: cls(C, 4, 3, heads=2), "x edges type"),
    Case(
        "RGATConv-attr",
        lambda cls: cls(C, 4, 3, heads=2, edge_dim=3, num_bases=2, attention_mechanism="within-relation"),
        "x edges type attr",
    ),
    Case("SignedConv", lambda cls: cls(C, 5, first_aggr=True), "x edges others"),
    Case("SignedConv-second", lambda cls: cls(4, 5, first_aggr=False), "x edges others"),
    Case("DNAConv", lambda cls: cls(C, heads=2), "deep edges"),
    Case("DNAConv-weight", lambda cls: cls(C, groups=2, normalize=False), "deep edges weight"),
    Case("PointNetConv", lambda cls: cls(mlp(C + 3, 5), mlp(5, 4)), "x pos edges"),
    Case("PointNetConv-pair", lambda cls: cls(mlp(C + 3, 5), add_self_loops=False), "pair both_pos across"),
    Case("GMMConv", lambda cls: cls(C, 5, 3, 4), "x edges pseudo"),
    Case("GMMConv-separate", lambda cls: cls(C, 5, 3, 2, separate_gaussians=True, aggr="add"), "x edges pseudo"),
    Case("GMMConv-pair", lambda cls: cls((C, 5), 5, 3, 2), "unequal across pseudo"),
    Case("NNConv", lambda cls: cls(C, 5, mlp(3, 5 * C)), "x edges attr"),
    Case("NNConv-mean", lambda cls: cls(C, 5, mlp(3, 5 * C), aggr="mean"), "x edges attr"),
    Case("NNConv-pair", lambda cls: cls((C, 5), 5, mlp(3, 5 * C), aggr="max"), "unequal across attr"),
    Case("CGConv", lambda cls: cls(C)),
    Case("CGConv-attr", lambda cls: cls(C, 3, aggr="mean", batch_norm=True), "x edges attr"),
    Case("CGConv-pair", lambda cls: cls((C, 5), 3), "unequal across attr"),
    Case("EdgeConv", lambda cls: cls(mlp(2 * C, 5))),
    Case("EdgeConv-mean", lambda cls: cls(mlp(2 * C, 5), aggr="mean")),
    Case("EdgeConv-pair", lambda cls: cls(mlp(2 * C, 5)), "pair across"),
    Case("DynamicEdgeConv", lambda cls: cls(mlp(2 * C, 5), 3), "x"),
    Case("XConv", lambda cls: cls(C, 5, 3, 4), "x pos"),
    Case("PPFConv", lambda cls: cls(mlp(C + 4, 5), mlp(5, 4)), "x pos normal edges"),
    Case("FeaStConv", lambda cls: cls(C, 5, heads=2)),
    Case("FeaStConv-pair", lambda cls: cls(C, 5, heads=2, add_self_loops=False), "pair across"),
    Case("PointTransformerConv", lambda cls: cls(C, 5), "x pos edges"),
    Case("PointTransformerConv-nets", lambda cls: cls(C, 5, mlp(3, 5), mlp(5, 5), add_self_loops=False), "x pos edges"),
    Case("PointTransformerConv-pair", lambda cls: cls((C, C), 5, add_self_loops=False), "pair both_pos across"),
    Case("HypergraphConv", lambda cls: cls(C, 5), "x incidence"),
    Case(
        "HypergraphConv-attention",
        lambda cls: cls(C, 5, use_attention=True, heads=2),
        "x incidence hyperedge_attr=hyper_attr",
    ),
    Case("LEConv", lambda cls: cls(C, 5)),
    Case("LEConv-weight", lambda cls: cls(C, 5), "x edges weight"),
    Case("LEConv-pair", lambda cls: cls((C, 5), 4), "unequal across weight"),
    Case("PNAConv", lambda cls: cls(C, 6, ["mean", "max", "min", "std"], ["identity", "amplification"], DEGREES)),
    Case(
        "PNAConv-towers",
        lambda cls: cls(C, 6, ["sum", "var"], ["attenuation"], DEGREES, edge_dim=3, towers=2),
        "x edges attr",
    ),
    Case("ClusterGCNConv", lambda cls: cls(C, 5, diag_lambda=0.3)),
    Case("GENConv", lambda cls: cls(C, 5)),
    Case("GENConv-attr", lambda cls: cls(C, 5, learn_t=True, edge_dim=3, msg_norm=True), "x edges attr"),
    Case("GENConv-powermean", lambda cls: cls(C, 5, aggr="powermean", learn_p=True)),
    Case("GENConv-pair", lambda cls: cls((C, 5), 4), "unequal across"),
    Case("GCN2Conv", lambda cls: cls(C, 0.2), "x x_0 edges"),
    Case("GCN2Conv-weight", lambda cls: cls(C, 0.2, theta=0.5, layer=2, shared_weights=False), "x x_0 edges weight"),
    Case("PANConv", lambda cls: cls(C, 5, 2), dtype=torch.float32),
    Case("WLConv", lambda cls: cls(), "colour edges"),
    Case("WLConvContinuous", lambda cls: cls()),
    Case("WLConvContinuous-weight", lambda cls: cls(), "x edges weight"),
    Case("FiLMConv", lambda cls: cls(C, 5)),
    Case("FiLMConv-relations", lambda cls: cls(C, 5, num_relations=3), "x edges type"),
    Case("FiLMConv-pair", lambda cls: cls((C, C), 5), "pair across"),
    Case("SuperGATConv", lambda cls: cls(C, 4, heads=2)),
    Case("SuperGATConv-SD", lambda cls: cls(C, 4, heads=2, attention_type="SD", add_self_loops=False)),
    Case("FAConv", lambda cls: cls(C), "x x_0 edges"),
    Case("FAConv-weight", lambda cls: cls(C, normalize=False), "x x_0 edges weight"),
    Case("EGConv", lambda cls: cls(C, 6, num_heads=2, num_bases=2)),
    Case("EGConv-several", lambda cls: cls(C, 6, ["sum", "mean", "symnorm", "max", "std"], num_heads=2, num_bases=2)),
    Case("PDNConv", lambda cls: cls(C, 5, 3, 4), "x edges attr"),
    Case("GeneralConv", lambda cls: cls(C, 5)),
    Case("GeneralConv-attention", lambda cls: cls(C, 6, 3, attention=True, heads=2), "x edges attr"),
    Case(
        "GeneralConv-product",
        lambda cls: cls(C, 6, attention=True, heads=2, attention_type="dot_product", l2_normalize=True),
    ),
    Case("HGTConv", lambda cls: cls(C, 6, METADATA, heads=2), "nodes relations"),
    Case("HEATConv", lambda cls: cls(C, 5, 2, 3, 4, 3, 4, heads=2), "x edges node_type type attr"),
    Case("HeteroConv", lambda cls: hetero(cls), "nodes relations"),
    Case("HANConv", lambda cls: cls(C, 6, METADATA, heads=2), "nodes relations"),
    Case("LGConv", lambda cls: cls()),
    Case("LGConv-weight", lambda cls: cls(normalize=False), "x edges weight"),
    Case("PointGNNConv", lambda cls: cls(mlp(C, 3), mlp(C + 3, 5), mlp(5, C)), "x pos edges"),
    Case("GPSConv", lambda cls: cls(C, pyg.GINConv(mlp(C, C)), heads=2)),
    Case("AntiSymmetricConv", lambda cls: cls(C, num_iters=2)),
    Case("DirGNNConv", lambda cls: cls(pyg.SAGEConv(C, 5))),
    Case("DirGNNConv-attention", lambda cls: cls(pyg.GATv2Conv(C, 5, add_self_loops=False))),
    Case("MixHopConv", lambda cls: cls(C, 5)),
    Case("MixHopConv-weight", lambda cls: cls(C, 5, powers=[0, 2]), "x edges weight"),
    Case("MeshCNNConv", lambda cls: cls(C, 5), "mesh_x mesh"),
]
BY_NAME = {case.name: case for case in CASES}
UNTRIED: dict[str, tuple[str, Callable[[Any], nn.Module]]] = {  # what each needs beside PyG
    "CuGraphSAGEConv": ("pylibcugraphops", lambda cls: cls(C, 5)),
    "CuGraphGATConv": ("pylibcugraphops", lambda cls: cls(C, 5)),
    "CuGraphRGCNConv": ("pylibcugraphops", lambda cls: cls(C, 5, 3)),
    "FusedGATConv": ("dgNN", lambda cls: cls(C, 5, add_self_loops=False)),
    "SplineConv": ("pyg-lib", lambda cls: cls(C, 5, 3, 4)),
}


@contextmanager
def neighbour_search() -> Iterator[None]:
    """Let layers that look for nearest neighbours do so by brute force where pyg-lib is not installed."""
    if torch_geometric.typing.WITH_KNN:
        yield
        return
    fragment = library.Library("pyg", "FRAGMENT")
    fragment.define("knn(Tensor x, Tensor y, Tensor? px, Tensor? py, int k, bool cosine, int workers) -> Tensor")
    fragment.impl("knn", lambda x, y, px, py, k, *_: _nearest(x.detach(), y.detach(), k), "CompositeImplicitAutograd")
    torch_geometric.typing.WITH_KNN = True
    try:
        yield
    finally:
        torch_geometric.typing.WITH_KNN = False
        fragment._destroy()


def _nearest(x: Tensor, y: Tensor, k: int) -> Tensor:
    found = torch.cdist(y, x).topk(k, largest=False).indices
    return torch.stack([torch.arange(len(y)).repeat_interleave(k), found.flatten()])


def table(outcomes: dict[str, str]) -> str:
    """Return the page, from the outcome of each case."""
    lines, whole = [], 0
    for title in convs.__all__:
        mine = {c.options: outcomes[c.name] for c in CASES if c.title == title}
        compiled = ", ".join(options for options, outcome in mine.items() if outcome == "compiled")
        rest = "<br>".join(f"{options}: {outcome}" for options, outcome in mine.items() if outcome != "compiled")
        rest = f"not tried, it needs {UNTRIED[title][0]}" if title in UNTRIED else rest
        whole += not rest
        lines.append(f"| {title} | {compiled} | {rest} |")
    head = f"""# PyG's layers on compiled loops

What `accelerate` does with each class of `torch_geometric.nn.conv`: the options that run compiled, each tested to be
equal to PyG's own path in value and gradient, and those that are left to PyG's path, with the reason.
{whole} of {len(lines)} classes run compiled in all the options tried.
Written by `python tests/nn/pyg_layers.py`; the tests fail where this page is out of date.

| Layer | Compiled | Message path |
|---|---|---|
"""
    return head + "\n".join(lines) + "\n"


def committed() -> dict[str, str]:
    """Return the outcome of each case, as the page has it."""
    found = {}
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for line in lines[1:]:
        title, compiled, rest = (cell.strip() for cell in line[1:-1].split("|"))
        outcomes = dict.fromkeys(compiled.split(", ") if compiled else [], "compiled")
        if title not in UNTRIED and rest:
            outcomes |= dict(part.split(": ", 1) for part in rest.split("<br>"))
        found |= {title if name == "plain" else f"{title}-{name}": outcome for name, outcome in outcomes.items()}
    return found


def main() -> None:
    """Write the table."""
    with neighbour_search(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = {case.name: case.outcome(gdl.accelerate(case.layer())) for case in CASES}
    TABLE.write_text(table(outcomes), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

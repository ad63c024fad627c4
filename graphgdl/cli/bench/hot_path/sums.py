"""The ops: `ops.gather_scatter`, on CUDA a compiled message, beside torch, torch_scatter and torch_sparse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from graphgdl.cli.bench.hot_path.problem import OURS, Problem, Side, brief

if TYPE_CHECKING:
    from torch import Tensor

    from graphgdl.cli.bench.hot_path.graphs import BenchGraph

HEADS = 4
SUMS = ("sum", "weighted-sum", "weighted-sum-heads")
GATHER_AND_ADD = "gather + index_add"

Sum = Callable[["Tensor", "Tensor | None", "Tensor | None"], "Tensor"]  # features, weights, other edges


def sum_problem(name: str, graph: BenchGraph, channels: int, *, peers_only: bool = False) -> Problem:
    """Build the op: 'sum' and 'weighted-sum' of rows (n, c), or with one weight for each of 4 heads, (n, 4, c / 4)."""
    import torch

    generator = torch.Generator().manual_seed(1)
    device = graph.edge_index.device
    heads = name.endswith("heads")
    shape = (HEADS, channels // HEADS) if heads else (channels,)
    x = torch.randn(graph.num_nodes, *shape, generator=generator).to(device)
    w = None
    if name != "sum":
        w = torch.rand(graph.num_edges, *([HEADS] if heads else []), generator=generator).to(device)
    makers = {GATHER_AND_ADD: _gather_and_add}
    if not peers_only:
        makers = {OURS: _ours, **makers, "gather + scatter_add": _gather_and_scatter}
        makers |= {"torch_scatter": _torch_scatter, "torch_sparse": _torch_sparse, "torch CSR": _torch_csr}
    inputs = (x,) if w is None else (x, w)
    return Problem(
        name=name,
        kind="op",
        graph=graph,
        channels=math.prod(shape),
        sides={side: _made(make, graph, x, w) for side, make in makers.items()},
        plain=GATHER_AND_ADD,
        inputs=inputs,
        learned=inputs,
        row_floats=math.prod(shape),
    )


def _made(make: Callable[[BenchGraph], Sum], graph: BenchGraph, x: Tensor, w: Tensor | None) -> Side | str:
    try:
        run = make(graph)
    except (ImportError, RuntimeError) as error:  # not installed, or built without CUDA
        return f"{brief(error)}; pip install --no-build-isolation graphgdl[pyg-ext]"
    return Side(lambda edge_index=None: (run(x, w, edge_index),))


def _ours(graph: BenchGraph) -> Sum:
    from graphgdl import ops

    if graph.edge_index.is_cuda:
        return _compiled(graph)
    return lambda x, w, edges: ops.gather_scatter(x, graph.edge_index if edges is None else edges, graph.num_nodes, w)


def _compiled(graph: BenchGraph) -> Sum:
    from graphgdl import accelerate
    from graphgdl.cli.bench.hot_path.messages import WeightedSum

    layer = accelerate(WeightedSum())
    return lambda x, w, edges: layer(x, w, graph.edge_index if edges is None else edges)


def _messages(graph: BenchGraph, x: Tensor, w: Tensor | None) -> Tensor:
    message = x.index_select(0, graph.edge_index[0])
    return message if w is None else message * w.unsqueeze(-1)


def _gather_and_add(graph: BenchGraph) -> Sum:
    dst = graph.edge_index[1]
    return lambda x, w, _: x.new_zeros(graph.num_nodes, *x.shape[1:]).index_add_(0, dst, _messages(graph, x, w))


def _gather_and_scatter(graph: BenchGraph) -> Sum:
    def run(x: Tensor, w: Tensor | None, _: Tensor | None) -> Tensor:
        message = _messages(graph, x, w)
        index = graph.edge_index[1].view(-1, *[1] * (message.dim() - 1)).expand_as(message)
        return x.new_zeros(graph.num_nodes, *x.shape[1:]).scatter_add_(0, index, message)

    return run


def _torch_scatter(graph: BenchGraph) -> Sum:
    from torch_scatter import segment_csr

    ptr = _row_ptr(graph)
    return lambda x, w, _: segment_csr(_messages(graph, x, w), ptr, reduce="sum")


def _torch_sparse(graph: BenchGraph) -> Sum:
    from torch_sparse import SparseTensor

    n, (src, dst) = graph.num_nodes, graph.edge_index
    adj_t = SparseTensor(row=dst, col=src, sparse_sizes=(n, n), is_sorted=True, trust_data=True).fill_cache_()
    return lambda x, w, _: _by_heads(
        x, w, lambda x, w: (adj_t if w is None else adj_t.set_value(w, layout="coo")).matmul(x)
    )


def _torch_csr(graph: BenchGraph) -> Sum:
    import torch

    n, ptr, src = graph.num_nodes, _row_ptr(graph), graph.edge_index[0].contiguous()
    ones = torch.ones(graph.num_edges, device=src.device)

    def product(x: Tensor, w: Tensor | None) -> Tensor:
        return torch.sparse_csr_tensor(ptr, src, ones if w is None else w, (n, n)) @ x

    return lambda x, w, _: _by_heads(x, w, product)


def _by_heads(x: Tensor, w: Tensor | None, product: Callable[[Tensor, Tensor | None], Tensor]) -> Tensor:
    """One product for each head where there are heads: the matrix libraries know a single weight for each edge."""
    import torch

    if w is None or w.dim() == 1:
        return product(x, w)
    return torch.stack([product(x[:, h], w[:, h]) for h in range(x.size(1))], dim=1)


def _row_ptr(graph: BenchGraph) -> Tensor:
    import torch

    degrees = torch.bincount(graph.edge_index[1], minlength=graph.num_nodes)
    return torch.nn.functional.pad(degrees.cumsum(0), (1, 0))

"""The layers as their papers write them: a loop over nodes and edges, or a dense matrix. Imports torch alone.

Every function gets a layer for its parameters only, source and destination features, `edges` as a list of (j, i), and
one row of edge input for each edge; it returns the new destination features.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Edges = list[tuple[int, int]]


def incoming(edges: Edges, i: int) -> list[tuple[int, int]]:
    """(edge id, source) of the edges that arrive at `i`."""
    return [(k, src) for k, (src, dst) in enumerate(edges) if dst == i]


def reduce_rows(rows: list[Tensor], how: str, channels: int, like: Tensor) -> Tensor:
    if not rows:
        return like.new_zeros(channels)
    stacked = torch.stack(rows)
    return {
        "add": lambda: stacked.sum(0),
        "sum": lambda: stacked.sum(0),
        "mean": lambda: stacked.mean(0),
        "max": lambda: stacked.max(0).values,
        "min": lambda: stacked.min(0).values,
    }[how]()


def aggregate(
    x_src: Tensor, x_dst: Tensor, edges: Edges, how: str, message: Callable[[int, int, int], Tensor]
) -> Tensor:
    """Reduce message(edge, j, i) over the edges of each destination i."""
    out = []
    channels = message(0, edges[0][0], edges[0][1]).numel() if edges else x_src.size(1)
    for i in range(x_dst.size(0)):
        out.append(reduce_rows([message(k, j, i) for k, j in incoming(edges, i)], how, channels, x_src))
    return torch.stack(out)


def gcn(layer, x_src, x_dst, edges, edge=None):
    n = x_src.size(0)
    adjacency = x_src.new_zeros(n, n)
    for k, (j, i) in enumerate(edges):
        unit = x_src.new_zeros(n, n)
        unit[i, j] = 1.0
        adjacency = adjacency + unit * (1.0 if edge is None else edge[k])
    if layer.add_self_loops:
        looped = {j for j, i in edges if i == j}
        fill = [0.0 if i in looped else (2.0 if layer.improved else 1.0) for i in range(n)]
        adjacency = adjacency + torch.diag(x_src.new_tensor(fill))
    if layer.normalize:
        degree = adjacency.sum(dim=1)
        scale = torch.where(degree > 0, degree.clamp(min=1e-300) ** -0.5, torch.zeros_like(degree))
        adjacency = scale[:, None] * adjacency * scale[None, :]
    out = adjacency @ x_src @ layer.lin.weight.t()
    return out if layer.bias is None else out + layer.bias


def graph_conv(layer, x_src, x_dst, edges, edge=None):
    total = aggregate(x_src, x_dst, edges, layer.aggr, lambda k, j, i: x_src[j] * (1.0 if edge is None else edge[k]))
    out = total @ layer.lin_rel.weight.t() + x_dst @ layer.lin_root.weight.t()
    return out if layer.lin_rel.bias is None else out + layer.lin_rel.bias


def sage(layer, x_src, x_dst, edges, edge=None):
    values = torch.relu(x_src @ layer.lin.weight.t() + layer.lin.bias) if layer.project else x_src
    out = aggregate(values, x_dst, edges, layer.aggr, lambda k, j, i: values[j]) @ layer.lin_l.weight.t()
    if layer.lin_l.bias is not None:
        out = out + layer.lin_l.bias
    if layer.root_weight:
        out = out + x_dst @ layer.lin_r.weight.t()
    return out / out.norm(dim=1, keepdim=True).clamp(min=1e-12) if layer.normalize else out


def gin(layer, x_src, x_dst, edges, edge=None):
    return layer.nn((1 + layer.eps) * x_dst + aggregate(x_src, x_dst, edges, "sum", lambda k, j, i: x_src[j]))


def gine(layer, x_src, x_dst, edges, edge=None):
    features = edge if layer.lin is None else edge @ layer.lin.weight.t() + layer.lin.bias
    total = aggregate(x_src, x_dst, edges, "sum", lambda k, j, i: torch.relu(x_src[j] + features[k]))
    return layer.nn((1 + layer.eps) * x_dst + total)


def nn_conv(layer, x_src, x_dst, edges, edge=None):
    matrices = layer.nn(edge).view(len(edges), x_src.size(1), layer.out_channels)
    out = x_src.new_zeros(x_dst.size(0), layer.out_channels)
    if edges:
        out = aggregate(x_src, x_dst, edges, layer.aggr, lambda k, j, i: x_src[j] @ matrices[k])
    if layer.root_weight:
        out = out + x_dst @ layer.lin.weight.t()
    return out if layer.bias is None else out + layer.bias


def edge_conv(layer, x_src, x_dst, edges, edge=None):
    if not edges:
        return layer.nn(torch.cat([x_dst, x_dst], dim=1)) * 0
    return aggregate(
        x_src, x_dst, edges, layer.aggr, lambda k, j, i: layer.nn(torch.cat([x_dst[i], x_src[j] - x_dst[i]])[None])[0]
    )


def with_loops(layer, num_nodes: int, edges: Edges, edge: Tensor | None) -> tuple[Edges, Tensor | None]:
    """Each node's own self-loop in place of those there were; its features are the mean of the node's edges."""
    if not layer.add_self_loops:
        return edges, edge
    kept = [k for k, (j, i) in enumerate(edges) if j != i]
    edges = [edges[k] for k in kept]
    if edge is not None:
        edge = edge[kept]
        means = [
            reduce_rows([edge[k] for k, _ in incoming(edges, i)], "mean", edge.size(1), edge) for i in range(num_nodes)
        ]
        edge = torch.cat([edge, torch.stack(means)])
    return edges + [(i, i) for i in range(num_nodes)], edge


def attend(
    layer, values: Tensor, num_dst: int, edges: Edges, score: Callable[[int, int, int], Tensor], extra=None
) -> Tensor:
    """Softmax of `score` (h,) over the edges of each destination, and the weighted sum of values (n, h, c)."""
    heads, channels = layer.heads, layer.out_channels
    out = []
    for i in range(num_dst):
        total = values.new_zeros(heads, channels)
        near = incoming(edges, i)
        if near:
            weights = torch.stack([score(k, j, i) for k, j in near]).exp()
            weights = weights / weights.sum(dim=0)
            for weight, (k, j) in zip(weights, near):
                total = total + weight[:, None] * (values[j] if extra is None else values[j] + extra[k])
        out.append(total.reshape(-1) if layer.concat else total.mean(dim=0))
    return torch.stack(out)


def gat(layer, x_src, x_dst, edges, edge=None):
    heads, channels = layer.heads, layer.out_channels
    source, target = (layer.lin, layer.lin) if layer.lin is not None else (layer.lin_src, layer.lin_dst)
    src = (x_src @ source.weight.t()).view(-1, heads, channels)
    dst = (x_dst @ target.weight.t()).view(-1, heads, channels)
    edges, edge = with_loops(layer, min(len(src), len(dst)), edges, edge)
    features = None if edge is None else (edge @ layer.lin_edge.weight.t()).view(-1, heads, channels)

    def score(k, j, i):
        total = (src[j] * layer.att_src[0]).sum(-1) + (dst[i] * layer.att_dst[0]).sum(-1)
        if features is not None:
            total = total + (features[k] * layer.att_edge[0]).sum(-1)
        return torch.where(total > 0, total, layer.negative_slope * total)

    out = attend(layer, src, len(dst), edges, score)
    if layer.res is not None:
        out = out + x_dst @ layer.res.weight.t()
    return out if layer.bias is None else out + layer.bias


def gatv2(layer, x_src, x_dst, edges, edge=None):
    heads, channels = layer.heads, layer.out_channels

    def project(linear, x):
        out = x @ linear.weight.t()
        return (out if linear.bias is None else out + linear.bias).view(-1, heads, channels)

    src, dst = project(layer.lin_l, x_src), project(layer.lin_r, x_dst)
    edges, edge = with_loops(layer, min(len(src), len(dst)), edges, edge)
    features = None if edge is None else (edge @ layer.lin_edge.weight.t()).view(-1, heads, channels)

    def score(k, j, i):
        z = src[j] + dst[i] + (0.0 if features is None else features[k])
        return (torch.where(z > 0, z, layer.negative_slope * z) * layer.att[0]).sum(-1)

    out = attend(layer, src, len(dst), edges, score)
    if layer.res is not None:
        out = out + x_dst @ layer.res.weight.t()
    return out if layer.bias is None else out + layer.bias


def transformer(layer, x_src, x_dst, edges, edge=None):
    heads, channels = layer.heads, layer.out_channels

    def project(linear, x):
        out = x @ linear.weight.t()
        return (out if linear.bias is None else out + linear.bias).view(-1, heads, channels)

    query, key, value = project(layer.lin_query, x_dst), project(layer.lin_key, x_src), project(layer.lin_value, x_src)
    features = None if edge is None else (edge @ layer.lin_edge.weight.t()).view(-1, heads, channels)

    def score(k, j, i):
        return (query[i] * (key[j] + (0.0 if features is None else features[k]))).sum(-1) / math.sqrt(channels)

    out = attend(layer, value, len(query), edges, score, features)
    if layer.root_weight:
        skip = x_dst @ layer.lin_skip.weight.t()
        skip = skip if layer.lin_skip.bias is None else skip + layer.lin_skip.bias
        if layer.lin_beta is not None:
            gate = torch.sigmoid(torch.cat([out, skip, out - skip], dim=-1) @ layer.lin_beta.weight.t())
            out = gate * skip + (1 - gate) * out
        else:
            out = out + skip
    return out

"""Run a loop program with plain torch: the compiler's own oracle, and its executor for what is not a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .node import POINTWISE, Node, topological

DTYPES = {"f32": torch.float32, "f64": torch.float64, "i32": torch.int32, "bool": torch.bool}

_POINTWISE: dict[str, Callable[..., Tensor]] = {  # where torch has another name
    "div": torch.true_divide,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "stop": lambda x: x,
}


class Edges:
    """The graph a program runs on: source and destination of each edge (int64), numbers of nodes."""

    def __init__(self, src: Tensor, dst: Tensor, num_src: int, num_dst: int) -> None:
        self.ends = {"src": src, "dst": dst}
        self.sizes = {"src": num_src, "dst": num_dst}

    def rows(self, space: str) -> int:
        """Return the number of rows of a space."""
        return {"E": self.ends["src"].numel(), "S": self.sizes["src"], "D": self.sizes["dst"], "N": self.sizes["dst"]}[
            space
        ]


def interpret(outputs: Iterable[Node], values: dict[Node, Tensor], edges: Edges | None) -> list[Tensor]:
    """Return the values of `outputs`, given those of the inputs or of any other nodes.

    A value has shape (rows, *features), or (*features) in space C.
    """
    outputs = list(outputs)
    values = dict(values)
    for node in topological(outputs, values):
        if node not in values:
            values[node] = evaluate(node, [values[a] for a in node.args], edges)
    return [values[node] for node in outputs]


def evaluate(node: Node, args: list[Tensor], edges: Edges | None, device: Any = None) -> Tensor:
    """Return the value of one node from those of its arguments."""
    op, attr, base = node.op, node.attr, 0 if node.space == "C" else 1
    if op == "cast":
        return args[0].to(DTYPES[node.dtype])
    if op in POINTWISE:
        return (_POINTWISE.get(op) or getattr(torch, op))(*args)
    if op in ("const", "table"):
        return torch.tensor(attr, dtype=DTYPES[node.dtype], device=device).view(node.shape)
    if op == "view":
        return args[0].reshape(args[0].shape[:base] + node.shape)
    if op == "expand":
        if node.space == "C":
            return args[0].expand(node.shape)
        assert edges is not None
        return args[0].expand(edges.rows(node.space), *node.shape)
    if op == "permute":
        return args[0].permute(*range(base), *(p + base for p in attr))
    if op == "take":
        axis, positions = attr
        step = positions[1] - positions[0] if len(positions) > 1 else 1
        if step > 0 and positions == tuple(range(positions[0], positions[0] + step * len(positions), step)):
            index = [slice(None)] * (axis + base) + [slice(positions[0], positions[-1] + 1, step)]
            return args[0][tuple(index)]
        return args[0].index_select(axis + base, _positions(positions, args[0].device))
    if op == "cat":
        return torch.cat(args, attr + base)
    if op in ("sum", "amax"):
        return getattr(torch, op)(args[0], [a + base for a in attr])
    if op == "mm":
        return args[0] @ args[1]
    if op == "mmt":
        x, y = args
        return outer_sum(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]))
    if op == "total":
        return args[0].sum(0)
    assert edges is not None
    if op == "gather":
        return args[0].index_select(0, edges.ends[attr])
    if op == "eid":
        return torch.arange(edges.rows("E"), dtype=torch.int32)
    if op == "rand":
        return uniform(args[0], attr, edges.rows(node.space), node.shape, DTYPES[node.dtype])
    return _row_reduction(node, args[0], edges)


@lru_cache(1024)
def _positions(positions: tuple[int, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(positions, device=device)


def outer_sum(x: Tensor, y: Tensor) -> Tensor:
    """Return x^T y of (n, k) and (n, m), summed in slices of rows: a whole product rounds by the number of threads."""
    rows = max(512, x.shape[0] // 64)
    count = x.shape[0] // rows
    if count == 0 or x.device.type != "cpu":
        return x.t() @ y
    cut = count * rows
    a, b = (t[:cut].reshape(count, rows, t.shape[1]) for t in (x, y))
    found = torch.bmm(a.transpose(1, 2), b).sum(0)
    return found if cut == x.shape[0] else found + outer_sum(x[cut:], y[cut:])


def _row_reduction(node: Node, x: Tensor, edges: Edges) -> Tensor:
    assert x.shape[0] == edges.rows("E")
    index, rows = edges.ends[node.attr], edges.sizes[node.attr]
    if node.op == "reduce":
        return x.new_zeros(rows, *node.shape).index_add(0, index, x)
    spread = index.view(-1, *[1] * len(node.shape)).expand_as(x)
    peak = x.new_zeros(rows, *node.shape).scatter_reduce(0, spread, x, "amax", include_self=False)
    if node.op == "rmax":
        return peak
    number = torch.arange(x.shape[0]).view(-1, *[1] * len(node.shape)).expand_as(x)
    here = torch.where((x == peak[index]) | x.isnan(), number, x.shape[0])
    first = torch.full((rows, *node.shape), x.shape[0]).scatter_reduce(0, spread, here, "amin")
    return torch.where(first == x.shape[0], -1, first).to(torch.int32)


def uniform(seed: Tensor, stream: int, rows: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return the numbers in [0, 1) of the counter-based generator: a function of seed, stream, row and feature.

    32-bit integer mixing (the xor-shift-multiply finaliser of MurmurHash3), 24 bits of the result used.
    """
    features = torch.Size(shape).numel()
    row = torch.arange(rows, device=seed.device).view(-1, 1)
    feature = torch.arange(features, device=seed.device).view(1, -1)
    low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    bits = _mix((_mix(row ^ low) + feature * 0x9E3779B9 + stream * 0x85EBCA6B) ^ high)
    return ((bits >> 8).to(dtype) * 2.0**-24).view(rows, *shape)


def _mix(h: Tensor) -> Tensor:
    h = h & 0xFFFFFFFF
    h = (h ^ (h >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ (h >> 16)

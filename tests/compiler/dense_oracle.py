"""A dense oracle that runs loop programs row by row and edge by edge in numpy."""

from __future__ import annotations

import numpy as np
import torch
from random_graphs import Graph

from graphgdl.compiler.node import Node


def _numpy(op: str):
    from scipy import special

    given = {
        "sigmoid": special.expit, "erf": special.erf, "rsqrt": lambda x: 1 / np.sqrt(x), "stop": lambda x: x,
        "neg": np.negative, "div": np.divide, "sub": np.subtract, "mul": np.multiply, "pow": np.power,
        "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "gt": np.greater,
        "ge": np.greater_equal, "and": np.logical_and, "or": np.logical_or, "not": np.logical_not,
        "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    }  # fmt: skip
    return given.get(op) or getattr(np, op)


def _mixed(h: int) -> int:
    h ^= h >> 16
    h = h * 0x85EBCA6B % 2**32
    h ^= h >> 13
    h = h * 0xC2B2AE35 % 2**32
    return h ^ h >> 16


def dense(outputs: list[Node], values: dict[Node, torch.Tensor], graph: Graph) -> list[np.ndarray]:
    """Run a program row by row and edge by edge, in float64 arrays of features."""
    src, dst = graph.src.tolist(), graph.dst.tolist()
    memo: dict[Node, list[np.ndarray]] = {}

    def rows(node: Node) -> int:
        return 1 if node.space == "C" else graph.rows(node.space)

    def of(node: Node) -> list[np.ndarray]:
        if node not in memo:
            if node in values:
                value = values[node].double().numpy() if node.dtype != "i64" else values[node].numpy()
                memo[node] = [value] if node.space == "C" else list(value)
            elif node.op in ("gather", "reduce", "rmax", "rarg"):
                memo[node] = moved(node)
            elif node.op == "total":
                memo[node] = [sum(of(node.args[0]), np.zeros(node.shape))]
            elif node.op == "mmt":
                x, y = of(node.args[0]), of(node.args[1])
                pairs = zip(x, y, strict=True)
                memo[node] = [sum((np.einsum("...k,...m->km", a, b) for a, b in pairs), np.zeros(node.shape))]
            else:
                memo[node] = [row(node, k) for k in range(rows(node))]
        return memo[node]

    def arg(node: Node, k: int) -> np.ndarray:
        return of(node)[0 if node.space == "C" else k]

    def row(node: Node, k: int) -> np.ndarray:
        """One row of an op that moves no data between rows."""
        if node.op == "eid":
            return np.array(float(k))
        if node.op in ("const", "table"):
            return np.array(node.attr, dtype=float).reshape(node.shape)
        if node.op == "rand":
            seed = int(of(node.args[0])[0])
            first = _mixed((k ^ seed) % 2**32)
            drawn = [
                _mixed((first + f * 0x9E3779B9 + node.attr * 0x85EBCA6B) % 2**32 ^ seed >> 32) >> 8
                for f in range(node.numel)
            ]
            return np.array(drawn, dtype=float).reshape(node.shape) / 2**24
        x = [arg(a, k) for a in node.args]
        if node.op == "view":
            return x[0].reshape(node.shape)
        if node.op == "expand":
            return np.broadcast_to(x[0], node.shape)
        if node.op == "permute":
            return x[0].transpose(node.attr)
        if node.op == "take":
            return x[0].take(node.attr[1], node.attr[0])
        if node.op == "cat":
            return np.concatenate(x, node.attr)
        if node.op == "sum":
            return x[0].sum(node.attr)
        if node.op == "amax":
            return x[0].max(node.attr)
        if node.op == "mm":
            return x[0] @ x[1]
        if node.op == "cast":
            return x[0].astype(float) if node.dtype != "bool" else x[0] != 0
        return _numpy(node.op)(*x)

    def moved(node: Node) -> list[np.ndarray]:
        x = of(node.args[0])
        ends = src if node.attr == "src" else dst
        if node.op == "gather":
            return [x[i] for i in ends]
        count = graph.num_src if node.attr == "src" else graph.num_dst
        out = [np.zeros(node.shape) if node.op != "rarg" else np.full(node.shape, -1.0) for _ in range(count)]
        best = [np.full(node.args[0].shape, -np.inf) for _ in range(count)]
        for e, i in enumerate(ends):
            if node.op == "reduce":
                out[i] = out[i] + x[e]
            else:
                wins = x[e] > best[i]
                best[i] = np.where(wins, x[e], best[i])
                out[i] = np.where(wins, x[e] if node.op == "rmax" else float(e), out[i])
        return out

    return [np.array(of(o)[0]) if o.space == "C" else np.array(of(o)).reshape(rows(o), *o.shape) for o in outputs]

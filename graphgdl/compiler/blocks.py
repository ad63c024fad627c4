"""Run a loop that products per edge cut: its kernels and products take turns on blocks of a few rows, in cache.

What the rows of the other end read of the edges goes through memory, in tiles; all else that the products read and
write lives in a block. Parts of the walk depend on the graph and the program alone, and sums over them are added in order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphgdl.ops.cpu import pool

from . import jit, llvm_products
from .interpret import DTYPES
from .ir import Node
from .kernel import PART_WORK, CompiledKernel, Sums
from .llvm_blocks import COPY, HEAD, KERNEL, PRODUCT, STEP, WALK
from .schedule import Kernel, Loop, Product
from .topology import Loops, Topology

TILE_BYTES = 16 << 20
TILE_EDGES = 256  # at least
BLOCK_BYTES = 128 << 10  # of all values of a block
BLOCK_EDGES = 32  # at least
SUM_BYTES = 16 << 20  # of all parts of a sum of outer products


class Blocks:
    """One loop with products.

    Args:
        loop: what to run.
        kernels: its kernels, compiled.
        pieces: whether rows are cut into pieces.
    """

    def __init__(self, loop: Loop, kernels: dict[int, CompiledKernel], pieces: bool) -> None:
        self.pieces = pieces
        self.steps = [s if isinstance(s, Product) else kernels[id(s)] for s in loop.steps]
        self.kernels = [s for s in self.steps if isinstance(s, CompiledKernel)]
        self.walked = [s for s in self.steps if isinstance(s, Product) or not s.kernel.adds]
        self.others = [k for k in self.kernels if k.kernel.adds]
        self.sums = [s.node for s in self.walked if isinstance(s, Product) and s.node.op == "mmt"]
        self.end = next((k.kernel.end for k in self.kernels if not k.kernel.adds), "dst")
        shared = loop.shared
        self.tile = [n for n in loop.tile if n in shared]
        operands = [a for s in self.walked if isinstance(s, Product) for a in s.node.args if a.space == "E"]
        self.copied = [n for n in dict.fromkeys(operands) if n not in loop.tile]  # they lie in the caller's order
        self.block = [n for n in [*loop.tile, *self.copied] if n not in shared]
        self.tile_edges = max(TILE_EDGES, TILE_BYTES // max(sum(map(_bytes, self.tile)), 1))
        self.block_edges = max(BLOCK_EDGES, BLOCK_BYTES // max(sum(map(_bytes, self.block)), 1))
        self.work = sum(s.work if isinstance(s, CompiledKernel) else _work(s.node) for s in self.walked)
        self.most = max(1, SUM_BYTES // max(sum(map(_bytes, self.sums)), 1))
        self.functions = {s.node: _function(s.node) for s in self.walked if isinstance(s, Product)}
        self.walk = jit.compiled(WALK, ["walk"])[0]

    def __call__(self, graph: Topology, env: dict[Node, Tensor]) -> None:
        """Run, reading and writing `env`."""
        for kernel in self.kernels:
            kernel.begin(graph, env)
        for node in {a for s in self.functions for a in s.args} | set(self.copied):
            if node in env and not env[node].is_contiguous():
                env[node] = env[node].contiguous()
        sums: Sums = {}
        if not self.others:
            self._walk(graph, graph.loops(self.end, self.pieces), env, {}, sums)
        else:
            tiles = graph.tiles(self.end, self.tile_edges, self.pieces)
            longest = max((t.last - t.first for t in tiles), default=0)
            buffers = {n: torch.empty((longest, *n.shape), dtype=DTYPES[n.dtype]) for n in self.tile}
            for tile in tiles:
                self._walk(graph, tile.rows, env, buffers, sums)
                for kernel in self.others:
                    kernel(tile.others, env, buffers, sums)
        for kernel in self.kernels:
            kernel.finish(graph, env, sums)
        for node in self.sums:
            parts = sums.pop(node)
            env[node] = (parts[0] if len(parts) == 1 else torch.cat(parts)).sum(0)

    def _walk(self, graph: Topology, rows: Loops, env: dict[Node, Tensor], buffers: dict[Node, Tensor], sums: Sums) -> None:
        bounds, longest = rows.blocks(self.block_edges)
        edges = int(rows.ptr[rows.stop] - rows.ptr[rows.start])
        count = max(1, min(256, self.most, len(bounds) - 1, (edges + rows.stop - rows.start) * self.work // PART_WORK))
        cuts = [k * (len(bounds) - 1) // count for k in range(count + 1)]
        for node in self.sums:
            sums.setdefault(node, []).append(torch.zeros((count, *node.shape), dtype=DTYPES[node.dtype]))
        words = _Words([bounds.ctypes.data, rows.header[0], rows.header[2], rows.first, len(self.walked) + len(self.copied)])
        room, places = 0, {}
        for node in self.block:
            places[node] = room
            room += -(-longest * _bytes(node) // 64) * 64
        tables: list[tuple[int, list[int]]] = []

        def place(node: Node) -> tuple[int, int]:
            """Write the address of an operand; return the bytes per edge of the tile."""
            if node in places:
                words.scratch.append(len(words.words))
                words.words.append(places[node])
                return 0
            tensor = buffers[node] if node in buffers else env[node]
            words.words.append(tensor.data_ptr())
            return _bytes(node) if node in buffers else 0

        for node in self.copied:
            words.words += [COPY, 0, env[node].data_ptr()]
            place(node)
            words.words += [0, 0, 0, 0, _bytes(node)]
        for step in self.walked:
            if isinstance(step, CompiledKernel):
                tables.append((len(words.words) + 2, step.addresses(rows, env, buffers, places, sums, count)))
                words.words += [KERNEL, step.address, 0, 0, 0, 0, 0, 0, 0]
                continue
            node = step.node
            words.words += [PRODUCT, self.functions[node]]
            strides = [place(a) for a in node.args]
            if node.op == "mm":
                strides.append(place(node))
            else:
                words.sums.append((len(words.words), _bytes(node)))
                words.words.append(sums[node][-1].data_ptr())
                strides.append(0)
            words.words += [*strides, node.args[0].numel // node.args[0].shape[-1]]
        ...

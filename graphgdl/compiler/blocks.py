"""Run a loop that products per edge cut: kernels and products take turns on a few rows at a time, in cache.

What the rows of the other end read goes through memory, in tiles; all else that products read and write lives in a block
of rows. Parts of the walk depend on the graph and the program alone, and their sums are added in order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from graphgdl.ops.cpu import machine_code, pool, product_code

from .interpret import DTYPES
from .kernel import CompiledKernel, Sums, Values, number_of_parts
from .llvm_blocks import COPY, HEAD, KERNEL, PRODUCT, STEP, WALK
from .node import Node
from .steps import Loop, Product
from .topology import Loops, Topology

TILE_BYTES = 16 << 20
TILE_EDGES = 256  # at least
BLOCK_BYTES = 128 << 10
BLOCK_EDGES = 32  # at least
SUM_BYTES = 16 << 20  # of the sums of all parts


@dataclass(frozen=True)
class Copy:
    """The rows of a block that a product reads, from the order of the edge ids."""

    node: Node


class Blocks:
    """One loop with products.

    Args:
        loop: what to run.
        compiled: its kernels by their ids.
        pieces: whether rows are cut into pieces.
    """

    def __init__(self, loop: Loop, compiled: dict[int, CompiledKernel], pieces: bool) -> None:
        self.pieces = pieces
        self.kernels = list(compiled.values())
        self.others = [k for k in self.kernels if k.kernel.adds]
        self.end = next((k.kernel.end for k in self.kernels if not k.kernel.adds), "dst")
        self.walked: list[CompiledKernel | Node | Copy] = []
        self.copied: list[Node] = []
        for step in loop.steps:
            if isinstance(step, Product):
                for a in step.node.args:
                    if a.space == "E" and a not in loop.tile and a not in self.copied:
                        self.copied.append(a)
                        self.walked.append(Copy(a))
                self.walked.append(step.node)
            elif not step.adds:
                self.walked.append(compiled[id(step)])
        products = [s for s in self.walked if isinstance(s, Node)]
        self.sums = [p for p in products if p.op == "mmt"]
        self.constants = {a for p in products for a in p.args if a.space != "E"}
        self.tile = [n for n in loop.tile if n in loop.shared]
        self.block = [n for n in [*loop.tile, *self.copied] if n not in loop.shared]
        self.tile_bytes, self.block_bytes, self.sum_bytes = (
            max(sum(map(_bytes, nodes)), 1) for nodes in (self.tile, self.block, self.sums)
        )
        self.functions = {p: _function(p) for p in products}
        (self.walk,) = machine_code.compiled(WALK, ["walk"])
        self.work = sum(k.work for k in self.kernels if not k.kernel.adds) + sum(map(_work, products))

    def __call__(self, graph: Topology, env: Values) -> None:
        """Run on all edges, reading and writing `env`."""
        sums: Sums = {}
        for kernel in self.kernels:
            kernel.begin(graph, env)
        for node in (*self.copied, *self.constants):
            env[node] = env[node].contiguous()
        if self.others:
            tiles = graph.tiles(self.end, max(TILE_EDGES, TILE_BYTES // self.tile_bytes), self.pieces)
            longest = max((t.last - t.first for t in tiles), default=0)
            env.update({n: torch.empty((longest, *n.shape), dtype=DTYPES[n.dtype]) for n in self.tile})
            for tile in tiles:
                self._over(tile.rows, env, sums)
                for kernel in self.others:
                    kernel.over(tile.others, env, sums)
            for node in self.tile:
                del env[node]
        else:
            self._over(graph.loops(self.end, self.pieces), env, sums)
        for kernel in self.kernels:
            kernel.finish(graph, env, sums)
        for node in self.sums:
            env[node] = torch.cat(sums[node]).sum(0)

    def _over(self, rows: Loops, env: Values, sums: Sums) -> None:
        """Walk the rows of a tile."""
        bounds, longest = rows.blocks(max(BLOCK_EDGES, BLOCK_BYTES // self.block_bytes))
        blocks = len(bounds) - 1
        most = min(blocks, SUM_BYTES // self.sum_bytes)
        count = max(1, min(most, number_of_parts(rows, self.work)))
        for node in self.sums:
            sums.setdefault(node, []).append(torch.zeros((count, *node.shape), dtype=DTYPES[node.dtype]))
        places, room = {}, 0
        for node in self.block:
            places[node] = room
            room += -(-longest * _bytes(node) // 64) * 64
        template, inside, own, moving = self._words(rows, bounds, env, sums, count, places)

        def part(k: int) -> None:
            block = torch.empty(room, dtype=torch.uint8)
            words = template.copy()
            words[inside] += block.data_ptr()
            words[own] += words.ctypes.data
            for at, size in moving:
                words[at] += k * size
            self.walk(words.ctypes.data, k * blocks // count, (k + 1) * blocks // count, k)

        pool.each(part, count)

    def _words(
        self, rows: Loops, bounds: np.ndarray, env: Values, sums: Sums, count: int, places: dict[Node, int]
    ) -> tuple[np.ndarray, list[int], list[int], list[tuple[int, int]]]:
        """Return what the walk takes (see `llvm_blocks`), and which words are to be moved for a part.

        These are places in its block, places among the words themselves, and (word, bytes) of the sums of each part.
        """
        steps = len(self.walked)
        words = [bounds.ctypes.data, rows.header[0], rows.header[2], rows.first, steps]
        made = {n: place for n, place in places.items() if n not in self.copied}  # kernels read the others by edge id
        tables: list[int] = []
        inside: list[int] = []
        own: list[int] = []
        moving: list[tuple[int, int]] = []

        def step(kind: int, function: int, operands: list[Node | int], size: int) -> None:
            words.extend([kind, function])
            strides = [0, 0, 0]
            for k, operand in enumerate(operands):
                if isinstance(operand, int):
                    own.append(len(words))
                    words.append(operand)
                elif operand in places and not (kind == COPY and k == 0):
                    inside.append(len(words))
                    words.append(places[operand])
                elif operand in sums:
                    moving.append((len(words), _bytes(operand)))
                    words.append(sums[operand][-1].data_ptr())
                else:
                    words.append(env[operand].data_ptr())
                    strides[k] = _bytes(operand) if operand in self.tile else 0
            words.extend([0] * (3 - len(operands)))
            words.extend([*strides, size])

        for part in self.walked:
            if isinstance(part, Copy):
                step(COPY, 0, [part.node, part.node], _bytes(part.node))
                continue
            if isinstance(part, Node):
                x = part.args[0]
                step(PRODUCT, self.functions[part], [*part.args, part], x.numel // x.shape[-1])
                continue
            start = HEAD + STEP * steps + len(tables)
            step(KERNEL, part.address, [8 * start], 0)
            table = part.table(rows, env, sums, count, made)
            inside += [start + len(table) - len(part.arrays) + k for k, n in enumerate(part.arrays) if n in made]
            tables += table
        return np.array(words + tables, dtype=np.int64), inside, own, moving


def _bytes(node: Node) -> int:
    return node.numel * (8 if node.dtype == "f64" else 4 if node.dtype != "bool" else 1)


def _work(product: Node) -> int:
    """Return the cost of a product in features read and written, from about 40 multiply-adds each."""
    x = product.args[0]
    return x.numel * product.shape[-1] // 40


def _function(product: Node) -> int:
    """Return the address of the function that makes a product."""
    print_ = product_code.product if product.op == "mm" else product_code.outer_sum
    k, m = product.args[0].shape[-1], product.shape[-1]
    symbol = f"{product.op}_{k}_{m}_{product.dtype}"
    return machine_code.address(print_(symbol, k, m, product.dtype, machine_code.register_bits()), symbol)

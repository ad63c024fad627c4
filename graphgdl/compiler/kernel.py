"""One compiled kernel and its arrays: run over rows on several threads, its sums over parts added in order."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Mapping

import torch
from torch import Tensor

from graphgdl.ops.cpu import machine_code, pool

from . import llvm
from .interpret import DTYPES
from .node import REDUCTIONS, Node
from .steps import Kernel
from .topology import Loops, Topology

PART_WORK = 1_000_000  # features read and written by one part: about 100 us
FEWEST_PARTS, MOST_PARTS = 4, 256  # waking a thread costs about as much as a part: fewer are not worth it
Values = dict[Node, Tensor]
Sums = dict[Node, list[Tensor]]  # of each total, one row for each part


class CompiledKernel:
    """One compiled kernel and its arrays; called, it runs over all rows of a graph."""

    def __init__(self, kernel: Kernel, source: llvm.Source, pieces: bool) -> None:
        (self.function,) = machine_code.compiled(source.text, [llvm.SYMBOL])
        self.kernel, self.arrays, self.pieces = kernel, source.arrays, pieces
        self.made = kernel.made
        self.totals = {r for r in self.made if r.op == "total"}
        self.cut = {r for r in self.made if r.op in REDUCTIONS} if pieces and not kernel.adds else set()
        self.work = sum(a.numel for a in source.arrays) + 4

    def __call__(self, graph: Topology, env: Values) -> None:
        """Run over all rows."""
        sums: Sums = {}
        self.begin(graph, env)
        self.over(graph.loops(self.kernel.end, self.pieces), env, sums)
        self.finish(graph, env, sums)

    def begin(self, graph: Topology, env: Values) -> None:
        """Make the arrays that the kernel writes."""
        for node in self.made:
            if node not in env and node not in self.totals:
                rows = graph.loops(self.kernel.end, True).stop if node in self.cut else graph.rows(node.space)
                make = torch.zeros if self.kernel.adds else torch.empty
                env[node] = make((rows, *node.shape), dtype=DTYPES[node.dtype])

    def over(self, loops: Loops, env: Values, sums: Sums) -> None:
        """Run over the rows of `loops`."""
        parts = loops.parts(number_of_parts(loops, self.work))
        table = array("q", self.table(loops, env, sums, len(parts)))
        address, _ = table.buffer_info()
        function = self.function
        if len(parts) == 1:
            function(address, *parts[0], 0)
        else:
            pool.each(lambda k: function(address, *parts[k], k), len(parts))

    def table(self, loops: Loops, env: Values, sums: Sums, parts: int, block: Mapping[Node, int] = {}) -> list[int]:
        """Return what the function takes: addresses, and places in the `block` for the values that live there."""
        words = [*loops.header, 0]
        for node in self.arrays:
            if node in block:
                words.append(block[node])
                continue
            if node in self.totals:
                tensor = torch.zeros((parts, *node.shape), dtype=DTYPES[node.dtype])
                sums.setdefault(node, []).append(tensor)
            else:
                tensor = env[node]
                if not tensor.is_contiguous():
                    tensor = env[node] = tensor.contiguous()
            words.append(tensor.data_ptr())
        return words

    @property
    def address(self) -> int:
        """Where the function lies, for other compiled code to call it."""
        return int(ctypes.cast(self.function, ctypes.c_void_p).value or 0)

    def finish(self, graph: Topology, env: Values, sums: Sums) -> None:
        """Add up the totals of all parts, and join the pieces of rows, in order."""
        for node in self.totals:
            parts = sums.pop(node, None) or [torch.zeros((1, *node.shape), dtype=DTYPES[node.dtype])]
            found = parts[0] if len(parts) == 1 else torch.cat(parts)
            env[node] = found.squeeze_(0) if len(found) == 1 else found.sum(0)
        if self.cut:
            peaks = {r.args: env[r] for r in self.cut if r.op == "rmax"}
            env.update({r: _joined(r, env[r], peaks.get(r.args), graph) for r in self.cut})


def number_of_parts(loops: Loops, work: int) -> int:
    """Return into how many parts a walk is cut that reads and writes `work` features for each edge and row."""
    parts = min(MOST_PARTS, loops.load * work // PART_WORK)
    return parts if parts >= FEWEST_PARTS else 1


def _joined(node: Node, values: Tensor, peaks: Tensor | None, graph: Topology) -> Tensor:
    """Join the results (pieces, *features) of the pieces of each row to (rows, *features)."""
    parts, done = [], 0
    for start, stop in graph.loops(node.attr, True).cut:
        several = slice(start, stop)
        parts += [values[done:start], _join(node.op, values[several], None if peaks is None else peaks[several])]
        done = stop
    return torch.cat([*parts, values[done:]]) if parts else values


def _join(op: str, values: Tensor, peaks: Tensor | None) -> Tensor:
    """Join the results (pieces, *features) of one row to (1, *features)."""
    if op == "reduce":
        return values.sum(0, keepdim=True)
    if op == "rmax":
        return values.amax(0, keepdim=True)
    assert peaks is not None
    wins = peaks.isnan() | (peaks == peaks.amax(0))
    return values.gather(0, wins.int().argmax(0, keepdim=True))

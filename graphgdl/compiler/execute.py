"""Run a schedule on the CPU: compiled row loops on the threads of `ops.cpu.pool`, the rest with torch."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from graphgdl.ops.cpu import pool

from . import jit, llvm
from .interpret import DTYPES, evaluate, outer_sum
from .ir import REDUCTIONS, Node
from .schedule import Host, Kernel, Loop, Product, Step, schedule
from .topology import Loops, Tile, Topology

TILE_BYTES = 16 << 20
TILE_EDGES = 256  # at least
Sums = dict[Node, list[Tensor]]  # of each total, one row for each part
PART_WORK = 1_000_000  # features read and written by one part: about 100 us


class Executable:
    """Computes `outputs` from the values of `inputs`; its kernels are compiled when it is made.

    Args:
        inputs: what is given at each call, in order.
        outputs: what is returned, in order.
        inline: entries of a matrix up to which products per edge are made in row loops.
        pieces: whether rows are cut into pieces, for graphs with a hub; made when such a graph comes.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], inline: int = 0, pieces: bool = False) -> None:
        self.inputs, self.outputs, self.inline, self.pieces = list(inputs), list(outputs), inline, pieces
        self.steps: list[Step] = schedule(self.outputs, self.inputs, inline, one_sweep=pieces)
        self._fixed: dict[Node, Tensor] = {}  # what no input changes
        self._runs: dict[int, _Kernel] = {}
        self._compile()
        self._in_pieces: Executable | None = None
        # pieces of a maximum's edge ids are told apart by the maximum itself
        made = {(r.op, r.args) for run in self._runs.values() for r in run.made}
        self._may_cut = not pieces and all(("rmax", args) in made for op, args in made if op == "rarg")

    def _compile(self) -> None:
        sources: list[llvm.Source] = []
        kernels: list[_Kernel] = []
        memory = set(self.inputs)
        bits = jit.register_bits()
        for step in self.steps:
            if isinstance(step, Host):
                memory.add(step.node)
                if step.node.space == "C" and step.node.op != "input" and all(a in self._fixed for a in step.node.args):
                    self._fixed[step.node] = evaluate(step.node, [self._fixed[a] for a in step.node.args], None)
                continue
            for part in step.steps:
                if isinstance(part, Product):
                    memory.add(part.node)
                    continue
                source = llvm.Printer(part, f"k{len(sources)}", set(memory), set(step.tile), bits, self.pieces).print()
                kernels.append(_Kernel(part, source, self.pieces and not part.adds))
                self._runs[id(part)] = kernels[-1]
                sources.append(source)
                memory |= {root for sweep in part.sweeps for root in sweep} | set(part.rows)
            memory -= set(step.tile)
        for kernel, source in zip(kernels, sources):
            (kernel.function,) = jit.compiled(source.text, [source.symbol])

    def __call__(self, graph: Topology, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs, each (rows, *features) or (*features)."""
        if self._may_cut and graph.has_hub:
            if self._in_pieces is None:
                self._in_pieces = Executable(self.inputs, self.outputs, self.inline, pieces=True)
            return self._in_pieces(graph, values)
        env: dict[Node, Tensor] = dict(zip(self.inputs, values, strict=True))
        env.update(self._fixed)
        for step in self.steps:
            if isinstance(step, Host):
                if step.node not in env:
                    env[step.node] = evaluate(step.node, [env[a] for a in step.node.args], graph)  # type: ignore[arg-type]
            else:
                self._loop(step, graph, env)
        return [env[o].clone() if o in self._fixed else env[o] for o in self.outputs]

    def _loop(self, loop: Loop, graph: Topology, env: dict[Node, Tensor]) -> None:
        sums: Sums = {}
        if not loop.tiled:
            for part in loop.steps:
                assert isinstance(part, Kernel)
                run = self._runs[id(part)]
                run.begin(graph, env)
                run(graph.loops(part.end, self.pieces), env, {}, sums)
                run.finish(graph, env, sums)
            return
        end = next((s.end for s in loop.steps if isinstance(s, Kernel) and not s.adds), "dst")
        width = sum(n.numel * (8 if n.dtype == "f64" else 4) for n in loop.tile)
        size = max(TILE_EDGES, TILE_BYTES // max(width, 1))
        tiles = graph.tiles(end, size, self.pieces)
        longest = max((t.last - t.first for t in tiles), default=0)
        buffers = {n: torch.empty((longest, *n.shape), dtype=DTYPES[n.dtype]) for n in loop.tile}
        for part in loop.steps:
            if isinstance(part, Kernel):
                self._runs[id(part)].begin(graph, env)
            elif part.node.op == "mmt":
                env[part.node] = torch.zeros(part.node.shape, dtype=DTYPES[part.node.dtype])
        for tile in tiles:
            for part in loop.steps:
                if isinstance(part, Kernel):
                    self._runs[id(part)](tile.others if part.adds else tile.rows, env, buffers, sums)
                else:
                    _product(part.node, tile, env, buffers)
        for part in loop.steps:
            if isinstance(part, Kernel):
                self._runs[id(part)].finish(graph, env, sums)


def _product(node: Node, tile: Tile, env: dict[Node, Tensor], buffers: dict[Node, Tensor]) -> None:
    """Multiply the rows of a tile: into its buffer, or onto the sum over all tiles."""
    x, y = node.args
    left = _of_tile(x, tile, env, buffers).view(-1, x.shape[-1])
    if node.op == "mm":
        torch.mm(left, env[y], out=buffers[node][: tile.last - tile.first].view(-1, node.shape[-1]))
    else:
        env[node] += outer_sum(left, _of_tile(y, tile, env, buffers).view(-1, y.shape[-1]))


def _of_tile(node: Node, tile: Tile, env: dict[Node, Tensor], buffers: dict[Node, Tensor]) -> Tensor:
    """Return the rows of an edge value that belong to a tile, in row order."""
    buffer = buffers.get(node)
    if buffer is not None:
        return buffer[: tile.last - tile.first]
    if tile.ids is None:
        return env[node][tile.first : tile.last]
    return env[node].index_select(0, tile.ids)


def _joined(node: Node, values: Tensor, peaks: Tensor | None, graph: Topology) -> Tensor:
    """Join the results (pieces, *features) of the pieces of each row to (rows, *features)."""
    rid = torch.from_numpy(graph.loops(node.attr, True).rid).long()
    first = torch.ones_like(rid, dtype=torch.bool)
    first[1:] = rid[1:] != rid[:-1]
    start = first.nonzero().view(-1)
    rows = rid[start]
    fill = -1 if node.op == "rarg" else 0
    out = torch.full((graph.rows(node.space), *node.shape), fill, dtype=values.dtype)
    out[rows] = values[start]
    stop = torch.cat([start[1:], start.new_tensor([len(rid)])])
    for row, a, b in zip(rows.tolist(), start.tolist(), stop.tolist()) if len(rows) < len(rid) else ():
        if b - a == 1:
            continue
        if node.op == "reduce":
            out[row] = values[a:b].sum(0)
        elif node.op == "rmax":
            out[row] = values[a:b].amax(0)
        else:
            assert peaks is not None
            best = peaks[a:b]
            wins = best.isnan() | (best == best.amax(0))
            out[row] = values[a:b].gather(0, wins.int().argmax(0, keepdim=True))[0]
    return out


class _Kernel:
    """One compiled kernel and its arrays."""

    function: jit.Function

    def __init__(self, kernel: Kernel, source: llvm.Source, pieces: bool) -> None:
        self.kernel, self.arrays, self.pieces = kernel, source.arrays, pieces
        self.made = [r for sweep in kernel.sweeps for r in sweep] + kernel.rows
        self.totals = [r for r in self.made if r.op == "total"]
        self.work = sum(a.numel for a in source.arrays) + 4

    def begin(self, graph: Topology, env: dict[Node, Tensor]) -> None:
        """Make the arrays that the kernel writes."""
        for node in self.made:
            if node.op != "total" and node not in env:
                cut = self.pieces and node.op in REDUCTIONS
                rows = graph.loops(self.kernel.end, True).stop if cut else graph.rows(node.space)
                make = torch.zeros if self.kernel.adds else torch.empty
                env[node] = make((rows, *node.shape), dtype=DTYPES[node.dtype])

    def finish(self, graph: Topology, env: dict[Node, Tensor], sums: Sums) -> None:
        """Add up the totals of all parts, and join the pieces of rows, in order."""
        for node in self.totals:
            parts = sums.pop(node, None) or [torch.zeros((1, *node.shape), dtype=DTYPES[node.dtype])]
            env[node] = (parts[0] if len(parts) == 1 else torch.cat(parts)).sum(0)
        if not self.pieces:
            return
        peaks = {r.args: env[r] for r in self.made if r.op == "rmax"}
        joined = {r: _joined(r, env[r], peaks.get(r.args), graph) for r in self.made if r.op in REDUCTIONS}
        env.update(joined)

    def __call__(self, loops: Loops, env: dict[Node, Tensor], buffers: dict[Node, Tensor], sums: Sums) -> None:
        """Run over the rows of `loops`."""
        edges = int(loops.ptr[loops.stop] - loops.ptr[loops.start])
        rows = loops.stop - loops.start
        count = max(1, min(256, (edges + rows) * self.work // PART_WORK))
        cuts = loops.cuts(count)
        addresses = array("q", loops.header)
        for node in self.arrays:
            if node in self.totals:
                made = torch.zeros((len(cuts) - 1, *node.shape), dtype=DTYPES[node.dtype])
                sums.setdefault(node, []).append(made)
                addresses.append(made.data_ptr())
                continue
            tensor = buffers.get(node)
            if tensor is None:
                tensor = env[node]
                if not tensor.is_contiguous():
                    tensor = env[node] = tensor.contiguous()
            addresses.append(tensor.data_ptr())
        address = addresses.buffer_info()[0]
        function = self.function
        parts = list(pairwise(cuts))
        pool.each(lambda k: function(address, parts[k][0], parts[k][1], k), len(parts))

"""Run a schedule on the CPU: compiled row loops on the threads of `ops.cpu.pool`, the rest with torch."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from graphgdl.ops.cpu import pool

from . import jit, llvm
from .interpret import DTYPES, evaluate
from .ir import REDUCTIONS, Node
from .schedule import Host, Kernel, Loop, Product, Step, schedule
from .tiles import product
from .topology import Loops, Topology

TILE_BYTES = 16 << 20
TILE_EDGES = 256  # at least
Values = dict[Node, Tensor]
Run = Callable[[Topology, Values], None]
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

    reads_halves = False
    check = staticmethod(schedule)
    """Raises `Refused` if there is no such executable; nothing is compiled."""

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], inline: int = 0, pieces: bool = False) -> None:
        self.inputs, self.outputs, self.inline, self.pieces = list(inputs), list(outputs), inline, pieces
        self.steps: list[Step] = schedule(self.outputs, self.inputs, inline, one_sweep=pieces)
        self._fixed: dict[Node, Tensor] = {}  # what no input changes
        self._runs: list[Run] = []
        kernels = self._compile()
        self._ends = sorted({k.kernel.end for k in kernels if not k.kernel.adds})
        self._in_pieces: Executable | None = None
        # pieces of a maximum's edge ids are told apart by the maximum itself
        made = {(r.op, r.args) for k in kernels for r in k.made}
        self._may_cut = not pieces and all(("rmax", args) in made for op, args in made if op == "rarg")

    def _compile(self) -> list[_Kernel]:
        sources: list[llvm.Source] = []
        kernels: list[_Kernel] = []
        memory = set(self.inputs)
        bits = jit.register_bits()
        for step in self.steps:
            if isinstance(step, Host):
                memory.add(step.node)
                if step.node.space == "C" and step.node.op != "input" and all(a in self._fixed for a in step.node.args):
                    self._fixed[step.node] = evaluate(step.node, [self._fixed[a] for a in step.node.args], None)
                elif step.node not in self.inputs:
                    self._runs.append(partial(_host, step.node))
                continue
            parts: list[_Kernel | Node] = []
            for part in step.steps:
                if isinstance(part, Product):
                    memory.add(part.node)
                    parts.append(part.node)
                    continue
                source = llvm.Printer(part, f"k{len(sources)}", set(memory), set(step.tile), bits, self.pieces).print()
                kernel = _Kernel(part, source, self.pieces)
                parts.append(kernel)
                kernels.append(kernel)
                sources.append(source)
                memory |= {root for sweep in part.sweeps for root in sweep} | set(part.rows)
            memory -= set(step.tile)
            self._runs += (
                [_Tiled(step, parts, self.pieces)] if step.tiled else [p for p in parts if isinstance(p, _Kernel)]
            )
        for kernel, source in zip(kernels, sources):
            (kernel.function,) = jit.compiled(source.text, [source.symbol])
        return kernels

    def __call__(self, graph: Topology, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs, each (rows, *features) or (*features)."""
        if self._may_cut and graph.has_hub(self._ends):
            if self._in_pieces is None:
                self._in_pieces = Executable(self.inputs, self.outputs, self.inline, pieces=True)
            return self._in_pieces(graph, values)
        env = dict(zip(self.inputs, values, strict=True))
        env.update(self._fixed)
        for run in self._runs:
            run(graph, env)
        return [env[o].clone() if o in self._fixed else env[o] for o in self.outputs]


def _host(node: Node, graph: Topology, env: Values) -> None:
    env[node] = evaluate(node, [env[a] for a in node.args], graph)  # type: ignore[arg-type]


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
    """One compiled kernel and its arrays; called, it runs over all rows of a graph."""

    function: jit.Function

    def __init__(self, kernel: Kernel, source: llvm.Source, pieces: bool) -> None:
        self.kernel, self.arrays, self.pieces = kernel, source.arrays, pieces
        self.made = [r for sweep in kernel.sweeps for r in sweep] + kernel.rows
        self.totals = {r for r in self.made if r.op == "total"}
        self.cut = {r for r in self.made if r.op in REDUCTIONS} if pieces and not kernel.adds else set()
        self.work = sum(a.numel for a in source.arrays) + 4

    def __call__(self, graph: Topology, env: Values) -> None:
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
        parts = loops.parts(max(1, min(256, loops.load * self.work // PART_WORK)))
        addresses = array("q", loops.header)
        for node in self.arrays:
            if node in self.totals:
                tensor = torch.zeros((len(parts), *node.shape), dtype=DTYPES[node.dtype])
                sums.setdefault(node, []).append(tensor)
            else:
                tensor = env[node]
                if not tensor.is_contiguous():
                    tensor = env[node] = tensor.contiguous()
            addresses.append(tensor.data_ptr())
        address, _ = addresses.buffer_info()
        function = self.function
        if len(parts) == 1:
            function(address, *parts[0], 0)
        else:
            pool.each(lambda k: function(address, *parts[k], k), len(parts))

    def finish(self, graph: Topology, env: Values, sums: Sums) -> None:
        """Add up the totals of all parts, and join the pieces of rows, in order."""
        for node in self.totals:
            parts = sums.pop(node, None) or [torch.zeros((1, *node.shape), dtype=DTYPES[node.dtype])]
            found = parts[0] if len(parts) == 1 else torch.cat(parts)
            env[node] = found.squeeze_(0) if len(found) == 1 else found.sum(0)
        if self.cut:
            peaks = {r.args: env[r] for r in self.cut if r.op == "rmax"}
            env.update({r: _joined(r, env[r], peaks.get(r.args), graph) for r in self.cut})


class _Tiled:
    """Kernels in turns with products, over tiles of edges."""

    def __init__(self, loop: Loop, parts: list[_Kernel | Node], pieces: bool) -> None:
        self.parts, self.pieces, self.tile = parts, pieces, set(loop.tile)
        self.end = next((p.kernel.end for p in parts if isinstance(p, _Kernel) and not p.kernel.adds), "dst")
        self.width = sum(n.numel * (8 if n.dtype == "f64" else 4) for n in loop.tile)

    def __call__(self, graph: Topology, env: Values) -> None:
        sums: Sums = {}
        tiles = graph.tiles(self.end, max(TILE_EDGES, TILE_BYTES // max(self.width, 1)), self.pieces)
        longest = max((t.last - t.first for t in tiles), default=0)
        env.update({n: torch.empty((longest, *n.shape), dtype=DTYPES[n.dtype]) for n in self.tile})
        kernels = [p for p in self.parts if isinstance(p, _Kernel)]
        for kernel in kernels:
            kernel.begin(graph, env)
        for tile in tiles:
            for part in self.parts:
                if isinstance(part, _Kernel):
                    part.over(tile.others if part.kernel.adds else tile.rows, env, sums)
                else:
                    product(part, tile, env, self.tile)
        for kernel in kernels:
            kernel.finish(graph, env, sums)
        for part in self.parts if not tiles else ():
            if isinstance(part, Node) and part.op == "mmt":
                env[part] = torch.zeros(part.shape, dtype=DTYPES[part.dtype])
        for node in self.tile:
            del env[node]

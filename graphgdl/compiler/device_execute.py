"""Run a schedule on a device: printed Triton kernels for the row loops, the rest with torch. The sibling of `execute`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from .device_topology import DeviceTopology, Hubs, Loops
from .interpret import DTYPES, evaluate
from .ir import Program
from .node import REDUCTIONS, Node, Shape
from .schedule import schedule
from .steps import Host, Kernel, Loop, Step, kernels
from .tiles import product
from .triton_launch import launch
from .triton_printer import Printer, Source

TILE_BYTES = 256 << 20
TILE_EDGES = 4096  # at least
Sums = dict[Node, list[Tensor]]  # of each total, one row for each program


class DeviceExecutable:
    """Computes `outputs` from the values of `inputs`; inputs in half precision are read as they are, computed in float32.

    Args:
        inputs: nodes whose values are given.
        outputs: nodes to compute.

    Raises:
        Refused: the program needs more than row loops can do, or a kernel cannot be printed.
    """

    @classmethod
    def check(cls, outputs: Sequence[Node], inputs: Sequence[Node]) -> None:
        """Raise `Refused` if there is no such executable; nothing is compiled."""
        cls(inputs, outputs)

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.steps: list[Step] = schedule(self.outputs, self.inputs)
        self._runs = {id(kernel): _Kernel(kernel) for kernel in kernels(self.steps)}
        self._fixed: dict[torch.device, dict[Node, Tensor]] = {}

    def kernels(self) -> list[tuple[Source, bool]]:
        """Return the text of all kernels and whether their lanes are long, those for rows in pieces included."""
        found = []
        for run in self._runs.values():
            found += [(run.source, False), (run.source, True), *((s, True) for s in run.pieces())]
            found += [(run.rows(), False)] if run.kernel.rows else []
        return found

    def __call__(self, graph: DeviceTopology, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs, each (rows, *features) or (*features)."""
        env: dict[Node, Tensor] = dict(zip(self.inputs, values, strict=True))
        env = {n: v.contiguous() for n, v in env.items()}
        fixed = self._constants(graph.device)
        env.update(fixed)
        with torch.cuda.device_of(graph.ends):  # nothing on the CPU
            for step in self.steps:
                if isinstance(step, Loop):
                    self._loop(step, graph, env)
                elif step.node not in fixed:
                    args = [_full(a, env) for a in step.node.args]
                    env[step.node] = evaluate(step.node, args, graph, graph.device).contiguous()  # type: ignore[arg-type]
        return [env[o].clone() if o in fixed else env[o] for o in self.outputs]

    def _constants(self, device: torch.device) -> dict[Node, Tensor]:
        """Return what no input changes, made once for each device: a copy to it waits for its work."""
        fixed = self._fixed.get(device)
        if fixed is None:
            fixed = {}
            with torch.inference_mode(False):
                for node in (s.node for s in self.steps if isinstance(s, Host)):
                    if node.space == "C" and node.op != "input" and all(a in fixed for a in node.args):
                        fixed[node] = evaluate(node, [fixed[a] for a in node.args], None, device).contiguous()
            self._fixed[device] = fixed
        return fixed

    def _loop(self, loop: Loop, graph: DeviceTopology, env: dict[Node, Tensor]) -> None:
        sums: Sums = {}
        runs = [self._runs[id(kernel)] for kernel in loop.kernels]
        made = {n for run in runs for n in run.made}.difference(loop.tile)
        if not loop.tiled:
            for run in runs:
                run.begin(graph, env, made)
                run(graph.loops(run.kernel.end), graph, env, sums)
                run.finish(graph, env, sums)
            return
        end = next((k.end for k in loop.kernels if not k.adds), "dst")
        width = sum(n.numel * (8 if n.dtype == "f64" else 4) for n in loop.tile)
        tiles = graph.tiles(end, max(TILE_EDGES, TILE_BYTES // max(width, 1)))
        longest = max((t.last - t.first for t in tiles), default=0)
        device = graph.device
        tiled = set(loop.tile)
        env |= {n: torch.empty((longest, *n.shape), dtype=DTYPES[n.dtype], device=device) for n in tiled}
        for part in loop.steps:
            if isinstance(part, Kernel):
                self._runs[id(part)].begin(graph, env, made)
            elif part.node.op == "mmt":
                env[part.node] = torch.zeros(part.node.shape, dtype=DTYPES[part.node.dtype], device=device)
        for tile in tiles:
            for part in loop.steps:
                if isinstance(part, Kernel):
                    self._runs[id(part)](tile.others if part.adds else tile.rows, graph, env, sums)
                else:
                    product(part.node, tile, env, tiled)
        for run in runs:
            run.finish(graph, env, sums)
        for node in loop.tile:
            del env[node]


class _Kernel:
    """One row loop: its printed kernel, and those for rows that are cut into pieces, printed when first needed."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.made = kernel, kernel.roots
        # to join the positions of the greatest values in pieces takes these values too
        self.peaks = {r: replace(r, op="rmax", dtype=r.args[0].dtype) for r in self.made if r.op == "rarg"}
        self.source = Printer(kernel).print()
        self._pieces: list[Source] | None = None
        self._rows: Source | None = None

    def pieces(self) -> list[Source]:
        """Return a kernel for each sweep, whose lanes are pieces of rows."""
        if self._pieces is None:
            self._pieces, memory = [], self.kernel.memory
            for sweep in self.kernel.sweeps:
                roots = [*sweep, *(self.peaks[r] for r in sweep if r in self.peaks)]
                part = replace(self.kernel, sweeps=[roots], rows=[], memory=memory)
                self._pieces.append(Printer(part, pieces=True).print())
                memory = memory.union(sweep)
        return self._pieces

    def rows(self) -> Source:
        """Return the kernel that computes the row values alone."""
        if self._rows is None:
            memory = self.kernel.memory.union(*self.kernel.sweeps)
            self._rows = Printer(replace(self.kernel, sweeps=[], memory=memory)).print()
        return self._rows

    def begin(self, graph: DeviceTopology, env: dict[Node, Tensor], made: set[Node]) -> None:
        """Make the arrays that the kernel writes."""
        for node in self.made:
            if node in made and node.op != "total":
                make = torch.zeros if self.kernel.adds else torch.empty
                env[node] = make((graph.rows(node.space), *node.shape), dtype=DTYPES[node.dtype], device=graph.device)

    def __call__(self, loops: Loops, graph: DeviceTopology, env: dict[Node, Tensor], sums: Sums) -> None:
        """Run over all rows of `loops`."""
        for lanes in loops.lanes:
            _add(sums, launch(self.source, lanes, loops, env))
        if loops.hubs is None:
            return
        hubs = loops.hubs
        for source, sweep in zip(self.pieces(), self.kernel.sweeps):
            reductions = [n for n in sweep if n.op in REDUCTIONS]
            partial = {
                n: torch.empty((len(hubs.pieces), *n.shape), dtype=DTYPES[n.dtype], device=graph.device)
                for n in [*reductions, *(self.peaks[r] for r in reductions if r in self.peaks)]
            }
            _add(sums, launch(source, hubs.pieces, loops, env | partial))
            rows = hubs.rows.row.long()
            for node in reductions:
                whole = self._joined(node, partial, hubs)
                env[node][rows] = env[node][rows] + whole if self.kernel.adds else whole
        if self.kernel.rows:
            launch(self.rows(), hubs.rows, loops, env)

    def _joined(self, node: Node, partial: dict[Node, Tensor], hubs: Hubs) -> Tensor:
        """Reduce the pieces of each cut row, in order; the positions of the greatest values by these values."""
        of = self.peaks.get(node, node)
        pieces, rows, source = joining(node.op, node.shape, of.dtype)
        found = torch.empty((len(hubs.rows), *node.shape), dtype=DTYPES[node.dtype], device=hubs.pieces.row.device)
        launch(source, hubs.joins.lanes[0], hubs.joins, {pieces: partial[of], rows: found})
        return partial[node].gather(0, found.long()) if node.op == "rarg" else found

    def finish(self, graph: DeviceTopology, env: dict[Node, Tensor], sums: Sums) -> None:
        """Add up the totals of all programs, in order."""
        for node in self.made:
            if node.op == "total":
                parts = sums.pop(node, [torch.zeros((0, *node.shape), dtype=DTYPES[node.dtype], device=graph.device)])
                env[node] = torch.cat(parts).sum(0)


@cache
def joining(op: str, shape: Shape, dtype: str) -> tuple[Node, Node, Source]:
    """Return what pieces of rows hold, what rows make of it, and the kernel that does."""
    program = Program()
    pieces = program.input("pieces", "E", shape, dtype)
    rows = program.node(op, (pieces,), "dst", "N", shape, "i32" if op == "rarg" else dtype)
    return pieces, rows, Printer(Kernel("dst", [[rows]], memory={pieces})).print()


def _add(sums: Sums, totals: dict[Node, Tensor]) -> None:
    for node, part in totals.items():
        sums.setdefault(node, []).append(part)


def _full(node: Node, env: dict[Node, Tensor]) -> Tensor:
    """Return a value in the precision it is computed in."""
    value = env[node]
    return value.to(DTYPES[node.dtype]) if value.is_floating_point() else value

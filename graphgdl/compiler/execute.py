"""Run a schedule on the CPU: compiled row loops on the threads of `ops.cpu.pool`, the rest with torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from graphgdl.ops.cpu import machine_code

from .blocks import Blocks
from .interpret import evaluate
from .kernel import CompiledKernel, Values
from .llvm import Printer
from .node import Node
from .schedule import schedule
from .steps import Host, Loop, Product, Step
from .topology import Topology

HALVES = {torch.float16: "f16", torch.bfloat16: "bf16"}
Run = Callable[[Topology, Values], None]


class Executable:
    """Computes `outputs` from the values of `inputs`; its kernels are compiled when it is made.

    Args:
        inputs: what is given at each call, in order.
        outputs: what is returned, in order.
        pieces: whether rows are cut into pieces, for graphs with a hub; made when such a graph comes.
        halves: the inputs that kernels read in 16 bits, 'f16' or 'bf16', to compute with in float32; made when they come.
    """

    check = staticmethod(schedule)
    """Raises `Refused` if there is no such executable; nothing is compiled."""

    def __init__(
        self,
        inputs: Sequence[Node],
        outputs: Sequence[Node],
        pieces: bool = False,
        halves: Mapping[Node, str] = {},
    ) -> None:
        self.inputs, self.outputs, self.pieces = list(inputs), list(outputs), pieces
        self.halves = dict(halves)
        self.steps: list[Step] = schedule(self.outputs, self.inputs, one_sweep=pieces)
        self._fixed: dict[Node, Tensor] = {}  # what no input changes
        self._runs: list[Run] = []
        kernels = self._compile()
        self._ends = sorted({k.kernel.end for k in kernels if not k.kernel.adds})
        self._forms: dict[tuple[bool, tuple[str, ...]], Executable] = {}  # of other pieces, and kinds of inputs
        # what others than kernels read, or nobody
        self._whole = {a for s in self.steps if isinstance(s, Host) for a in s.node.args}.union(self.outputs)
        products = [p.node for s in self.steps if isinstance(s, Loop) for p in s.steps if isinstance(p, Product)]
        self._whole.update(a for p in products for a in p.args)
        # pieces of a maximum's edge ids are told apart by the maximum itself
        made = {(r.op, r.args) for k in kernels for r in k.made}
        self._may_cut = not pieces and all(("rmax", args) in made for op, args in made if op == "rarg")

    def _compile(self) -> list[CompiledKernel]:
        kernels: list[CompiledKernel] = []
        bits = machine_code.register_bits()
        for step in self.steps:
            if isinstance(step, Host):
                if step.node.space == "C" and step.node.op != "input" and all(a in self._fixed for a in step.node.args):
                    self._fixed[step.node] = evaluate(step.node, [self._fixed[a] for a in step.node.args], None)
                elif step.node not in self.inputs:
                    self._runs.append(partial(_host, step.node))
                continue
            compiled: dict[int, CompiledKernel] = {}
            for kernel in step.kernels:
                source = Printer(kernel, bits, self.pieces, self.halves).print()
                compiled[id(kernel)] = CompiledKernel(kernel, source, self.pieces)
            kernels += compiled.values()
            self._runs += [Blocks(step, compiled, self.pieces)] if step.tiled else compiled.values()
        return kernels

    def __call__(self, graph: Topology, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs, each (rows, *features) or (*features)."""
        if any(v.dtype in HALVES for v in values):
            values = [v.float() if n in self._whole and v.dtype in HALVES else v for n, v in zip(self.inputs, values)]
            halves = {n: HALVES[v.dtype] for n, v in zip(self.inputs, values) if v.dtype in HALVES}
            if halves != self.halves:
                return self._form(self.pieces, halves)(graph, values)
        if self._may_cut and graph.has_hub(self._ends):
            return self._form(True, self.halves)(graph, values)
        env = dict(zip(self.inputs, values, strict=True))
        env.update(self._fixed)
        for run in self._runs:
            run(graph, env)
        return [env[o].clone() if o in self._fixed else env[o] for o in self.outputs]

    def _form(self, pieces: bool, halves: dict[Node, str]) -> Executable:
        """Return the same program for rows in pieces, or that reads other inputs in 16 bits."""
        key = pieces, tuple(halves.get(n, "") for n in self.inputs)
        if key not in self._forms:
            self._forms[key] = Executable(self.inputs, self.outputs, pieces, halves)
        return self._forms[key]


def _host(node: Node, graph: Topology, env: Values) -> None:
    env[node] = evaluate(node, [env[a] for a in node.args], graph)  # type: ignore[arg-type]

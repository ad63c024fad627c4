"""A compiled function of any order of derivative: its backward is such a function itself, made when first asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .execute import Executable
from .ir import REDUCTIONS, Node, Program, is_tiled, topological
from .schedule import THIN, costly, schedule
from .tape import Refused, Tape
from .topology import Topology
from .translate import translate

_lock = threading.RLock()  # a program grows by one derivative at a time


class Differentiable:
    """A recorded program, its loops, and its derivative.

    Args:
        program: owner of all nodes, of every order.
        tape: what to compute; inputs are those of `inputs` after the edge index.
        inputs: the nodes of the tape's inputs.
        outputs: the nodes of its outputs.
        wanted: which inputs are differentiated by.
        given: nodes whose values an earlier order has computed.
    """

    def __init__(
        self,
        program: Program,
        tape: Tape,
        inputs: list[Node],
        outputs: list[Node],
        wanted: Sequence[int],
        given: Sequence[Node] = (),
    ) -> None:
        self.program, self.tape = program, tape
        self.inputs, self.wanted, self.given = inputs, list(wanted), list(given)
        self.outputs = [self._leaving(o) for o in outputs]
        self._plain: Executable | None = None
        self._forward: Executable | None = None
        self._backward: Differentiable | None = None
        self.reached: list[int] = []
        self.saved: list[Node] = []

    def _leaving(self, node: Node) -> Node:
        """Return what leaves the program in place of a value: a copy of a product per edge, which lives in tiles."""
        if not in_tiles(node, self.program.inline):
            return node
        return self.program.node("stop", (node,), None, "E", node.shape, node.dtype)

    @property
    def plain(self) -> Executable:
        """The program alone."""
        if self._plain is None:
            with _lock:
                self._plain = self._plain or Executable([*self.inputs, *self.given], self.outputs, self.program.inline)
        return self._plain

    @property
    def backward(self) -> Differentiable:
        """(inputs, cotangents) -> gradients of the inputs `reached`."""
        if self._backward is None:
            with _lock:
                self._backward = self._backward or self._derived()
        return self._backward

    @property
    def forward(self) -> Executable:
        """The program, and after its outputs the values that the backward starts from."""
        if self._forward is None:
            with _lock:
                if self._forward is None:
                    _ = self.backward
                    outputs = [*self.outputs, *map(self._leaving, self.saved)]
                    self._forward = Executable([*self.inputs, *self.given], outputs, self.program.inline)
        return self._forward

    def check_derivative(self) -> None:
        """Raise `Refused` now if the next derivative would when it is asked for; it is planned, not compiled.

        What torch itself cannot differentiate is left to torch's own error.
        """
        if not self.wanted:
            return
        try:
            backward = self.backward
        except RuntimeError as error:
            if isinstance(error, Refused) or "not implemented" not in str(error):
                raise
            return
        schedule([*backward.outputs], [*backward.inputs, *backward.given], self.program.inline)

    def _derived(self) -> Differentiable:
        offset = len(self.tape.inputs) - len(self.inputs)  # the edge index comes first and has no node
        tape, reached = self.tape.vjp([k + offset for k in self.wanted])
        self.reached = [k - offset for k in reached]
        order = len([n for n in self.program.inputs if n.attr.startswith("cotangent")])
        names = [f"cotangent {order + k}" for k in range(len(self.outputs))]
        every: list[str | Node] = [*([""] * offset), *self.inputs, *names]
        inputs, gradients = translate(tape, self.program, every)
        known = [*self.inputs, *self.given]
        outputs = [g for g in gradients if g is not None]
        self.saved = cut(outputs, inputs[len(self.inputs) :], known, self.program)
        wanted = list(self.reached)
        wanted += [k for k in range(len(self.inputs), len(inputs)) if inputs[k].dtype in ("f32", "f64")]
        return Differentiable(self.program, tape, inputs, outputs, wanted, [*self.given, *self.saved])

    def __call__(self, graph: Topology, values: Sequence[Tensor], given: Sequence[Tensor] = ()) -> list[Tensor]:
        """Return the outputs; autograd sees the inputs in `wanted`."""
        if torch.is_grad_enabled() and any(values[k].requires_grad for k in self.wanted):
            return list(_Function.apply(self, graph, len(values), *values, *given))
        return self.plain(graph, [*values, *given])


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compiled: Differentiable, graph: Topology, count: int, *values: Tensor) -> tuple[Tensor, ...]:
        found = compiled.forward(graph, values)
        outputs = len(compiled.outputs)
        ctx.compiled, ctx.graph, ctx.count = compiled, graph, count
        ctx.save_for_backward(*values, *found[outputs:])
        for tensor in (f for f in found[:outputs] if not f.is_floating_point()):
            ctx.mark_non_differentiable(tensor)
        return tuple(found[:outputs])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        compiled, kept = ctx.compiled, ctx.saved_tensors
        values, given = kept[: ctx.count], kept[ctx.count :]
        gradients = compiled.backward(ctx.graph, [*values, *(c.contiguous() for c in cotangents)], given)
        out: list[Tensor | None] = [None] * (len(kept) - len(compiled.saved))
        for position, gradient in zip(compiled.reached, gradients, strict=True):
            out[position] = gradient
        return (None, None, None, *out)


def cut(outputs: Sequence[Node], cotangents: Sequence[Node], known: Sequence[Node], program: Program) -> list[Node]:
    """Return what of the forward program the backward should not compute again.

    Node values and constants, reductions, and thin costly edge values are kept; wide edge values are computed anew, but
    for products that the program says to keep.
    """
    given = set(known)
    order = topological(outputs, given)
    late = set(cotangents)
    for node in order:
        if any(a in late for a in node.args):
            late.add(node)
    saved: list[Node] = []
    seen: set[Node] = set()
    stack = list(reversed(outputs))
    while stack:
        node = stack.pop()
        if node in seen or node in given:
            continue
        seen.add(node)
        if node not in late and _worth_keeping(node, given, program):
            saved.append(node)
        else:
            stack += reversed(node.args)
    return saved


def in_tiles(node: Node, inline: int) -> bool:
    """Whether a value is a product per edge."""
    return is_tiled(node, inline) or (node.op == "view" and in_tiles(node.args[0], inline))


def _worth_keeping(node: Node, known: set[Node], program: Program) -> bool:
    if is_tiled(node, program.inline):
        return program.keep
    if node.space == "E":
        return node.numel <= THIN and costly(node, known) and not in_tiles(node, program.inline)
    if node.op in REDUCTIONS:
        return True
    below = topological([node], known)
    return any(n.op in REDUCTIONS or n.op in ("total", "mm", "mmt") for n in below if n not in known)

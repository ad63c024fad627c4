"""A compiled function of any order of derivative: its backward is such a function itself, made when first asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .batched import for_each
from .execute import Executable
from .ir import Program
from .node import REDUCTIONS, Node, is_tiled, topological
from .schedule import THIN, costly
from .tape import Tape
from .topology import Topology
from .translate import translate

FLOATS = ("f32", "f64")
_lock = threading.RLock()  # a program grows by one derivative at a time


class Differentiable:
    """A recorded program, its loops, and its derivative.

    Args:
        program: owner of all nodes, of every order.
        tape: what to compute; inputs are those of `inputs` after the edge index.
        inputs: the nodes of the tape's inputs.
        outputs: the nodes of its outputs.
        wanted: which inputs are differentiated by.
        of: the function whose derivative this is; it computes some nodes beforehand.
        reached: the inputs of `of` whose gradients the outputs are.
        executable: what runs it and its derivatives (see `backend`).
    """

    def __init__(
        self,
        program: Program,
        tape: Tape,
        inputs: list[Node],
        outputs: list[Node],
        wanted: list[int],
        of: Differentiable | None = None,
        reached: Sequence[int] = (),
        executable: Any = Executable,
    ) -> None:
        self.program, self.tape = program, tape
        self.inputs, self.wanted, self.reached = inputs, wanted, reached
        self._of, self.executable = of, executable
        self.outputs = [self._leaving(o) for o in outputs]
        self._plain: Executable | None = None
        self._forward: Executable | None = None
        self._saved: list[Node] | None = None
        self._derivatives: dict[tuple[tuple[int, ...], tuple[int, ...]], Differentiable] = {}

    def _leaving(self, node: Node) -> Node:
        """Return what leaves the program in place of a value: a copy of a product per edge, which lives in tiles."""
        if not in_tiles(node):
            return node
        return self.program.node("stop", (node,), None, "E", node.shape, node.dtype)

    @property
    def given(self) -> list[Node]:
        """Nodes whose values a lower order has computed."""
        return [] if self._of is None else [*self._of.given, *self._of.saved]

    @property
    def plain(self) -> Executable:
        """The program alone."""
        if self._plain is None:
            with _lock:
                known = [*self.inputs, *self.given]
                self._plain = self._plain or self.executable(known, self.outputs)
        return self._plain

    @property
    def forward(self) -> Executable:
        """The program, and after its outputs the values that the backward starts from."""
        if self._forward is None:
            with _lock:
                if self._forward is None:
                    outputs = [*self.outputs, *map(self._leaving, self.saved)]
                    self._forward = self.executable([*self.inputs, *self.given], outputs)
        return self._forward

    @property
    def backward(self) -> Differentiable:
        """The derivative of all outputs by all inputs in `wanted`."""
        return self.derivative([k for k, o in enumerate(self.outputs) if o.dtype in FLOATS], self.wanted)

    @property
    def saved(self) -> list[Node]:
        """What of the program its derivatives do not compute again."""
        if self._saved is None:
            with _lock:
                backward = self.backward
                if self._saved is None:
                    known = [*self.inputs, *self.given]
                    self._saved = cut(backward.outputs, backward.inputs[len(self.inputs) :], known, self.program)
        return self._saved

    def derivative(self, present: Sequence[int], wanted: Sequence[int]) -> Differentiable:
        """(inputs, cotangents of the outputs `present`) -> gradients of the inputs `wanted`, those `reached`."""
        key = (tuple(present), tuple(wanted))
        found = self._derivatives.get(key)
        if found is None:
            with _lock:
                found = self._derivatives.get(key)
                if found is None:
                    found = self._derivatives[key] = self._derived(*key)
        return found

    def check_derivative(self) -> None:
        """Raise `Refused` now if the next derivative would when it is asked for; it is planned, not compiled.

        What torch itself cannot differentiate is left to torch's own error.
        """
        if not self.wanted:
            return
        try:
            backward = self.backward
        except RuntimeError as error:
            if "not implemented" not in str(error):
                raise
            return
        self.executable.check(backward.outputs, [*backward.inputs, *backward.given])

    def _derived(self, present: tuple[int, ...], wanted: tuple[int, ...]) -> Differentiable:
        offset = len(self.tape.inputs) - len(self.inputs)  # the edge index comes first and has no node
        tape, reached = self.tape.vjp(present, [k + offset for k in wanted])
        order = len([n for n in self.program.inputs if n.attr.startswith("cotangent")])
        names = [f"cotangent {order + k}" for k in range(len(present))]
        every: list[str | Node] = [*([""] * offset), *self.inputs, *names]
        inputs, gradients = translate(tape, self.program, every)
        reached = [k - offset for k in reached]
        further = [k for k in range(len(self.inputs), len(inputs)) if inputs[k].dtype in FLOATS]
        outputs = [g for g in gradients if g is not None]
        return Differentiable(
            self.program, tape, inputs, outputs, [*self.wanted, *further], self, reached, self.executable
        )

    def __call__(self, graph: Topology, values: Sequence[Tensor], given: Sequence[Tensor] = ()) -> list[Tensor]:
        """Return the outputs; autograd sees the inputs in `wanted`."""
        if torch.is_grad_enabled() and any(values[k].requires_grad for k in self.wanted):
            return list(_apply(self, graph, len(values), *values, *given))
        return self.plain(graph, [*values, *given])


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compiled: Differentiable, graph: Topology, count: int, *values: Tensor) -> tuple[Tensor, ...]:
        found = compiled.forward(graph, values)
        outputs = len(compiled.outputs)
        ctx.compiled, ctx.graph, ctx.count = compiled, graph, count
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*values, *found[outputs:])
        ctx.mark_non_differentiable(*[f for f in found[:outputs] if not f.is_floating_point()])
        return tuple(found[:outputs])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        compiled, kept = ctx.compiled, ctx.saved_tensors
        values, given = kept[: ctx.count], kept[ctx.count :]
        present = [k for k, c in enumerate(cotangents) if c is not None]
        asked = compiled.wanted
        if len(asked) > 1:  # a leaf that is asked for is told by an error, which takes 30 us
            asked = [k for k in asked if _asked_for(ctx.next_functions[k][0])]
        out: list[Tensor | None] = [None] * (len(kept) - len(compiled.saved))
        if not present:  # what came after has a derivative of 0
            for position in asked:
                out[position] = torch.zeros_like(values[position])
            return (None, None, None, *out)
        derivative = compiled.derivative(present, asked)
        came = [c for c in cotangents if c is not None]
        gradients = for_each(lambda each: derivative(ctx.graph, [*values, *each], given), came)
        for position, gradient in zip(derivative.reached, gradients, strict=True):
            out[position] = gradient
        return (None, None, None, *out)


# without what `Function.apply` does for transforms of `torch.func`, which run the message path
_apply = super(torch.autograd.Function, _Function).apply


def _asked_for(function: Any) -> bool:
    """Whether the backward pass that is running goes on to `function`, or ends there."""
    if function is None:
        return False
    try:
        return torch._C._will_engine_execute_node(function)
    except RuntimeError:  # a leaf that `torch.autograd.grad` asks for
        return True


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


def in_tiles(node: Node) -> bool:
    """Whether a value is a product per edge."""
    return is_tiled(node) or (node.op == "view" and in_tiles(node.args[0]))


def _worth_keeping(node: Node, known: set[Node], program: Program) -> bool:
    if is_tiled(node):
        return program.keep
    if node.space == "E":
        return node.numel <= THIN and costly(node, known) and not in_tiles(node)
    if node.op in REDUCTIONS:
        return True
    if node.op == "expand":  # what it is made of is smaller
        return False
    below = topological([node], known)
    return any(n.op in REDUCTIONS or n.op in ("total", "mm", "mmt") for n in below if n not in known)

"""Break the compiler in one place at a time and see that a small check notices: tests that cannot fail prove nothing."""

from __future__ import annotations

import numpy as np
import pytest
import test_refusals  # noqa: F401 (cases)
import test_refused_state as user
import torch
from message_grammar import Generated
from random_graphs import graph
from test_derivatives import assert_same as same_derivatives
from user_messages import assert_refused_or_right

from graphgdl.compiler import (
    blocks,
    derive,
    execute,
    guards,
    interpret,
    ir,
    kernel,
    llvm_products,
    movers,
    recorder,
    schedule,
    tape,
    topology,
    translate,
)
from graphgdl.compiler import message as messages
from graphgdl.compiler.interpret import Edges
from graphgdl.compiler.ir import Program
from graphgdl.compiler.llvm_blocks import HEAD, STEP
from graphgdl.compiler.llvm_values import Values
from graphgdl.compiler.llvm_vectors import Builder
from graphgdl.compiler.tape import Refused

G = graph("isolated rows", 11, 11, 45, 3)


# --- checks


def assert_compiled_is_interpreted(outputs_of, dtype: str = "f64") -> None:
    """Compile the program that `outputs_of(program, x, e, w)` builds, and compare it with the interpreter."""
    p = Program()
    shapes = {"x": ("N", (35,)), "e": ("E", (35,)), "w": ("C", (35, 6))}
    inputs = [p.input(name, space, shape, dtype) for name, (space, shape) in shapes.items()]
    generator = torch.Generator().manual_seed(0)
    values = [
        torch.randint(-2, 3, (*([] if n.space == "C" else [G.rows(n.space)]), *n.shape), generator=generator).double()
        for n in inputs
    ]
    outputs = outputs_of(p, *inputs)
    edge_index = G.edge_index
    found = execute.Executable(p.inputs, outputs)(topology.topology(edge_index, 11, 11), values)
    expected = interpret.interpret(outputs, dict(zip(inputs, values)), Edges(*edge_index, 11, 11))
    for node, a, b in zip(outputs, found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=lambda m, node=node: f"{node}: {m}")


def both_ends(p, x, e, w):
    left = p.pw("sub", p.gather(x, "src"), p.gather(x, "dst"))
    return [p.reduce(p.pw("mul", left, e), "dst", "N"), p.reduce(p.pw("mul", left, e), "src", "N")]


def sweeps(p, x, e, w):
    top = p.gather(p.rmax(e, "dst", "N"), "dst")
    weight = p.pw("exp", p.pw("sub", e, top))
    share = p.pw("div", weight, p.gather(p.reduce(weight, "dst", "N"), "dst"))
    return [p.reduce(p.pw("mul", share, p.gather(x, "src")), "dst", "N")]


def maxima(p, x, e, w):
    return [p.rmax(p.pw("sub", e, p.const(9.0, "f64")), "dst", "N"), p.rarg(e, "dst", "N")]


def tiles(p, x, e, w):
    squeezed = p.pw("tanh", e)
    hidden = p.mm(squeezed, w)
    return [
        squeezed,
        p.reduce(p.pw("tanh", hidden), "dst", "N"),
        p.reduce(p.cat([p.pw("cos", hidden), p.pw("sin", hidden)], 0), "src", "N"),
        p.mmt(hidden, e),
        p.total(p.pw("sin", hidden)),
    ]


def features(p, x, e, w):
    square = p.view(e, (5, 7))
    turned = p.permute(square, (1, 0))
    by_row = p.pw("mul", turned, p.sum(turned, [1], keepdim=True))
    parts = p.cat([p.take(by_row, 0, range(1, 4)), p.take(by_row, 0, range(3, 6))], 0)
    return [p.reduce(parts, "dst", "N"), p.total(p.amax(square, [1]))]


def loops(*programs):
    def check() -> None:
        for program in programs:
            assert_compiled_is_interpreted(program)

    return check


def derivatives() -> None:
    layer = Generated([("mlp", 0, 0), ("silu", 0, 0), ("mul", 0, 2), ("tanh", 0, 0)], "sum", (4, 3), "both", 0)
    layer.widths, layer.described = (4, 3), "fixed"
    assert same_derivatives(layer, G, 1)


def gradient_of_maximum() -> None:
    layer = Generated([("linear", 0, 0)], "max", (4, 3), "both", 0)
    layer.widths, layer.described = (4, 3), "fixed"
    assert same_derivatives(layer, G, 1)


def of_user(name: str):
    return lambda: assert_refused_or_right(name)


def dropped() -> None:
    """Linear in x at x = 1, so the gradient of the sum is the sum, if both draw the same mask."""

    class Dropped(user.UserLayer):
        def message(self, x_j):
            return torch.nn.functional.dropout(x_j, 0.5, True)

    layer, ones = Dropped(), torch.ones(11, 4, dtype=torch.float64, requires_grad=True)
    layer.lowering = "compiled"
    out = layer(ones, G.edge_index)
    (gradient,) = torch.autograd.grad(out.sum(), ones)
    torch.testing.assert_close(out.sum(), gradient.sum())


def changed_attribute() -> None:
    with pytest.MonkeyPatch.context() as patcher:
        user.test_nothing_stale(lambda layer, m: setattr(layer, "own", 4.0), patcher)


# --- mutants


def swapped_ends(m):
    original = topology.Topology._sorted
    m.setattr(topology.Topology, "_sorted", lambda self, end: original(self, "src" if end == "dst" else "dst"))


def dropped_tail(m):
    original = Values.chunks
    m.setattr(Values, "chunks", lambda self, node: [c for c in original(self, node) if 34 not in c or len(c) > 34])


def short_last_chunk(m):
    original = Values.chunks
    m.setattr(Values, "chunks", lambda self, node: [c[:-1] if len(c) > 2 else c for c in original(self, node)])


def reversed_sweeps(m):
    original = schedule._Loop._kernel

    def swapped(self, *args):
        kernel = original(self, *args)
        kernel.sweeps.reverse()
        return kernel

    m.setattr(schedule._Loop, "_kernel", swapped)


def stale_plan(m):
    known: dict = {}
    original = topology.plan
    m.setattr(topology, "plan", lambda index: known.setdefault(id(index), original(index)))


def subtracted_outer_products(m):
    m.setattr(llvm_products, "outer_sum", rewritten_text(llvm_products.outer_sum, "fadd", "fsub"))


def product_of_the_first_block(m):
    original = blocks.Blocks._words

    def still(*args):
        template, *rest = original(*args)
        for start in range(HEAD, HEAD + STEP * int(template[4]), STEP):
            template[start + 5 : start + 8] = 0
        return template, *rest

    m.setattr(blocks.Blocks, "_words", still)


def subtracted_products(m):
    m.setattr(llvm_products, "product", rewritten_text(llvm_products.product, "fadd", "fsub"))


def rewritten_text(function, before, after):
    return lambda *args: function(*args).replace(before, after)


def wrong_permutation(m):
    original = Values._map

    def wrong(self, node):
        if node.op != "permute":
            return original(self, node)
        return np.arange(node.numel)

    m.setattr(Values, "_map", wrong)


def copied_in_the_order_of_the_rows(m):
    original = blocks.Blocks._words
    order = np.arange(1000, dtype=np.int32)

    def unsorted(*args):
        template, *rest = original(*args)
        template[2] = order.ctypes.data
        return template, *rest

    m.setattr(blocks.Blocks, "_words", unsorted)


def wrong_tile_positions(m):
    original = topology.Topology._cut

    def cut(self, *args):
        for tile in original(self, *args):
            tile.others.pos[:] = np.sort(tile.others.pos)
            yield tile

    m.setattr(topology.Topology, "_cut", cut)


def tiles_overwrite(m):
    original = schedule._Loop._cut

    def without(self, roots):
        loop = original(self, roots)
        for step in loop.steps:
            if isinstance(step, schedule.Kernel):
                step.adds = False
        return loop

    m.setattr(schedule._Loop, "_cut", without)


def broadcast_off_by_one(m):
    original = Values._broadcast_map
    m.setattr(Values, "_broadcast_map", lambda self, shape, to: np.roll(original(self, shape, to), 1))


def rewritten(before, after):
    def patch(m):
        original = Builder.let
        m.setattr(Builder, "let", lambda self, level, text: original(self, level, text.replace(before, after)))

    return patch


def totals_of_one_tile(m):
    m.setattr(kernel, "PART_WORK", 200)
    original = kernel.CompiledKernel.finish

    def first(self, *args):
        original(self, *args[:-1], {node: parts[:1] for node, parts in args[-1].items()})

    m.setattr(kernel.CompiledKernel, "finish", first)


def one_part_of_a_total(m):
    m.setattr(kernel, "PART_WORK", 200)
    original = kernel.CompiledKernel.finish

    def first(self, *args):
        original(self, *args[:-1], {node: [p[:1] for p in parts] for node, parts in args[-1].items()})

    m.setattr(kernel.CompiledKernel, "finish", first)


def detached_gradient(m):
    original = derive.Differentiable.__call__

    def detached(self, graph, values, given=()):
        return original(self, graph, [v.detach() if v.dtype == torch.float64 and given else v for v in values], given)

    m.setattr(derive.Differentiable, "__call__", detached)


def gradient_of_the_first_output_only(m):
    original = derive._Function.backward
    m.setattr(derive._Function, "backward", staticmethod(lambda ctx, c, *rest: original(ctx, c, *(None for _ in rest))))


def swapped_gradients(m):
    original = tape.Tape.vjp

    def swapped(self, present, wanted):
        made, reached = original(self, present, wanted)
        made.outputs.reverse()
        return made, reached[::-1] if len(reached) == 1 else reached

    m.setattr(tape.Tape, "vjp", swapped)


def wrong_formula(m):
    m.setitem(translate.FORMULAS, "tanh_backward", translate.FORMULAS["sigmoid_backward"])


def index_of_the_other_end(m):
    original = tape.end_of

    def other(value):
        end = original(value)
        return None if end is None else 1 - end

    m.setattr("graphgdl.compiler.aten_rows.end_of", other)


def stops_ignored(m):
    m.setattr(recorder.Recorder, "_stopped", lambda self, tensor: tensor)


def views_forgotten(m):
    m.setattr(recorder, "_memory", id)


def own_derivative_unseen(m):
    m.setattr(recorder, "_in_own_derivative", lambda: False)
    m.setattr(messages, "prove", lambda *args: None)


def unproved(m):
    m.setattr(messages, "prove", lambda *args: None)


def guard_always_holds(m):
    m.setattr(guards.Guard, "holds", lambda self, layer: True)


def attributes_forgotten(m):
    original = Program.node

    def merged(self, op, args, attr, space, shape, dtype):
        found = next((n for n in self._table.values() if op == "take" and n.op == op and n.args == args), None)
        if found is not None and found.shape == shape:
            return found
        return original(self, op, args, attr, space, shape, dtype)

    m.setattr(Program, "node", merged)


def ones_are_zeros(m):
    original = ir.same
    m.setattr(ir, "same", lambda x: 0.0 if x.op == "expand" and original(x) == 1.0 else original(x))


def another_mask_backward(m):
    drawn = []
    original = Program.rand

    def counted(self, seed, stream, *rest):
        drawn.append(stream)
        return original(self, seed, stream + len(drawn), *rest)

    m.setattr(Program, "rand", counted)


def every_edge_wins(m):
    m.setattr(movers, "rarg", lambda x, end, rows: movers.rmax(x, end, rows).to(torch.int32))


def sigmoid_for_tanh(m):
    m.setitem(translate.POINTWISE, "tanh", "sigmoid")


ALL = loops(both_ends, sweeps, maxima, tiles, features)
MUTANTS = {
    swapped_ends: loops(both_ends),
    dropped_tail: loops(both_ends),
    short_last_chunk: loops(both_ends),
    reversed_sweeps: loops(sweeps),
    stale_plan: user.test_edges_changed_in_place_are_sorted_again,
    subtracted_outer_products: loops(tiles),
    product_of_the_first_block: loops(tiles),
    subtracted_products: loops(tiles),
    wrong_permutation: loops(features),
    copied_in_the_order_of_the_rows: loops(tiles),
    wrong_tile_positions: loops(tiles),
    tiles_overwrite: loops(tiles),
    broadcast_off_by_one: loops(features),
    totals_of_one_tile: loops(tiles),
    one_part_of_a_total: loops(features),
    detached_gradient: derivatives,
    gradient_of_the_first_output_only: derivatives,
    swapped_gradients: derivatives,
    wrong_formula: derivatives,
    index_of_the_other_end: derivatives,
    stops_ignored: of_user("detached_factor"),
    views_forgotten: of_user("base_in_place_under_a_view"),
    own_derivative_unseen: of_user("derivative_of_its_own"),
    unproved: of_user("divides_by_the_number_of_edges"),
    guard_always_holds: changed_attribute,
    attributes_forgotten: of_user("parts_without_gradient"),
    ones_are_zeros: of_user("sums_into_ones"),
    another_mask_backward: dropped,
    every_edge_wins: gradient_of_maximum,
    sigmoid_for_tanh: derivatives,
}
PRINTED = {
    "the last of equals wins": ("fcmp ogt", "fcmp oge", loops(maxima)),
    "an empty row keeps minus infinity": ("icmp sgt i64 %degree, 0", "icmp sge i64 %degree, 0", loops(maxima)),
    "differences become sums": ("fsub", "fadd", loops(both_ends)),
    "a product loses its factor": ("fmul", "fadd", loops(both_ends)),
    "the neighbour is the edge": ("ptr %col", "ptr %edge", loops(both_ends)),
}
CHECKS = [ALL, derivatives, gradient_of_maximum, dropped, changed_attribute]
CHECKS += [user.test_edges_changed_in_place_are_sorted_again]


@pytest.fixture(autouse=True)
def afresh(monkeypatch, tmp_path):
    """Nothing compiled before is used, small graphs are cut into several tiles and blocks, new memory holds nan."""
    monkeypatch.setattr(messages, "_programs", {})
    monkeypatch.setenv("GRAPHGDL_CACHE", str(tmp_path))
    monkeypatch.setattr(blocks, "TILE_BYTES", 1)
    monkeypatch.setattr(blocks, "TILE_EDGES", 25)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1)
    monkeypatch.setattr(blocks, "BLOCK_EDGES", 4)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("check", CHECKS, ids=range(len(CHECKS)))
def test_checks_pass_on_what_is_not_broken(check):
    check()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_killed(mutant, monkeypatch):
    mutant(monkeypatch)
    with pytest.raises((AssertionError, ValueError, Refused, pytest.fail.Exception)):
        MUTANTS[mutant]()


@pytest.mark.parametrize("name", PRINTED)
def test_printed_mutant_is_killed(name, monkeypatch):
    before, after, check = PRINTED[name]
    rewritten(before, after)(monkeypatch)
    with pytest.raises(AssertionError):
        check()

"""Break the compiler in one place at a time and see that a small check notices: tests that cannot fail prove nothing."""

from __future__ import annotations

import numpy as np
import pytest
import test_refused_state as user
import torch
from mutant_checks import (
    both_ends,
    changed_attribute,
    derivatives,
    dropped,
    features,
    gradient_of_maximum,
    loops,
    maxima,
    means,
    of_user,
    shares,
    sweeps,
    tiles,
)

from graphgdl.compiler import (
    blocks,
    derive,
    guards,
    ir,
    kernel,
    movers,
    recorder,
    schedule,
    steps,
    tape,
    topology,
    translate,
)
from graphgdl.compiler import message as messages
from graphgdl.compiler.ir import Program
from graphgdl.compiler.llvm_blocks import HEAD, STEP
from graphgdl.compiler.llvm_values import Values
from graphgdl.compiler.tape import Refused
from graphgdl.ops.cpu import product_code
from graphgdl.ops.cpu.vector_code import Builder


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
    m.setattr(product_code, "outer_sum", rewritten_text(product_code.outer_sum, "fadd", "fsub"))


def product_of_the_first_block(m):
    original = blocks.Blocks._words

    def still(*args):
        template, *rest = original(*args)
        for start in range(HEAD, HEAD + STEP * int(template[4]), STEP):
            template[start + 5 : start + 8] = 0
        return template, *rest

    m.setattr(blocks.Blocks, "_words", still)


def subtracted_products(m):
    m.setattr(product_code, "product", rewritten_text(product_code.product, "fadd", "fsub"))


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
            if isinstance(step, steps.Kernel):
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


def quotient_undivided(m):
    m.setattr(Program, "_shared_quotient", lambda self, x, y: (x, y.args[0]) if y.op == "div" else (x, y))


def factor_of_the_node_itself(m):
    original = Program.gather

    def gathered(self, x, end):
        other = {"src": "dst", "dst": "src"}[end]
        if x.op == "div" and any(ir.is_factor(a, x) for a in x.args):
            return self.pw("div", original(self, x.args[0], end), original(self, x.args[1], other))
        return original(self, x, end)

    m.setattr(Program, "gather", gathered)


def read_sums_unread(m):
    m.setattr(steps.Kernel, "reads", lambda self: (set(), set()))


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
    quotient_undivided: shares,
    factor_of_the_node_itself: means,
    read_sums_unread: shares,
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
CHECKS = [ALL, derivatives, gradient_of_maximum, shares, means, dropped, changed_attribute]
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

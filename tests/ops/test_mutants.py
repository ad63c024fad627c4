"""Break one thing at a time and see that a test of this room notices: tests that cannot fail prove nothing."""

import numpy as np
import pytest
import test_gather_scatter as neighbours
import test_rows as sorting
import test_segment as segments
import torch

from graphgdl.ops import rows, segment_sum, softmax, weighted_sum
from graphgdl.ops.registration import kernel

UNSORTED = (6, 6, torch.randint(6, (2, 17), generator=torch.Generator().manual_seed(9)))


def with_kernel(module, mutant):
    """Put `mutant(original, *args)` in the place of every kernel that `module` runs."""

    def patch(patcher):
        def broken(folder, name):
            return lambda *args: mutant(kernel(folder, name), *args)

        patcher.setattr(module, "kernel", broken)

    return patch


def with_argument(position, value):
    def mutant(original, *args):
        return original(*args[:position], value(args), *args[position + 1 :])

    return mutant


def swapped_ends(patcher):
    original = rows.Plan.rows
    patcher.setattr(rows.Plan, "rows", lambda self, axis, n: original(self, 1 - axis, n))


def last_row_dropped(module):
    def short(kernel, of, work, *args):
        args[1][:] = 0
        kernel(*args, 0, max(of.num_rows - 1, 0))

    return lambda patcher: patcher.setattr(module, "run", short)


def stale_plan(patcher):
    known = {}
    patcher.setattr(weighted_sum, "plan", lambda index: known.setdefault(id(index), rows.Plan(index, "edge_index")))


def detached(name):
    original = getattr(weighted_sum, name)

    def cut(*args):
        return original(*(a.detach() if isinstance(a, torch.Tensor) else a for a in args))

    return lambda patcher: patcher.setattr(weighted_sum, name, cut)


def transpose_forgotten(patcher):
    original = weighted_sum.weighted_sum
    patcher.setattr(weighted_sum, "weighted_sum", lambda x, w, e, n, transpose: original(x, w, e, n, False))


def detached_softmax_total(patcher):
    original = softmax.segment_expand
    patcher.setattr(softmax, "segment_expand", lambda y, *rest: original(y.detach(), *rest))


def wrong_end(patcher):
    original = segment_sum.segment_sum
    patcher.setattr(segment_sum, "segment_sum", lambda src, index, n, source: original(src, index, n, False))


def divisor_off_by_one(patcher):
    original = segment_sum.segment_divisor
    patcher.setattr(segment_sum, "segment_divisor", lambda *args: original(*args) + 1)


def softmax_without_peak(original, out, src, ptr, edge, start, stop):
    ids = edge if len(edge) else np.arange(len(src))
    for i in range(start, stop):
        members = ids[ptr[i] : ptr[i + 1]]
        with np.errstate(all="ignore"):
            out[members] = np.exp(src[members]) / np.exp(src[members]).sum(0)


def last_of_equal_wins(original, op, arg, x, w, ptr, col, edge, start, stop):
    ids = edge if len(edge) else np.arange(len(col))
    for i in range(start, stop):
        span = slice(ptr[i], ptr[i + 1])
        values = x[col[span]][::-1]
        arg[i] = ids[span][::-1][values.argmax(0) if op == "greatest" else values.argmin(0)]


def values(reduce, kind):
    return lambda: neighbours.test_equals_the_definition(UNSORTED, reduce, kind, torch.float64)


def second_order(reduce, kind):
    return lambda: neighbours.test_hessian_vector_product(UNSORTED, reduce, kind)


def of_segments(test, *args):
    return lambda: test((6, UNSORTED[2]), *args)


no_order = np.empty(0, np.int32)
double_edges = (torch.float64,)
MUTANTS = {
    "swapped ends": (swapped_ends, values("sum", "none")),
    "last row dropped": (last_row_dropped(weighted_sum), values("sum", "edge")),
    "last segment dropped": (
        last_row_dropped(segment_sum),
        of_segments(segments.test_equal_the_definitions, (3,), *double_edges),
    ),
    "weights in the order of rows": (
        with_kernel(weighted_sum, with_argument(6, lambda a: no_order)),
        values("sum", "edge"),
    ),
    "entries in the order of rows": (
        with_kernel(segment_sum, with_argument(4, lambda a: no_order)),
        of_segments(segments.test_equal_the_definitions, (3,), *double_edges),
    ),
    "weights ignored": (with_kernel(weighted_sum, with_argument(3, lambda a: a[3] * 0 + 1)), values("sum", "edge")),
    "least for greatest": (with_kernel(weighted_sum, with_argument(0, lambda a: "least")), values("max", "none")),
    "last of equal wins": (
        with_kernel(weighted_sum, last_of_equal_wins),
        neighbours.test_ties_give_the_whole_gradient_to_the_first_edge,
    ),
    "stale plan": (stale_plan, lambda: sorting.test_change_in_place_is_seen(lambda e: e.copy_(e.flip(0)))),
    "transpose forgotten": (transpose_forgotten, second_order("sum", "edge")),
    "gradient of weight detached": (detached("edge_dot"), second_order("sum", "edge")),
    "gradient of x detached": (
        detached("weighted_sum"),
        lambda: neighbours.test_edge_dot_hessian_vector_product(UNSORTED),
    ),
    "gradient of softmax detached": (detached_softmax_total, of_segments(segments.test_hessian_vector_products)),
    "sum over the wrong end": (wrong_end, lambda: segments.test_expansion_to_sources(UNSORTED)),
    "divisor off by one": (divisor_off_by_one, values("mean", "none")),
    "softmax overflows": (
        with_kernel(softmax, softmax_without_peak),
        segments.test_softmax_of_large_and_infinite_scores,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_dies(name, monkeypatch):
    patch, check = MUTANTS[name]
    check()
    with monkeypatch.context() as patcher:
        patch(patcher)
        with pytest.raises(AssertionError):
            check()
    check()

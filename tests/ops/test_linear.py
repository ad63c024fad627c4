"""The linear map onto what is there: its definition, its derivatives, and rows that do not know of each other."""

import pytest
import torch

from graphgdl.ops import linear as room
from graphgdl.ops.cpu import product_code
from graphgdl.ops.linear import linear

SIZES = [(0, 3, 4), (5, 0, 4), (5, 3, 0), (1, 1, 1), (7, 3, 5), (65, 64, 64), (1001, 33, 47), (700, 100, 130)]
STARTS = ["none", "row", "rows"]
CLOSE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.3}


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def case(n, k, m, start, dtype=torch.float64):
    z = {"none": None, "row": draw(m, seed=2, dtype=dtype), "rows": draw(n, m, seed=3, dtype=dtype)}[start]
    return draw(n, k, dtype=dtype), draw(m, k, seed=1, dtype=dtype), z


def check_definition(size=(700, 37, 53), dtype=torch.float64):
    for start in STARTS:
        x, w, z = case(*size, start, dtype)
        wide = torch.einsum("nk,mk->nm", x.double(), w.double()) + (0 if z is None else z.double())
        found = linear(x, w, z)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wide, atol=CLOSE[dtype], rtol=CLOSE[dtype])


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_definition(size, dtype):
    check_definition(size, dtype)


def test_operands_that_are_not_contiguous():
    x, w, z = draw(9, 50).t(), draw(9, 20).t(), draw(1, 20).expand(50, 20)
    torch.testing.assert_close(linear(x, w, z), z + x @ w.t(), atol=1e-12, rtol=1e-12)


def check_derivatives():
    for start in STARTS:
        values = [v for v in case(6, 3, 4, start) if v is not None]
        values = [v.requires_grad_() for v in values]

        def of(x, w, z=None):
            return linear(x, w, z)

        assert torch.autograd.gradcheck(of, values)
        assert torch.autograd.gradgradcheck(of, values)


def test_derivatives():
    check_derivatives()


def test_rows_do_not_depend_on_each_other_nor_on_threads():
    x, w, z = case(5000, 40, 50, "rows", torch.float32)
    whole, threads = linear(x, w, z), torch.get_num_threads()
    for start, stop in ((0, 1), (17, 23), (4991, 5000)):
        assert torch.equal(linear(x[start:stop], w, z[start:stop]), whole[start:stop])
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(linear(x, w, z), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((draw(5, 3), draw(4, 2), None), r"`weight` must be a matrix with 3 columns, all of one dtype, got \(5, 3\)"),
        ((draw(5, 3), draw(4, 3).float(), None), r"of one dtype, got \(5, 3\) torch.float64, \(4, 3\) torch.float32"),
        ((draw(5, 3), draw(4, 3), draw(4).float()), r"of one dtype, .*, \(4,\) torch.float32"),
        (
            (draw(5, 3), draw(4, 3), draw(3)),
            r"`start` must have shape \(4,\) or \(5, 4\), got .*, \(3,\) torch.float64",
        ),
        ((draw(5, 3), draw(4, 3), draw(1, 4)), r"`start` must have shape \(4,\) or \(5, 4\)"),
    ],
    ids=["columns", "dtype", "dtype of start", "start", "rows of start"],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        linear(*given)


def forgotten_start(m):
    original = product_code.product
    m.setattr(product_code, "product", lambda *args: original(*args[:-1], "zero"))
    m.setattr(room, "_function", room._function.__wrapped__)


def one_row_for_all(m):
    original = product_code.product
    m.setattr(product_code, "product", lambda *a: original(*a[:-1], "row" if a[-1] == "rows" else a[-1]))
    m.setattr(room, "_function", room._function.__wrapped__)


def later_parts_start_at_the_first(m):
    m.setattr(room.pool, "each", lambda task, count: [task(0) for _ in range(count)])
    m.setattr(room, "PART", 1)


def transposed_gradient(m):
    original = room.linear
    m.setattr(room, "linear", lambda x, w, z: original(x.flip(1), w, z))


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (forgotten_start, check_definition),
        (one_row_for_all, check_definition),
        (later_parts_start_at_the_first, check_definition),
        (transposed_gradient, check_derivatives),
    ],
)
def test_mutants_die(mutant, check, monkeypatch):
    check()
    mutant(monkeypatch)
    with pytest.raises((AssertionError, RuntimeError)):
        check()

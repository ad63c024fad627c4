"""What loops store and read: only what somebody reads, and no array of nodes for what a row can compute."""

from __future__ import annotations

from graphgdl.compiler.ir import Program
from graphgdl.compiler.schedule import schedule
from graphgdl.compiler.steps import Host, kernels

NODES = ("N", (64,), "f32")


def steps_of(outputs, *known):
    """The host steps' nodes and the kernels of a schedule."""
    steps = schedule(outputs, known)
    hosts = [s.node for s in steps if isinstance(s, Host) and s.node.space != "C"]
    return hosts, kernels(steps)


def mean_of(p, x):
    total = p.reduce(p.gather(x, "src"), "dst", "N")
    degree = p.reduce(p.filled(1.0, "E", (1,), "f32"), "dst", "N")
    return total, p.pw("div", total, p.pw("maximum", degree, p.const(1.0, "f32")))


def test_a_sum_that_only_its_rows_read_is_not_stored():
    p = Program()
    x = p.input("x", *NODES)
    total, mean = mean_of(p, x)
    hosts, (kernel,) = steps_of([mean], x)
    assert not hosts
    assert total in kernel.unread
    _, (kernel,) = steps_of([mean, total], x)
    assert total not in kernel.unread


def test_a_sum_that_a_later_loop_reads_is_stored():
    p = Program()
    x = p.input("x", *NODES)
    total, mean = mean_of(p, x)
    again = p.reduce(p.gather(total, "src"), "dst", "N")
    _, (first, second) = steps_of([mean, again], x)
    assert total not in first.unread
    assert total in second.reads()[0]


def test_rows_compute_what_only_they_read():
    p = Program()
    x, eps = p.input("x", *NODES), p.input("eps", "C", (1,), "f32")
    scaled = p.pw("mul", x, eps)
    out = p.pw("add", p.reduce(p.gather(x, "src"), "dst", "N"), scaled)
    hosts, (kernel,) = steps_of([out], x, eps)
    assert hosts == []
    assert kernel.rows == [out]
    assert steps_of([out, scaled], x, eps)[0] == [scaled]  # somebody else reads it


def test_what_the_other_end_reads_is_an_array_of_nodes():
    p = Program()
    x = p.input("x", *NODES)
    grown = p.pw("exp", x)
    out = p.reduce(p.gather(grown, "src"), "dst", "N")
    assert steps_of([out], x)[0] == [grown]


def test_a_factor_of_each_node_is_read_at_the_edges():
    p = Program()
    x, degree = p.input("x", *NODES), p.input("degree", "N", (1,), "f32")
    message = p.gather(p.pw("div", x, degree), "src")
    assert message.op == "div"
    assert [a.op for a in message.args] == ["gather", "gather"]
    assert steps_of([p.reduce(message, "dst", "N")], x, degree)[0] == []
    wide = p.input("wide", *NODES)
    assert p.gather(p.pw("div", x, wide), "src").op == "gather"  # as many numbers as features


def test_the_derivative_of_a_quotient_shares_its_quotients():
    p = Program()
    a, b, g = (p.input(name, "E", (4,), "f32") for name in "abg")
    quotient = p.pw("div", a, b)
    product = p.pw("mul", p.pw("neg", g), p.pw("div", quotient, b))
    assert product.op == "mul"
    assert quotient in product.args
    assert p.pw("mul", quotient, p.pw("div", quotient, b)).op == "mul"  # both are quotients by b: it ends


def test_what_is_read_from_memory_is_all_that_is_stored_for_it():
    p = Program()
    x, y = p.input("x", *NODES), p.input("y", *NODES)
    score = p.sum(p.pw("mul", p.gather(x, "src"), p.gather(y, "dst")), (0,))
    greatest = p.rmax(score, "dst", "N")
    shifted = p.pw("sub", score, p.gather(greatest, "dst"))
    grown = p.pw("exp", shifted)
    share = p.pw("div", grown, p.gather(p.reduce(grown, "dst", "N"), "dst"))
    _, (kernel,) = steps_of([share], x, y)
    assert [r for sweep in kernel.sweeps for r in sweep if r.space == "E"] == [score, grown, share]

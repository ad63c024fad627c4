"""The LLVM text of a schedule can be printed at any time: it is what its executable compiled."""

from __future__ import annotations

import pytest

from graphgdl.compiler import execute, jit, llvm
from graphgdl.compiler.ir import Program


def softmax(p, x, e):
    """Three sweeps of one kernel, after a step of torch's."""
    e = p.pw("add", e, p.gather(p.pw("tanh", x), "dst"))
    top = p.gather(p.rmax(e, "dst", "N"), "dst")
    weight = p.pw("exp", p.pw("sub", e, top))
    share = p.pw("div", weight, p.gather(p.reduce(weight, "dst", "N"), "dst"))
    return [p.reduce(p.pw("mul", share, p.gather(x, "src")), "dst", "N")]


def products(p, x, e):
    """Two loops of kernels between products over tiles: what lies in memory differs from one kernel to the next."""
    w = p.input("w", "C", (35, 35), "f32")
    hidden = p.mm(p.pw("tanh", p.mm(p.pw("tanh", e), w)), w)
    again = p.pw("mul", p.gather(p.reduce(hidden, "dst", "N"), "src"), hidden)
    return [p.reduce(again, "dst", "N"), p.reduce(p.pw("cos", hidden), "src", "N"), p.mmt(hidden, e)]


@pytest.mark.parametrize("program", [softmax, products])
@pytest.mark.parametrize("pieces", [False, True])
def test_sources_are_what_was_compiled(program, pieces, monkeypatch):
    p = Program()
    x, e = p.input("x", "N", (35,), "f32"), p.input("e", "E", (35,), "f32")
    outputs = program(p, x, e)
    compiled = []
    monkeypatch.setattr(jit, "compiled", lambda text, symbols: [compiled.append(text)])
    made = execute.Executable(p.inputs, outputs, pieces=pieces)
    printed = list(llvm.sources(made.steps, made.inputs, jit.register_bits(), pieces))
    assert [source.text for _, source in printed] == compiled
    assert len(compiled) > 1 or program is softmax
    kernels = [part for step in made.steps if hasattr(step, "steps") for part in step.steps if hasattr(part, "sweeps")]
    assert [kernel for kernel, _ in printed] == kernels


@pytest.mark.parametrize(("bits", "lanes"), [(128, 16), (256, 32), (512, 64)])
def test_vectors_take_four_registers_at_most(bits, lanes):
    p = Program()
    x = p.input("x", "N", (100,), "f32")
    made = execute.Executable(p.inputs, [p.reduce(p.gather(x, "src"), "dst", "N")])
    ((_, source),) = llvm.sources(made.steps, made.inputs, bits)
    assert f"load <{lanes} x float>, " in source.text
    assert f"<{2 * lanes} x float>" not in source.text

"""Vectors of the printed kernels are as wide as the processor's registers bear."""

from __future__ import annotations

import pytest

from graphgdl.compiler import execute, llvm, steps
from graphgdl.compiler.ir import Program


@pytest.mark.parametrize(("bits", "lanes"), [(128, 16), (256, 32), (512, 64)])
def test_vectors_take_four_registers_at_most(bits, lanes):
    p = Program()
    x = p.input("x", "N", (100,), "f32")
    made = execute.Executable(p.inputs, [p.reduce(p.gather(x, "src"), "dst", "N")])
    (kernel,) = steps.kernels(made.steps)
    source = llvm.Printer(kernel, bits).print()
    assert f"load <{lanes} x float>, " in source.text
    assert f"<{2 * lanes} x float>" not in source.text

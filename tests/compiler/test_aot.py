"""Every kernel of the layers compiles for GPUs that are not there, and keeps its numbers in registers."""

from __future__ import annotations

import sys

import layer_programs
import pytest
import torch

from graphgdl.compiler import triton_launch
from graphgdl.compiler.ir import Program
from graphgdl.compiler.steps import Kernel
from graphgdl.compiler.triton_printer import Printer

if sys.platform == "linux":
    from graphgdl.compiler import aot, device_execute

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")


@pytest.fixture(scope="module", autouse=True)
def triton_cache(tmp_path_factory):
    """Keep what the tests compile out of the user's cache, and compile in each run."""
    with pytest.MonkeyPatch.context() as patcher:
        patcher.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


def compile_all(name: str, c: int, order: int, capabilities: list[int], dtype=torch.float32) -> int:
    """Compile each kernel, for short rows and for long ones, and those for pieces of rows; return how many."""
    done = set()
    for program in layer_programs.printed(name, c, order, dtype):
        for source, long in program.kernels():
            if (source.text, long) not in done:
                done.add((source.text, long))
                for capability in capabilities:
                    assert aot.compile_ahead(source, long, capability).stack == 0
    return len(done)


@pytest.mark.parametrize("name", layer_programs.NAMES)
def test_layer_and_gradient_compile_for_sm_80_and_sm_90(name):
    assert compile_all(name, 64, 1, [80, 90]) >= 3


@pytest.mark.parametrize("name", ["GATv2Conv", "PaiNN"])
def test_half_precision_in_memory_compiles(name):
    program = layer_programs.printed(name, 64, 0)[0]
    for source, long in program.kernels():
        assert aot.compile_ahead(source, long, 90, floats="bf16").stack == 0


@pytest.mark.parametrize("op", ["reduce", "rmax", "rarg"])
@pytest.mark.parametrize("capability", [80, 90])
def test_joining_of_pieces_compiles(op, capability):
    _, _, source = device_execute.joining(op, (192,), "f64")
    assert aot.compile_ahead(source, True, capability).stack == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", layer_programs.NAMES)
@pytest.mark.parametrize("c", [33, 64, 128])
def test_second_derivative_compiles(name, c):
    assert compile_all(name, c, 2, [80, 90]) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", layer_programs.NAMES)
def test_double_precision_compiles(name):
    assert compile_all(name, 64, 1, [90], torch.float64) >= 3


def wide_kernel():
    """A sum over 24 neighbour rows of 4096 numbers each, every one of which is read again after the last."""
    p = Program()
    rows = [p.gather(p.input(f"x{k}", "N", (4096,), "f32"), "src") for k in range(24)]
    value = rows[0]
    for x in rows[1:]:
        value = p.pw("add", value, x)
    for x in rows:
        value = p.pw("mul", p.pw("add", value, x), x)
    return Printer(Kernel("dst", [[p.reduce(value, "dst", "N")]], memory=set(p.inputs))).print()


def test_a_kernel_that_spills_is_caught():
    with pytest.raises(RuntimeError, match=r"a kernel spills \d+ bytes of registers on sm_90"):
        aot.compile_ahead(wide_kernel(), True, 90)


def test_resources_are_read_or_refused(monkeypatch):
    class Run:
        stdout, stderr = "nothing", ""

    monkeypatch.setattr(aot.subprocess, "run", lambda *args, **kwargs: Run())
    with pytest.raises(RuntimeError, match="printed no resources: 'nothing'"):
        aot.resources(b"")


def test_missing_triton_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ImportError, match="need `triton`, which comes with CUDA builds of torch"):
        triton_launch.require_triton()


def test_blocks_shrink_with_the_features():
    p = Program()
    lanes = []
    for c in (1, 64, 4096):
        root = p.reduce(p.gather(p.input(f"x{c}", "N", (c,), "f32"), "src"), "dst", "N")
        source = Printer(Kernel("dst", [[root]], memory=set(p.inputs))).print()
        shapes = triton_launch.blocks(source, long=False)
        assert all(s.rows == s.lanes for s in shapes)
        assert all(s.rows == 1 for s in triton_launch.blocks(source, long=True))
        assert shapes[-1] == triton_launch.Blocks(1, 1, 16)
        lanes.append(shapes[0].lanes)
    assert lanes[0] == 64 > lanes[1] > lanes[2] == 1

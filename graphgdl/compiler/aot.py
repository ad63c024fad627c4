"""Compile printed Triton kernels without a GPU, and refuse what spills registers to memory.

`ptxas` and `cuobjdump` come with Triton. A kernel spills if its stack is not empty; the launcher then takes the next of
its block shapes, so a kernel passes if one of them does not spill.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .triton_launch import Blocks, blocks, compiled, index_type, options, require_triton
from .triton_printer import HEADER, Source

_POINTERS = {"f32": "*fp32", "f64": "*fp64", "i32": "*i32", "bool": "*i1", "i64": "*i64"}


@dataclass(frozen=True)
class Usage:
    """What one compiled kernel takes: block shape, registers of a thread, bytes of stack and of shared memory."""

    blocks: Blocks
    registers: int
    stack: int
    shared: int


def compile_ahead(source: Source, long: bool, capability: int) -> Usage:
    """Compile a kernel for compute capability `capability` (80, 90), in the first block shape that does not spill.

    Raises:
        RuntimeError: it spills in each of them.
    """
    usages = []
    for shape in blocks(source, long):
        usages.append(_compile(source, shape, capability))
        if usages[-1].stack == 0:
            return usages[-1]
    raise RuntimeError(
        f"a kernel spills {usages[-1].stack} bytes of registers on sm_{capability} in its smallest blocks "
        f"({usages[-1].registers} registers):\n{source.text}"
    )


def _compile(source: Source, shape: Blocks, capability: int) -> Usage:
    triton = require_triton()
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = dict.fromkeys(HEADER, "*i32")
    signature |= {f"A{k}": _POINTERS[node.dtype] for k, node in enumerate(source.arrays)}
    pointers = len(signature)
    signature |= {"first": "i32", "count": "i32", "L": "constexpr", "R": "constexpr", "INDEX": "constexpr"}
    constants: dict[str, Any] = {"L": shape.lanes, "R": shape.rows, "INDEX": index_type(wide=False)}
    aligned: dict[Any, Any] = {(k,): [["tt.divisibility", 16]] for k in range(pointers)}  # as torch allocates
    made = triton.compile(
        ASTSource(fn=compiled(source.text), signature=signature, constexprs=constants, attrs=aligned),
        target=GPUTarget("cuda", capability, 32),
        options=options(shape),
    )
    return Usage(shape, *resources(made.asm["cubin"]))


def resources(cubin: bytes) -> tuple[int, int, int]:
    """Return (registers, bytes of stack, bytes of shared memory) of the one kernel in a cubin."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        run = subprocess.run([tool, "--dump-resource-usage", path], capture_output=True, text=True, check=True)
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)", run.stdout)
    if found is None:
        raise RuntimeError(f"`cuobjdump --dump-resource-usage` printed no resources: {run.stdout!r} {run.stderr!r}")
    registers, stack, shared = map(int, found.groups())
    return registers, stack, shared

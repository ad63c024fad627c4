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


def compile_ahead(source: Source, long: bool, capability: int, floats: str = "fp32") -> Usage:
    """Compile a kernel for compute capability `capability` (80, 90), in the first block shape that does not spill.

    Args:
        source: the printed kernel.
        long: whether its lanes are long rows.
        capability: 10 times the compute capability.
        floats: Triton's name of what inputs in single precision are in memory: 'fp32', 'bf16', 'fp16'.

    Raises:
        RuntimeError: it spills in each of them.
    """
    pointers = [f"*{floats}" if n.op == "input" and n.dtype == "f32" else _POINTERS[n.dtype] for n in source.arrays]
    names = [f"A{k}" for k in range(len(pointers))]
    signature = (
        dict.fromkeys(HEADER, "*i32") | dict(zip(names, pointers, strict=True)) | {"first": "i32", "count": "i32"}
    )
    usages = []
    for shape in blocks(source, long):
        constants = {"L": shape.lanes, "R": shape.rows, "INDEX": index_type(wide=False)}
        usages.append(_compile(compiled(source.text), signature, constants, shape, capability))
        if usages[-1].stack == 0:
            return usages[-1]
    raise RuntimeError(
        f"a kernel spills {usages[-1].stack} bytes of registers on sm_{capability} in its smallest blocks "
        f"({usages[-1].registers} registers):\n{source.text}"
    )


def _compile(
    function: Any, signature: dict[str, str], constants: dict[str, Any], shape: Blocks, capability: int
) -> Usage:
    triton = require_triton()
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    pointers = [k for k, kind in enumerate(signature.values()) if kind.startswith("*")]
    aligned: dict[Any, Any] = {(k,): [["tt.divisibility", 16]] for k in pointers}  # as torch allocates
    signature = signature | dict.fromkeys(constants, "constexpr")
    made = triton.compile(
        ASTSource(fn=function, signature=signature, constexprs=constants, attrs=aligned),
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

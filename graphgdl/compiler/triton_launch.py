"""Compile a printed Triton kernel, choose its blocks, and launch it: on CUDA tensors, or under Triton's interpreter."""

from __future__ import annotations

import functools
import linecache
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .device_topology import Lanes, Loops
from .interpret import DTYPES
from .node import Node
from .triton_printer import Source

REGISTERS = 32  # 32-bit registers of one thread for the tensors that are alive together
MOST_REGISTERS = 128  # given a limit, ptxas does not spill for the sake of more programs at a time
PROGRAMS = 1024  # of a kernel that sums over rows


def require_triton() -> Any:
    """Return the module `triton`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import triton
    except ImportError as error:
        raise ImportError(
            "compiled messages on CUDA need `triton`, which comes with CUDA builds of torch on Linux; "
            "install it with: pip install triton"
        ) from error
    return triton


@functools.cache
def compiled(text: str) -> Any:
    """Return the function `kernel` of a printed module."""
    require_triton()
    name = f"<graphgdl kernel {hash(text) & 0xFFFFFFFFFFFF:x}>"
    module = types.ModuleType("graphgdl_kernel")
    # the source is where `inspect` looks for it, as long as the process lives
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    module.__file__ = name
    exec(compile(text, name, "exec"), module.__dict__)
    return module.kernel


@dataclass(frozen=True)
class Blocks:
    """Lanes and warps of one program."""

    lanes: int
    rows: int
    warps: int


def blocks(source: Source, long: bool) -> list[Blocks]:
    """Return shapes of a program to try, from the largest: the first that keeps its tensors in registers is launched."""
    words, warps = source.words, 4
    while warps < 16 and words > 32 * warps * REGISTERS:
        warps *= 2
    lanes = 1
    while lanes < 64 and 2 * lanes * words <= 32 * warps * REGISTERS:
        lanes *= 2
    shapes = []
    while lanes > 1:
        shapes.append((lanes, warps))
        lanes //= 2
    while warps <= 16:
        shapes.append((1, warps))
        warps *= 2
    return [Blocks(n, 1 if long else n, w) for n, w in shapes]


def options(shape: Blocks) -> dict[str, int]:
    """Return what Triton's compiler is told beside the constants of a kernel."""
    return {"num_warps": shape.warps, "maxnreg": MOST_REGISTERS}


_chosen: dict[tuple[str, bool, torch.device, bool], Blocks] = {}


def launch(source: Source, lanes: Lanes, loops: Loops, arrays: dict[Node, Tensor]) -> dict[Node, Tensor]:
    """Run a kernel over lanes; return the partial sums of its totals, one row per program."""
    triton = require_triton()
    like = loops.col
    made = compiled(source.text)
    header = (lanes.row, lanes.begin, lanes.end, loops.col, loops.edge, loops.pos)
    wide = any(arrays[n].numel() >= 2**31 for n in source.arrays if n not in source.totals)

    def arguments(shape: Blocks, tensors: list[Tensor | None]) -> dict[str, Any]:
        values = dict(zip(made.arg_names, (*header, *tensors, loops.first, len(lanes)), strict=False))
        values |= {"L": shape.lanes, "R": shape.rows, "INDEX": index_type(wide)}
        return values | options(shape)

    def sums(rows: int) -> dict[Node, Tensor]:
        return {n: torch.empty((rows, *n.shape), dtype=DTYPES[n.dtype], device=like.device) for n in source.totals}

    shapes = blocks(source, lanes.long)
    shape = _chosen.get((source.text, lanes.long, like.device, wide)) if like.is_cuda else shapes[0]
    if shape is None:
        given = sums(1)
        for shape in shapes:
            binary = made.warmup(**arguments(shape, [given.get(n, arrays.get(n)) for n in source.arrays]), grid=(1,))
            binary._init_handles()
            if not binary.n_spills:
                break
        assert shape is not None
        _chosen[source.text, lanes.long, like.device, wide] = shape
    programs = triton.cdiv(len(lanes), shape.rows)
    if source.totals:
        programs = min(programs, PROGRAMS)
    totals = sums(programs)
    made[(programs,)](**arguments(shape, [totals.get(n, arrays.get(n)) for n in source.arrays]))
    return totals


def index_type(wide: bool) -> Any:
    """Return Triton's type of offsets."""
    import triton.language as tl

    return tl.int64 if wide else tl.int32

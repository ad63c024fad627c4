"""One decorator for every CPU kernel: compiled on first use, cached on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# All of fastmath but `nnan` and `ninf`: results stay right for nan and inf, sums over channels may be vectorised.
_FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}


AHEAD = 8  # edges on: about as long as the memory takes


@intrinsic
def prefetch(typing: Any, array: Any, row: Any) -> Any:
    """Ask for all lines of memory of `array[row]` to come, where rows are contiguous: the wait for a random row is long."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i64, i32 = ir.IntType(64), ir.IntType(32)
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        size = builder.extract_value(values.strides, 0)
        start = builder.mul(builder.sext(arguments[1], i64) if arguments[1].type.width < 64 else arguments[1], size)
        bytes_ = builder.bitcast(values.data, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [bytes_.type, i32, i32, i32])
        function = builder.module.declare_intrinsic("llvm.prefetch", (bytes_.type,), kind)
        with cgutils.for_range_slice(builder, i64(0), size, i64(64), inc=True) as (offset, _):
            line = builder.gep(bytes_, [builder.add(start, offset)])
            builder.call(function, [line, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(array, row), emit


def jit(function: Callable[..., Any]) -> Any:
    """Compile `function` with numba: it releases the interpreter lock and starts no threads of its own.

    The machine code is cached beside the source or in the user's cache folder. A folder that cannot be written, or
    a full disk, costs the compilation in each process and is no error.
    """
    options = {"nogil": True, "fastmath": _FASTMATH, "error_model": "numpy", "boundscheck": False}
    try:
        kernel = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write
        return njit(**options)(function)
    kernel._cache.save_overload = _ignore_disk_errors(kernel._cache.save_overload)
    return kernel


def _ignore_disk_errors(save: Callable[..., None]) -> Callable[..., None]:
    def guarded(*args: Any) -> None:
        try:
            save(*args)
        except OSError:
            return

    return guarded

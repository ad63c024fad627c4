"""One decorator for every numba kernel: compiled on first use, cached on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

# All of fastmath but `nnan` and `ninf`: results stay right for nan and inf, sums over channels may be vectorised.
_FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}


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

"""Functions that printed Triton kernels call. Imported by them alone: importing this file imports Triton.

On CUDA the elementary functions that Triton lacks come from libdevice, accurate to 1 or 2 units in the last place;
`tl.exp`, `tl.log` and division use the hardware's approximations (2 units) in float32 and libdevice in float64. Triton's
interpreter has no libdevice: there they are NumPy's.
"""

# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# (Triton compiles annotations too, and knows its own alone)
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import triton
import triton.language as tl
from triton.language.extra.cuda import libdevice

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def _function(name: str, with_numpy: Callable[..., Any]) -> Any:
    if not INTERPRETED:
        return getattr(libdevice, name)
    from triton.runtime.interpreter import TensorHandle

    def run(*args: Any) -> Any:
        data = [a.handle.data for a in args]
        with np.errstate(all="ignore"):
            result = np.asarray(with_numpy(*data)).astype(data[0].dtype)
        shape = list(result.shape)
        type_ = tl.block_type(args[0].type.scalar, shape)
        return tl.tensor(TensorHandle(result, args[0].handle.dtype), type_)

    return run


log1p = _function("log1p", np.log1p)
expm1 = _function("expm1", np.expm1)
tan = _function("tan", np.tan)
asin = _function("asin", np.arcsin)
acos = _function("acos", np.arccos)
atan = _function("atan", np.arctan)
sinh = _function("sinh", np.sinh)
cosh = _function("cosh", np.cosh)
tanh = _function("tanh", np.tanh)
pow = _function("pow", np.power)
atan2 = _function("atan2", np.arctan2)

NONE = tl.constexpr(2147483647)  # no edge yet


@triton.jit
def maximum(a, b):
    """Return the greater of two numbers, NaN if one is."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def minimum(a, b):
    """Return the lesser of two numbers, NaN if one is."""
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def greatest(x, axis: tl.constexpr):
    """Return the greatest number along one axis, NaN if there is one; the axis stays, of size 1."""
    nan = x != x
    peak = tl.max(tl.where(nan, float("-inf"), x), axis, keep_dims=True)
    return tl.where(tl.max(nan.to(tl.int32), axis, keep_dims=True) > 0, float("nan"), peak)


@triton.jit
def later(best, best_id, x, edge, mask):
    """Return the greatest number so far and its edge: a later edge wins if it is greater, or the first NaN."""
    wins = mask & ((x > best) | ((x != x) & (best == best)) | (best_id == NONE))
    return tl.where(wins, x, best), tl.where(wins, edge, best_id)


@triton.jit
def first(x, edge, axis: tl.constexpr):
    """Return the greatest number along one axis and the least edge that has it."""
    peak = greatest(x, axis)
    return peak, tl.min(tl.where((x == peak) | (x != x), edge, NONE), axis, keep_dims=True)


@triton.jit
def uniform(seed, stream: tl.constexpr, row, feature):
    """Return numbers in [0, 1) of the counter-based generator, bit by bit those of `interpret.uniform`."""
    low = (seed & 0xFFFFFFFF).to(tl.uint32)
    high = ((seed >> 32) & 0xFFFFFFFF).to(tl.uint32)
    counter = feature.to(tl.uint32) * 0x9E3779B9 + tl.full([1], (stream * 0x85EBCA6B) & 0xFFFFFFFF, tl.uint32)
    bits = mix((mix(row.to(tl.uint32) ^ low) + counter) ^ high)
    return (bits >> 8).to(tl.float32) * 5.9604644775390625e-08


@triton.jit
def mix(h):
    """Return 32 mixed bits: the finaliser of MurmurHash3."""
    h = (h ^ (h >> 16)) * 0x85EBCA6B
    h = (h ^ (h >> 13)) * 0xC2B2AE35
    return h ^ (h >> 16)

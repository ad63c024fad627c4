r"""The linear map of many rows by a small matrix, onto what is there: :math:`y = z + x W^\top`.

Features of nodes are many rows of few columns. There a bias, or another term, added to a product is one more pass over
memory, which costs up to half of the product; here the product starts from it. The derivatives are this op and torch's
products.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .cpu import machine_code, pool, product_code
from .registration import define

KINDS = {torch.float32: "f32", torch.float64: "f64"}
PART = 4_000_000  # multiply-adds of one part: about 100 us
_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)


def _linear_cpu(x: Tensor, weight: Tensor, start: Tensor | None) -> Tensor:
    (n, k), m = x.shape, weight.size(0)
    given = weight if start is None else start
    if weight.shape != (m, k) or x.dtype != weight.dtype or given.dtype != x.dtype:
        raise ValueError(
            f"`weight` must be a matrix with {k} columns, all of one dtype, got {_kinds(x, weight, start)}"
        )
    if start is not None and start.shape not in ((m,), (n, m)):
        raise ValueError(f"`start` must have shape ({m},) or ({n}, {m}), got {_kinds(x, weight, start)}")
    if x.dtype not in KINDS:
        return x @ weight.t() if start is None else torch.addmm(start, x, weight.t())
    x, weight, out = x.contiguous(), weight.t().contiguous(), x.new_empty(n, m)
    form = "zero" if start is None else "row" if start.dim() == 1 else "rows"
    start = out if start is None else start.contiguous()
    function = _function(k, m, KINDS[x.dtype], form)
    xs, ws, ys, zs, size = x.data_ptr(), weight.data_ptr(), out.data_ptr(), start.data_ptr(), x.element_size()
    move = m * size if form == "rows" else 0
    rows = max(product_code.GROUPS[0], PART // (k * m + 1) // product_code.GROUPS[0] * product_code.GROUPS[0])

    def part(number: int) -> None:
        at = number * rows
        function(xs + at * k * size, ws, ys + at * m * size, min(rows, n - at), zs + at * move)

    pool.each(part, -(-n // rows))
    return out


def _kinds(*tensors: Tensor | None) -> str:
    return ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors if t is not None)


@cache
def _function(k: int, m: int, kind: str, form: str) -> Any:
    symbol = f"linear_{k}_{m}_{kind}_{form}"
    text = product_code.product(symbol, k, m, kind, machine_code.register_bits(), form)
    return _PROTOTYPE(machine_code.address(text, symbol))


def _linear_fake(x: Tensor, weight: Tensor, start: Tensor | None) -> Tensor:
    return x.new_empty(x.size(0), weight.size(0))


def _linear_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, start = inputs
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight if ctx.needs_input_grad[0] else None)
    ctx.dims = 0 if start is None else start.dim()


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    grad_x = grad_weight = grad_start = None
    if ctx.needs_input_grad[0]:
        grad_x = linear(grad, weight.t(), None)
    if ctx.needs_input_grad[1]:
        grad_weight = grad.t() @ x
    if ctx.needs_input_grad[2]:
        grad_start = grad.sum(0) if ctx.dims == 1 else grad
    return grad_x, grad_weight, grad_start


linear = define(
    "linear(Tensor x, Tensor weight, Tensor? start) -> Tensor",
    _linear_cpu,
    _linear_fake,
    _linear_backward,
    _linear_setup,
)

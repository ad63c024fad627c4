"""The data movers as torch ops on meta tensors, so that autograd can differentiate a recorded program.

They have no kernels: a tape is only ever replayed on tensors without values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, library

_LIBRARY = library.Library("graphgdl_tape", "DEF")


def _define(schema: str, meta: Any, backward: Any, setup: Any) -> Any:
    name = schema.split("(")[0]
    _LIBRARY.define(schema)
    _LIBRARY.impl(name, meta, "Meta")
    library.register_autograd(f"graphgdl_tape::{name}", backward, setup_context=setup, lib=_LIBRARY)
    return getattr(torch.ops.graphgdl_tape, name).default


def _keep_sizes(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.end, ctx.rows = inputs[1], inputs[0].shape[0]


def _keep_value(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.end, ctx.rows = inputs[1:]


def _nothing(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pass


def _constant(ctx: Any, grad: Tensor) -> Any:
    return None


def _rmax_backward(ctx: Any, grad: Tensor) -> Any:
    (x,) = ctx.saved_tensors
    won = gather(rarg(x.detach(), ctx.end, ctx.rows), ctx.end, x.shape[0])
    mine = eid(x.detach()).view([x.shape[0]] + [1] * (x.dim() - 1))
    return torch.where(won == mine, gather(grad, ctx.end, x.shape[0]), grad.new_zeros([])), None, None


def _rows(x: Tensor, end: int, rows: int) -> Tensor:
    return x.new_empty((rows, *x.shape[1:]))


gather: Any = _define(
    "gather(Tensor x, int end, int rows) -> Tensor",
    _rows,
    lambda ctx, g: (reduce(g, ctx.end, ctx.rows), None, None),
    _keep_sizes,
)
reduce: Any = _define(
    "reduce(Tensor x, int end, int rows) -> Tensor",
    _rows,
    lambda ctx, g: (gather(g, ctx.end, ctx.rows), None, None),
    _keep_sizes,
)
rmax = _define("rmax(Tensor x, int end, int rows) -> Tensor", _rows, _rmax_backward, _keep_value)
rarg = _define(
    "rarg(Tensor x, int end, int rows) -> Tensor",
    lambda x, end, rows: x.new_empty((rows, *x.shape[1:]), dtype=torch.int32),
    lambda ctx, g: (None, None, None),
    _nothing,
)
eid = _define("eid(Tensor x) -> Tensor", lambda x: x.new_empty(x.shape[:1], dtype=torch.int32), _constant, _nothing)
stop = _define("stop(Tensor x) -> Tensor", torch.empty_like, _constant, _nothing)
graft = _define(  # a value with the gradient of another
    "graft(Tensor x, Tensor value) -> Tensor",
    lambda x, value: torch.empty_like(x),
    lambda ctx, g: (g, None),
    _nothing,
)
uniform = _define(
    "uniform(Tensor x, Tensor seed, int stream) -> Tensor",
    lambda x, seed, stream: torch.empty_like(x),
    lambda ctx, g: (None, None, None),
    _nothing,
)

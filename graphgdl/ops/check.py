"""Checks of the arguments that the ops share."""

from __future__ import annotations

import torch
from torch import Tensor

_REDUCTIONS = ("sum", "mean", "max", "min")


def check_index(index: Tensor, name: str) -> Tensor:
    """Return `index` as a plain (2, e) or, for `name` "index", (e,) integer tensor; an `EdgeIndex` gives its own."""
    if not isinstance(index, Tensor):
        raise TypeError(f"`{name}` must be a tensor, got {type(index).__name__}; pass an integer tensor")
    if hasattr(index, "as_tensor"):  # torch_geometric.EdgeIndex: the same tensor at every call
        index = index.as_tensor()
    if index.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"`{name}` must be int64 or int32, got {index.dtype}; convert it with .long()")
    if (index.dim() == 2 and index.size(0) == 2) or (index.dim() == 1 and name == "index"):
        return index
    expected = "(2, e)" if name == "edge_index" else "(e,) or (2, e)"
    hint = "; transpose it?" if index.dim() == 2 and index.size(1) == 2 else "; row 0 holds sources, row 1 destinations"
    raise ValueError(f"`{name}` must have shape {expected}, got {tuple(index.shape)}{hint}")


def check_values(x: Tensor, name: str, dims: tuple[int, ...] | None, floating: bool = True) -> None:
    """Raise unless `x` is a real tensor with as many dimensions as `dims` allows."""
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a tensor, got {type(x).__name__}")
    if x.is_complex() or x.dtype == torch.bool or (floating and not x.is_floating_point()):
        kind = "floating point" if floating else "real"
        raise TypeError(f"`{name}` must be {kind}, got {x.dtype}; convert it with .float()")
    if dims is not None and x.dim() not in dims:
        shapes = " or ".join("(n, c)" if d == 2 else "(n, h, c)" for d in dims)
        raise ValueError(f"`{name}` must have shape {shapes}, got {tuple(x.shape)}; flatten or unsqueeze it")


def check_reduce(reduce: str) -> None:
    """Raise unless `reduce` names a reduction."""
    if reduce not in _REDUCTIONS:
        raise ValueError(f"`reduce` must be one of {', '.join(map(repr, _REDUCTIONS))}, got {reduce!r}")


def check_count(count: int, name: str) -> None:
    """Raise unless `count` is a number of rows."""
    if isinstance(count, (Tensor, float, str)) or count is None:
        raise TypeError(f"`{name}` must be an integer, got {type(count).__name__}")
    if count < 0:
        raise ValueError(f"`{name}` must be at least 0, got {count}")

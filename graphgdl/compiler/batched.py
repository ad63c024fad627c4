"""A derivative of batches of cotangents, as `torch.vmap` and `is_grads_batched=True` ask for: for one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch._functorch.utils import enable_single_level_autograd_function


def for_each(function: Callable[[Sequence[Tensor]], list[Tensor]], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return batches of what `function` makes of each of the tensors that are stacked in batches."""
    level = max(map(functorch.maybe_get_level, tensors)) if torch._C._are_functorch_transforms_active() else 0
    older = any(map(functorch.is_legacy_batchedtensor, tensors))
    if level <= 0 and not older:
        return function([t.contiguous() for t in tensors])
    if level > 0:
        wrap: Any = functorch._add_batch_dim
        parts = [functorch._unwrap_batched(t, level) for t in tensors]
    else:  # the older form of vmap, which `is_grads_batched` is made of
        wrap = torch._add_batch_dim
        level = torch._C._vmapmode_increment_nesting() - 1
        torch._C._vmapmode_decrement_nesting()
        batches = map(functorch.is_legacy_batchedtensor, tensors)
        parts = [(torch._remove_batch_dim(t, level, 1, 0), 0) if b else (t, None) for t, b in zip(tensors, batches)]
    count = next(t.size(dim) for t, dim in parts if dim is not None)
    with enable_single_level_autograd_function():
        rows = [for_each(function, [t if d is None else t.select(d, k) for t, d in parts]) for k in range(count)]
    return [wrap(torch.stack(each), 0, level) for each in zip(*rows, strict=True)]

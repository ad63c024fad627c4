"""Remember what was derived from a tensor, for as long as the tensor lives and is not changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

T = TypeVar("T")

_MEMO: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def remembered(tensor: Tensor, key: Hashable, build: Callable[[], T]) -> T:
    """Return ``build()``, computed once per `tensor`, its version, and `key`.

    The entry is dropped when the tensor dies or torch writes into it; a write through a numpy alias cannot be seen.
    Inference tensors carry no version and compiled code no identity: both build every time. What `build` returns
    must not refer to `tensor` (it would never be freed) and must not need a gradient.
    """
    if torch.compiler.is_compiling() or tensor.is_inference() or torch._C._are_functorch_transforms_active():
        return build()
    entry = _MEMO.get(tensor)
    if entry is None or entry[0] != tensor._version:
        entry = _MEMO[tensor] = (tensor._version, {})
    if key not in entry[1]:
        with torch.inference_mode(False), torch.no_grad():  # what is kept must serve a later training step too
            entry[1][key] = build()
    return entry[1][key]

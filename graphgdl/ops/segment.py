"""Reductions, softmax and expansion over segments: the edges of each destination, or the entries of each group."""

from __future__ import annotations

from torch import Tensor

from . import segment_sum as _family
from . import softmax as _softmax
from .check import check_count, check_index, check_reduce, check_values
from .extreme import segment_extreme


def segment_reduce(src: Tensor, index: Tensor, num_segments: int, reduce: str = "sum") -> Tensor:
    """Reduce the entries of each segment.

    Args:
        src: (e, ...) values.
        index: (e,) int64 or int32 segment of each entry, in any order, or an edge_index (2, e) whose destinations
            are the segments. It is sorted at its first use and remembered (see `graphgdl.ops.rows.plan`).
        num_segments: number of segments, n.
        reduce: "sum", "mean", "max" or "min", channel by channel; of equal values the first takes the gradient.

    Returns:
        (n, ...); 0 in an empty segment. Differentiable to any order.

    Raises:
        TypeError, ValueError: an argument of the wrong type, shape or range.
        NotImplementedError: tensors on a device that has no kernel.

    Example:
        >>> import torch
        >>> src = torch.tensor([1.0, 2.0, 4.0])
        >>> assert segment_reduce(src, torch.tensor([1, 0, 1]), 3, "mean").tolist() == [2.0, 2.5, 0.0]
    """
    check_reduce(reduce)
    index = _check(src, index, num_segments, floating=reduce == "mean")
    if reduce in ("max", "min"):
        return segment_extreme(src, index, num_segments, reduce == "max")
    total = _family.segment_sum(src, index, num_segments, False)
    return _family.divide_by_count(total, index, num_segments) if reduce == "mean" else total


def segment_softmax(src: Tensor, index: Tensor, num_segments: int) -> Tensor:
    """Normalise `exp(src)` within each segment and channel; large values do not overflow.

    Args:
        src: (e, ...) floating point scores.
        index: (e,) segment of each entry, or an edge_index (2, e) whose destinations are the segments.
        num_segments: number of segments, n.

    Returns:
        (e, ...), in the caller's order; each segment sums to 1. Differentiable to any order. Under autocast it is
        computed and returned in float32, as `torch.softmax` is.

    Raises:
        TypeError, ValueError: an argument of the wrong type, shape or range.
        NotImplementedError: tensors on a device that has no kernel.

    Example:
        >>> import torch
        >>> assert segment_softmax(torch.zeros(3), torch.tensor([1, 0, 1]), 2).tolist() == [0.5, 1.0, 0.5]
    """
    index = _check(src, index, num_segments, floating=True)
    return _softmax.segment_softmax(src, index, num_segments)


def segment_expand(y: Tensor, index: Tensor, end: str = "dst") -> Tensor:
    """Give each entry the value of its segment: the transpose of the sum, and `y[src]` with a fast derivative.

    Args:
        y: (n, ...) values of the segments.
        index: (e,) segment of each entry, or an edge_index (2, e), one end of which are the segments.
        end: which end of an edge_index (2, e): "dst" or "src".

    Returns:
        (e, ...) with `y[index]`. Differentiable to any order.

    Raises:
        TypeError, ValueError: an argument of the wrong type, shape or range.
        NotImplementedError: tensors on a device that has no kernel.

    Example:
        >>> import torch
        >>> y = torch.tensor([5.0, 7.0])
        >>> assert segment_expand(y, torch.tensor([1, 0, 1])).tolist() == [7.0, 5.0, 7.0]
        >>> assert segment_expand(y, torch.tensor([[1, 0], [0, 0]]), "src").tolist() == [7.0, 5.0]
    """
    check_values(y, "y", None, floating=False)
    if y.dim() == 0:
        raise ValueError("`y` must have shape (n, ...), got (); give it a first dimension")
    index = check_index(index, "index")
    if end not in ("dst", "src"):
        raise ValueError(f"`end` must be 'dst' or 'src', got {end!r}")
    if end == "src" and index.dim() == 1:
        raise ValueError(f"`index` must have shape (2, e) for `end` 'src', got {tuple(index.shape)}; drop `end`")
    return _family.segment_expand(y, index, end == "src")


def _check(src: Tensor, index: Tensor, num_segments: int, floating: bool) -> Tensor:
    check_values(src, "src", None, floating)
    check_count(num_segments, "num_segments")
    index = check_index(index, "index")
    if src.dim() == 0 or src.size(0) != index.size(-1):
        raise ValueError(
            f"`src` must have shape (e, ...) with e = {index.size(-1)} as `index` has, got {tuple(src.shape)}; "
            "one entry for each index, in the same order"
        )
    return index

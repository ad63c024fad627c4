r"""Aggregate over neighbours without a tensor per edge and channel.

.. math:: y_i = \bigoplus_{(j, i) \in E} w_{ji} \, x_j
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import weighted_sum as _family
from .check import check_count, check_index, check_reduce, check_values
from .extreme import gather_extreme
from .segment_sum import divide_by_count


def gather_scatter(
    x: Tensor, edge_index: Tensor, num_dst: int | None = None, weight: Tensor | None = None, reduce: str = "sum"
) -> Tensor:
    """Reduce `weight * x[src]` over the edges `src -> dst` of each destination; no (e, c) tensor is ever made.

    Args:
        x: (n_src, c) or (n_src, h, c) values of the sources.
        edge_index: (2, e) int64 or int32, row 0 the sources, row 1 the destinations, in any order. It is sorted at
            its first use and remembered (see `graphgdl.ops.rows.plan`); int64 sorted by destination is cheapest.
        num_dst: number of destinations, n_src if None.
        weight: (e,), or (e, h) for an (n_src, h, c) `x`; None for 1.
        reduce: "sum"; "mean", the sum divided by the number of edges; "max" or "min", channel by channel, of equal
            values the first edge's, which also takes the whole gradient.

    Returns:
        (num_dst, c) or (num_dst, h, c); 0 where no edge arrives. Differentiable to any order in `x` and `weight`,
        the same bit for bit from run to run and over thread counts. Half precision is summed in float32.

    Raises:
        TypeError, ValueError: an argument of the wrong type, shape or range.
        NotImplementedError: tensors on a device that has no kernel.

    Example:
        >>> x = torch.tensor([[1.0], [2.0], [4.0]])
        >>> edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
        >>> assert gather_scatter(x, edge_index).tolist() == [[6.0], [1.0], [0.0]]
    """
    check_reduce(reduce)
    check_values(x, "x", (2, 3), floating=reduce == "mean" or weight is not None)
    edge_index = check_index(edge_index, "edge_index")
    if num_dst is None:
        num_dst = x.size(0)
    else:
        check_count(num_dst, "num_dst")
    shape = None
    if weight is not None:
        check_values(weight, "weight", None)
        x, weight, shape = _match(x, weight, edge_index)
    if reduce in ("sum", "mean"):
        out = _family.weighted_sum(x, weight, edge_index, num_dst, False)
        if reduce == "mean":
            out = divide_by_count(out, edge_index, num_dst)
    else:
        out = gather_extreme(x, weight, edge_index, num_dst, reduce == "max")
    return out if shape is None else out.view(num_dst, *shape)


def edge_dot(x: Tensor, y: Tensor, edge_index: Tensor) -> Tensor:
    """Return the dot product of the two ends of each edge, over the last dimension.

    Args:
        x: (n_src, c) or (n_src, h, c) values of the sources.
        y: (n_dst, c) or (n_dst, h, c) values of the destinations.
        edge_index: (2, e) int64 or int32, row 0 the sources, row 1 the destinations, in any order.

    Returns:
        (e,) or (e, h), in the caller's order of edges. Differentiable to any order.

    Raises:
        TypeError, ValueError: an argument of the wrong type, shape or range.
        NotImplementedError: tensors on a device that has no kernel.

    Example:
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> assert edge_dot(x, x, torch.tensor([[0, 1], [1, 1]])).tolist() == [11.0, 25.0]
    """
    check_values(x, "x", (2, 3))
    check_values(y, "y", (2, 3))
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"`x` and `y` must agree in all but the first dimension, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    edge_index = check_index(edge_index, "edge_index")
    if x.dtype != y.dtype:
        common = torch.promote_types(x.dtype, y.dtype)
        x, y = x.to(common), y.to(common)
    return _family.edge_dot(x, y, edge_index)


def _match(x: Tensor, weight: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor, torch.Size | None]:
    """Return `x` and `weight` in one dtype and in matching shapes, and the shape to restore if `x` was flattened."""
    if weight.shape != (edge_index.size(1), *x.shape[1:-1]) and weight.shape != (edge_index.size(1),):
        heads = "" if x.dim() == 2 else f" or (e, h) = ({edge_index.size(1)}, {x.size(1)})"
        raise ValueError(
            f"`weight` must have shape (e,) = ({edge_index.size(1)},){heads}, got {tuple(weight.shape)}; "
            "one weight for each edge, in the order of `edge_index`"
        )
    if x.dtype != weight.dtype:
        common = torch.promote_types(x.dtype, weight.dtype)
        x, weight = x.to(common), weight.to(common)
    if x.dim() == 3 and weight.dim() == 1:  # one weight for all heads: they are channels
        return x.flatten(1), weight, x.shape[1:]
    return x, weight, None

"""Sets, sequences and grids: features whose graph is known from their shape, held as a structure without edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from graphgdl.domains.structure import Chain, Complete, Grid
from graphgdl.domains.structured_data import StructuredData


def from_set(elements: Any, self_loops: bool = True) -> StructuredData:
    """Return a set: every element sees every element, in no order.

    Args:
        elements: (n, c) or (n,) numbers.
        self_loops: whether an element sees itself.

    Returns:
        StructuredData with `x` (n, c) and `structure` `Complete`.

    Raises:
        ValueError: not one or two dimensions.

    Example:
        >>> data = from_set([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> data.num_nodes, data.structure.num_edges
        (3, 9)
    """
    x = _rows(elements, "elements")
    return StructuredData(x, Complete(x.size(0), self_loops))


def from_sequence(steps: Any, bidirectional: bool = False) -> StructuredData:
    """Return a sequence: step t + 1 hears step t, and with `bidirectional` t hears t + 1 too.

    Args:
        steps: (n, c) or (n,) numbers, in order.
        bidirectional: whether messages flow backwards too.

    Returns:
        StructuredData with `x` (n, c) and `structure` `Chain`.

    Raises:
        ValueError: not one or two dimensions.

    Example:
        >>> from_sequence([1.0, 2.0, 3.0]).structure.edge_index.tolist()
        [[0, 1], [1, 2]]
    """
    x = _rows(steps, "steps")
    return StructuredData(x, Chain(x.size(0), bidirectional))


def from_grid(
    signal: Any,
    periodic: bool | Sequence[bool] = False,
    channels: Literal["last", "first"] | None = None,
    diagonal: bool = False,
) -> StructuredData:
    """Return a signal on a regular grid of any dimension: an image, a volume, a time series.

    Args:
        signal: numbers; without `channels` its shape is the grid's shape, one number at each node.
        periodic: whether the axes close to a ring, one flag or one for each axis of the grid.
        channels: which axis holds the channels: "last", "first" (as torch's images have it), or None for no such axis.
        diagonal: whether diagonal neighbours count.

    Returns:
        StructuredData with `x` (n, c), nodes in row-major order of the grid, and `structure` `Grid`.

    Raises:
        ValueError: another `channels`, or no axis left for the grid.

    Example:
        >>> data = from_grid(torch.zeros(3, 28, 28), periodic=True, channels="first")
        >>> data.x.shape, data.structure.shape
        (torch.Size([784, 3]), (28, 28))
    """
    values = _floating(torch.as_tensor(signal))
    if channels not in (None, "last", "first"):
        raise ValueError(f"`channels` must be 'last', 'first' or None, got {channels!r}")
    if channels is None:
        values = values.unsqueeze(-1)
    elif channels == "first" and values.dim() > 0:
        values = values.movedim(0, -1)
    if values.dim() < 2:
        raise ValueError(f"`signal` must have at least one axis beside its channels, got shape {tuple(values.shape)}")
    shape = tuple(values.shape[:-1])
    return StructuredData(values.reshape(-1, values.size(-1)), Grid(shape, periodic, diagonal))


def _rows(values: Any, name: str) -> Tensor:
    x = _floating(torch.as_tensor(values))
    if x.dim() not in (1, 2):
        raise ValueError(f"`{name}` must have shape (n, c) or (n,), got {tuple(x.shape)}")
    return x.view(-1, 1) if x.dim() == 1 else x


def _floating(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())

r"""Readouts: one vector for each graph of a batch, from the vectors of its nodes.

.. math:: r_g = \bigoplus_{i \,:\, \mathrm{batch}_i = g} x_i, \qquad \bigoplus \in \{\text{sum, mean, max}\}

Law: invariant to node permutations within each graph.
Power: the sum keeps multiplicities, so a 1-WL node layer stays 1-WL; mean and max forget them.
Source: Xu et al. (2019), How Powerful are Graph Neural Networks?, section 5.
Differs: nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from graphgdl import ops

_BACKENDS = ops.available_backends()


def global_add_pool(x: Tensor, batch: Tensor | None, size: int | None = None) -> Tensor:
    """Return the sum of the node features of each graph.

    Args:
        x: node features (n, ...).
        batch: graph of each node (n,), int64, or None for a single graph.
        size: number of graphs g; None takes it from `batch`.

    Returns:
        (g, ...); an empty graph gives 0.

    Raises:
        ValueError: `batch` is not one integer for each row of `x`, or reaches beyond `size`.

    Example:
        >>> out = global_add_pool(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, 1]))
        >>> assert out.tolist() == [[3.0], [4.0]]
    """
    return _pool(x, batch, size, "sum")


def global_mean_pool(x: Tensor, batch: Tensor | None, size: int | None = None) -> Tensor:
    """Return the mean of the node features of each graph; see `global_add_pool`.

    Example:
        >>> out = global_mean_pool(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, 1]))
        >>> assert out.tolist() == [[1.5], [4.0]]
    """
    return _pool(x, batch, size, "mean")


def global_max_pool(x: Tensor, batch: Tensor | None, size: int | None = None) -> Tensor:
    """Return the largest value of each node feature in each graph; see `global_add_pool`.

    Example:
        >>> out = global_max_pool(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, 1]))
        >>> assert out.tolist() == [[2.0], [4.0]]
    """
    return _pool(x, batch, size, "max")


def _pool(x: Tensor, batch: Tensor | None, size: int | None, reduce: str) -> Tensor:
    if batch is None:
        batch, size = x.new_zeros(x.size(0), dtype=torch.int64), 1
    if batch.dim() != 1 or batch.size(0) != x.size(0) or batch.is_floating_point():
        raise ValueError(
            f"`batch` must hold one integer for each of the {x.size(0)} rows of `x`, got {batch.dtype} of shape "
            f"{tuple(batch.shape)}; pass `data.batch`"
        )
    if size is None:
        size = int(batch.max()) + 1 if batch.numel() > 0 else 0
    if _BACKENDS.get(x.device.type, "no kernels") is not None:  # a device that the ops do not know yet: PyG's scatter
        return scatter(x, batch, 0, size, reduce)
    return ops.segment_reduce(x, batch, size, reduce)


class Readout(nn.Module):
    """A readout as a layer: the sum, mean or largest value of the node features of each graph.

    Args:
        reduce: 'sum', 'mean' or 'max'.

    Shapes:
        x (n, ...); batch (n,) or None; size -> (g, ...), as `global_add_pool`.

    Raises:
        ValueError: an unknown `reduce`; see `global_add_pool`.

    Example:
        >>> Readout("mean")(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, 1])).tolist()
        [[1.5], [4.0]]
    """

    def __init__(self, reduce: str = "sum") -> None:
        super().__init__()
        if reduce not in ("sum", "mean", "max"):
            raise ValueError(f"`reduce` must be 'sum', 'mean' or 'max', got {reduce!r}")
        self.reduce = reduce

    def forward(self, x: Tensor, batch: Tensor | None = None, size: int | None = None) -> Tensor:
        """Return one row for each graph."""
        return _pool(x, batch, size, self.reduce)

    def __repr__(self) -> str:
        return f"Readout({self.reduce!r})"

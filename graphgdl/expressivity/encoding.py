"""Positional encodings that do not depend on the numbering of the nodes."""

from __future__ import annotations

import torch
from torch import Tensor


def closed_walks(edge_index: Tensor, num_nodes: int, length: int = 16) -> Tensor:
    r"""Logarithms of the numbers of closed walks of 2 ... `length` steps from each node.

    .. math:: p_v = \big(\log(1 + (A^k)_{vv}) / k\big)_{k = 2}^{K}

    Source: Dwivedi et al. (2022), "Graph neural networks with learnable structural and positional representations" (RWSE).
    Differs: counts walks instead of weighting them by degrees, so that the oracle `rwse-wl` bounds it exactly; float64,
    since rounding in float32 depends on the numbering.

    Shapes: edge_index (2, e) -> (num_nodes, length - 1) float64.

    >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    >>> (closed_walks(path, 3, 2) * 2).exp().round().sub(1).flatten().tolist()
    [1.0, 2.0, 1.0]
    """
    adjacency = torch.zeros(num_nodes, num_nodes, dtype=torch.float64, device=edge_index.device)
    adjacency[edge_index[1], edge_index[0]] = 1
    power, counts = adjacency, []
    for _ in range(2, length + 1):
        power = power @ adjacency
        counts.append(power.diagonal())
    steps = torch.arange(2, length + 1, dtype=torch.float64, device=edge_index.device)
    return torch.stack(counts, dim=1).log1p_() / steps

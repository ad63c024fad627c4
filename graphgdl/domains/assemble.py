"""Edges in any order become a `Data` sorted by destination."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data


def assemble(num_nodes: int, src: np.ndarray, dst: np.ndarray, both_directions: bool, **features: np.ndarray) -> Data:
    """Return a `Data` with a plain int64 `edge_index` sorted by destination, then source; parallel edges keep their order.

    Args:
        num_nodes: n.
        src, dst: (e,) ends of each edge, already known to lie in 0 .. n - 1.
        both_directions: whether each edge stands for both directions; a self-loop is stored once all the same.
        **features: (e, ...) per edge, stored under their names, the same in both directions.
    """
    edge = np.arange(len(src))
    if both_directions:
        back = np.flatnonzero(src != dst)
        src, dst, edge = np.append(src, dst[back]), np.append(dst, src[back]), np.append(edge, back)
    order = np.lexsort((edge, src, dst))
    data = Data(edge_index=torch.from_numpy(np.stack([src[order], dst[order]]).astype(np.int64)))
    for name, values in features.items():
        data[name] = as_float(values)[torch.from_numpy(edge[order])]
    data.num_nodes = num_nodes
    return data


def as_float(values: np.ndarray) -> Tensor:
    """Return a tensor in the dtype that layers compute in: float64 stays, everything else becomes float32."""
    array = np.asarray(values)
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64 if array.dtype == np.float64 else np.float32))

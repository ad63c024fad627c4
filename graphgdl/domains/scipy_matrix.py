"""Adjacency matrices in any scipy sparse format."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch_geometric.data import Data

from graphgdl.domains.assemble import assemble


def from_scipy(matrix: Any) -> Data:
    """Return the graph of a sparse adjacency matrix: a stored entry (i, j) is an edge from i to j with that weight.

    A symmetric matrix is an undirected graph. Entries stored twice are added, as scipy does; a stored zero is an edge of
    weight 0.

    Args:
        matrix: scipy sparse matrix or array (n, n), real, in any format.

    Returns:
        Data with `edge_index` int64 (2, e) sorted by destination, `edge_weight` (e,) (float64 stays, all else becomes
        float32), `num_nodes`.

    Raises:
        TypeError: not a scipy sparse matrix, or a complex one.
        ValueError: not square.

    Example:
        >>> import scipy.sparse as sp
        >>> data = from_scipy(sp.csr_array([[0.0, 2.0], [0.0, 0.0]]))
        >>> data.edge_index.tolist(), data.edge_weight.tolist()
        ([[0], [1]], [2.0])
    """
    import scipy.sparse as sp

    if not sp.issparse(matrix):
        raise TypeError(f"`matrix` must be a scipy sparse matrix, got {type(matrix).__name__}; wrap it in `csr_array`")
    if np.iscomplexobj(matrix):
        raise TypeError(f"`matrix` must be real, got {matrix.dtype}")
    if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"`matrix` must be square (n, n), got {matrix.shape}; a bipartite graph is a HeteroData with two node types"
        )
    entries = sp.csr_array(matrix, copy=True)
    entries.sum_duplicates()
    entries = entries.tocoo()
    src, dst = entries.coords
    return assemble(matrix.shape[0], src.astype(np.int64), dst.astype(np.int64), False, edge_weight=entries.data)

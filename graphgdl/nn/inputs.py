"""Read the graph a layer was called with, and refuse a bad one before any arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from graphgdl.domains.structure import Structure
from graphgdl.nn.memo import remembered
from graphgdl.ops.rows import plan, seen

Size = tuple[int | None, int | None] | None
_INTEGERS = (torch.int64, torch.int32)


def edges_of(edge_index: Any, x: Any, size: Size = None, **features: Any) -> Any:
    """Return the edges a layer works on: a structure becomes its `edge_index`, anything else is checked and passed on.

    Args:
        edge_index: tensor (2, e) of int64 or int32, `EdgeIndex`, `torch_sparse.SparseTensor`, a torch sparse matrix, or
            a structure (`Grid`, `Complete`, `Chain`).
        x: node features (n, ...), or a pair of source (n_src, ...) and destination (n_dst, ...) features or None.
        size: (n_src, n_dst) where the caller gave it.
        **features: tensors (e, ...) or None, by argument name.

    Raises:
        TypeError: `edge_index` is no graph, or its dtype is not int64 or int32; `x` holds no features.
        ValueError: wrong shape, an index outside the nodes, or features of the wrong length.
    """
    if not isinstance(edge_index, Tensor | SparseTensor):
        edge_index = _edges_of_structure(edge_index, x)
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():
        return edge_index
    num_src, num_dst = _num_nodes(x, size)
    plain_tensor = type(edge_index) is Tensor and edge_index.layout is torch.strided
    if not plain_tensor and (isinstance(edge_index, SparseTensor) or is_torch_sparse_tensor(edge_index)):
        num_edges = edge_index.nnz() if isinstance(edge_index, SparseTensor) else edge_index._nnz()
        _check_size(edge_index.size(1), edge_index.size(0), num_src, num_dst)
    else:
        _check_tensor(edge_index, num_src, num_dst)
        num_edges = edge_index.size(1)
    for name, feature in features.items():
        if isinstance(feature, Tensor) and (feature.dim() == 0 or feature.size(0) != num_edges):
            raise ValueError(
                f"`{name}` must have one row for each of the {num_edges} edges, got shape {tuple(feature.shape)}; "
                f"keep it in the order of `edge_index`"
            )
    return edge_index


def plain(edge_index: Any) -> tuple[Tensor, Tensor | None]:
    """Return the edges as one (2, e) tensor, the same object at every call, and their values or None."""
    if isinstance(edge_index, SparseTensor):
        row, col, value = edge_index.coo()
        kept = remembered(
            col, (id(row), row._version), lambda: (row, torch.stack([col, row]))
        )  # row kept: its id stays
        return kept[1], value
    return (edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index), None


def _edges_of_structure(structure: Any, x: Any) -> Tensor:
    if not isinstance(structure, Structure):
        raise TypeError(
            f"`edge_index` must be a tensor (2, e), an EdgeIndex, a SparseTensor, or a structure such as Grid, got "
            f"{type(structure).__name__}; use `torch.tensor(pairs).t()` for a list, `data.edge_index` for a Data"
        )
    for rows in _num_nodes(x, None):
        if rows != structure.num_nodes:
            raise ValueError(
                f"`x` must have one row for each of the {structure.num_nodes} nodes of the {type(structure).__name__}, "
                f"got {rows} rows"
            )
    return structure.edge_index


def _num_nodes(x: Any, size: Size) -> tuple[int, int]:
    if isinstance(x, Tensor) and size is None:
        rows = _rows(x)
        return rows, rows
    pair = tuple(x) if isinstance(x, tuple | list) else (x, x)
    if len(pair) != 2 or not isinstance(pair[0], Tensor) or not isinstance(pair[1], Tensor | None):
        raise TypeError(f"`x` must be a tensor (n, c) or a pair of source and destination features, got {_kind(x)}")
    both = [None if t is None else _rows(t) for t in pair]
    for end, given, has in zip(("source", "destination"), size or (None, None), both):
        if given is not None and has is not None and given != has:
            raise ValueError(f"`size` says {given} {end} nodes, but `x` has {has} rows; drop `size` or correct it")
    num_dst = size[1] if both[1] is None and size is not None else both[1]
    return _rows(pair[0]), _rows(pair[0]) if num_dst is None else num_dst


def _rows(x: Tensor) -> int:
    return x.size(-2 if x.dim() > 1 else 0)


def _kind(x: Any) -> str:
    return f"({', '.join(type(t).__name__ for t in x)})" if isinstance(x, tuple | list) else type(x).__name__


def _check_size(has_src: int | None, has_dst: int | None, num_src: int, num_dst: int) -> None:
    """Compare the size that a sparse matrix or an `EdgeIndex` states with the rows of `x`."""
    if has_src not in (None, num_src) or has_dst not in (None, num_dst):
        raise ValueError(
            f"`edge_index` states {has_src} source and {has_dst} destination nodes, but `x` has {num_src} and {num_dst} "
            f"rows; a sparse matrix must be (destination, source), the transposed adjacency `adj_t`"
        )


def _check_tensor(edge_index: Tensor, num_src: int, num_dst: int) -> None:
    known = seen(edge_index) if edge_index.dtype in _INTEGERS else None
    if known is not None and type(edge_index) is Tensor and known.fits(num_src, num_dst):
        return
    if edge_index.dtype not in _INTEGERS:
        raise TypeError(
            f"`edge_index` must have dtype int64 or int32, got {str(edge_index.dtype).removeprefix('torch.')}; "
            f"convert it with `edge_index.long()`"
        )
    shape = edge_index.shape
    if len(shape) != 2 or shape[0] != 2:
        hint = "; transpose it?" if len(shape) == 2 and shape[1] == 2 else ""
        raise ValueError(f"`edge_index` must have shape (2, e), got {tuple(shape)}{hint}")
    if isinstance(edge_index, EdgeIndex):
        _check_size(edge_index.num_rows, edge_index.num_cols, num_src, num_dst)
    if shape[1] == 0 or edge_index.is_meta or type(edge_index) not in (Tensor, EdgeIndex):
        return  # nothing to look at: no edge, or a tensor without values
    low, src, dst = _range(edge_index)
    if low < 0:
        raise ValueError(f"`edge_index` must hold indices from 0, got {low}; nodes are numbered from 0")
    for row, top, rows in ((0, src, num_src), (1, dst, num_dst)):
        if top >= rows:
            raise ValueError(
                f"`edge_index[{row}]` refers to node {top}, but `x` has {rows} rows; expected indices below {rows}"
            )


def _range(edge_index: Tensor) -> tuple[int, int, int]:
    """Smallest index, largest source, largest destination; found once per tensor and version."""
    edges = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
    if edges.is_cpu:
        (low, src, _), (lowest, dst, _) = plan(edges).range
        return min(low, lowest), src, dst
    return remembered(edges, "range", lambda: _range_on_device(edges))


def _range_on_device(edges: Tensor) -> tuple[int, int, int]:
    low, high = torch.aminmax(edges.detach(), dim=1)
    (src, dst), lowest = high.tolist(), low.tolist()
    return min(lowest), src, dst

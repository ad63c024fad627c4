"""Tiles of edges, and products over them made by torch between the kernels of a loop, on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .interpret import DTYPES, outer_sum
from .node import Node


@dataclass(frozen=True, eq=False)
class Tile:
    """Whole rows of the row end, and the same edges sorted by the other end; `ids` are their edge ids if not in order."""

    first: int
    last: int
    rows: Any
    others: Any
    ids: Tensor | None = None


def product(node: Node, tile: Tile, env: dict[Node, Tensor], tiled: set[Node]) -> None:
    """Multiply the rows of a tile: into its buffer, or onto the sum over all tiles."""
    left, right = (_of_tile(a, tile, env, tiled) for a in node.args)
    left = left.reshape(-1, left.shape[-1])
    if node.op == "mm":
        torch.mm(left, right, out=env[node][: tile.last - tile.first].view(-1, node.shape[-1]))
        return
    found = outer_sum(left, right.reshape(-1, right.shape[-1]))
    env[node] = env[node].add_(found) if node in env else found


def _of_tile(node: Node, tile: Tile, env: dict[Node, Tensor], tiled: set[Node]) -> Tensor:
    """Return the rows of an edge value that belong to a tile, in row order; a constant as it is."""
    value = env[node]
    if node in tiled:
        return value[: tile.last - tile.first]
    if node.space == "E":
        value = value[tile.first : tile.last] if tile.ids is None else value.index_select(0, tile.ids)
    return value.to(DTYPES[node.dtype])  # from half precision on CUDA

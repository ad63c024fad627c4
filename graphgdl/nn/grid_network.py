r"""GridNetwork: a network of torch for images, on the nodes of its grids.

.. math:: f(x) = \text{nodes}\big(F(\text{images}(x))\big)

Law: the translations that all of its grids follow, if nothing but what treats all places alike is done to the images;
invariant where all places are pooled.
Source: He et al. (2016), Deep Residual Learning for Image Recognition, section 3.2 (steps that are no sequence).
Differs: nothing.
"""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch_geometric.data import Data

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import runs
from graphgdl.groups import Law
from graphgdl.nn.grid_inputs import check_grid
from graphgdl.nn.grid_laws import grid_of, translations_of
from graphgdl.nn.image_layers import OnImages, grid_like, images_of, nodes_of
from graphgdl.nn.image_shifts import ShiftedImages


class GridNetwork(nn.Module):
    """What `from_torch` returns: the layers of a torch network under their names, and its forward.

    Grids of unequal shape run one shape after another; what a network does to a batch, as batch norm in training, it does
    to each shape alone.

    Attributes:
        skipped: layers with windows that are left to torch, by name, and why.

    Shapes:
        x (n, c); structure a `Grid` of n nodes, or a batch of grids -> images that the network returns, (g, c', *shape'), as
        (n', c') on `network.grid(structure)`; anything else as it is.

    Raises:
        ValueError: features or grids that do not fit.
    """

    def __init__(self, network: nn.Module, dim: int | None, skipped: dict[str, str]) -> None:
        super().__init__()
        self.training, self.skipped, self._dim = network.training, skipped, dim
        self._network = (network,)  # in a tuple, no child: its children are this module's own
        self._last: tuple[Grid, Grid | None] | None = None
        for name in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
            vars(self)[name] = vars(network)[name]  # the very dicts: what is replaced in one is replaced in both

    def forward(self, x: Tensor, structure: Grid) -> Any:
        """Return what the network gives for the images."""
        check_grid(structure, x, self._dim or len(getattr(structure, "periodic", "")), None)
        for layer in self._network[0].modules():
            if isinstance(layer, OnImages):
                layer.check(structure)
        outs, shapes, rings, first = [], [], [True] * len(structure.periodic), 0
        for shape, count in runs(structure):
            rows = x[first : first + count * math.prod(shape)]
            out, seen = self._call(rows, shape, count, structure.periodic)
            outs.append(tree_map(partial(_rows, len(shape) + 2), out))
            if isinstance(out, Tensor) and out.dim() == len(shape) + 2:
                shapes += [tuple(out.shape[2:])] * out.size(0)
                last = seen.grid(out) if seen else None
                rings = [ring and last is not None and last.periodic[axis] for axis, ring in enumerate(rings)]
            first += rows.size(0)
        grid = Grid(shapes, rings, structure.diagonal).to(structure.device) if shapes else None
        self._last = (structure, grid)
        return outs[0] if len(outs) == 1 else tree_map(_joined, *outs)

    def grid(self, structure: Grid) -> Grid | None:
        """Return the grid of the output's nodes, None where it is on none.

        Raises:
            ValueError: `structure` is not that of the last call, whose output tells.
        """
        if self._last is None or not (self._last[0] is structure or self._last[0] == structure):
            raise ValueError(f"`structure` must be that of the last call, whose output tells its grid, got {structure}")
        return self._last[1]

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return the translations that every grid follows, seen by running a copy of the network in evaluation mode."""
        grid, network = grid_of(data), copy.deepcopy(self).eval()
        if grid.num_graphs != 1 or not any(grid.periodic):
            return ()
        with torch.no_grad():
            out, seen = network._call(data.x, grid.shape, 1, grid.periodic)
        if seen is None or seen.lost or not isinstance(out, Tensor):
            return ()
        last = seen.grid(out)
        return translations_of([*seen.grids, *([] if last is None else [last])], invariant=last is None)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the network, in its own way."""
        self._network[0].train(mode)
        self.training = mode
        return self

    def _call(
        self, rows: Tensor, shape: tuple[int, ...], count: int, rings: tuple[bool, ...]
    ) -> tuple[Any, ShiftedImages | None]:
        """Return what the network gives for images of one shape, and on a ring what was seen of their shifts."""
        images = images_of(rows, count, shape)
        return self._watched(images, rings) if any(rings) else (self._network[0](images), None)

    @torch.compiler.disable  # which does not see what the watch sees
    def _watched(self, images: Tensor, rings: tuple[bool, ...]) -> tuple[Any, ShiftedImages]:
        grid = grid_like(images.size(0), tuple(images.shape[2:]), rings, images.device)
        with ShiftedImages(images, grid) as seen:
            return self._network[0](images), seen


def _rows(axes: int, value: Any) -> Any:
    return nodes_of(value) if isinstance(value, Tensor) and value.dim() == axes else value


def _joined(*parts: Tensor) -> Tensor:
    if len({part.shape[1:] for part in parts}) > 1 or not parts[0].dim():
        shapes = [tuple(part.shape) for part in parts]
        raise ValueError(
            f"`structure` must hold grids of one shape for this network, whose results do not join: {shapes}"
        )
    return torch.cat(parts)

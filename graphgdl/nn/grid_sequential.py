r"""GridSequential: layers on a grid one after another, each handing its grid to the next.

.. math:: x' = (f_k \circ \dots \circ f_1)(x)

Law: what holds for every layer holds for the whole; shifts by multiples of the product of the strides.
Source: LeCun et al. (1998), Gradient-Based Learning Applied to Document Recognition, section II.
Differs: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains.structure import Grid
from graphgdl.groups import Law
from graphgdl.nn.grid_laws import grid_of, translations_of
from graphgdl.nn.grid_network import GridNetwork
from graphgdl.nn.grid_readout import GridFlatten, GridGlobalPool


class GridSequential(nn.Sequential):
    """A `torch.nn.Sequential` that is called with features and their grid.

    A layer with a method `grid` is called with both, and `layer.grid(structure)` is where the next one stands; any other
    module works on the rows, node by node. Batch norms of images take the nodes for images of one pixel.

    Shapes:
        x (n, c); structure a `Grid` of n nodes, or a batch of grids -> (n', c'), or (g, c') after a `GridFlatten`.

    Raises:
        TypeError, ValueError: see the layers.

    Example:
        >>> import torch
        >>> from graphgdl.nn import GridConv, GridPool
        >>> network = GridSequential(GridConv(1, 4, 3, dim=2, padding=1), nn.ReLU(), GridPool(2, dim=2))
        >>> network(torch.rand(64, 1), Grid((8, 8))).shape, network.grid(Grid((8, 8))).shape
        (torch.Size([16, 4]), (4, 4))
    """

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return the translations that every layer follows; invariance after a global pooling, none after a flattening."""
        grids = [grid_of(data)]
        for layer in self._flat():
            if isinstance(layer, GridNetwork):  # whose grids a run alone shows
                return ()
            if isinstance(layer, GridGlobalPool | GridFlatten):
                return translations_of(grids, invariant=True) if isinstance(layer, GridGlobalPool) else ()
            if hasattr(layer, "grid"):
                grids.append(layer.grid(grids[-1]))
        return translations_of(grids)

    def forward(self, x: Tensor, structure: Grid | None) -> Tensor:  # type: ignore[override]
        """Return the features after the last layer."""
        layer: Any
        for layer in self:
            if hasattr(layer, "grid"):
                x, structure = layer(x, structure), layer.grid(structure)
            elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
                x = layer(x[..., None, None] if isinstance(layer, nn.BatchNorm2d) else x[..., None, None, None])
                x = x.flatten(1)
            else:
                x = layer(x)
        return x

    def grid(self, structure: Grid | None) -> Grid | None:
        """Return the grid of the output's nodes, None after a `GridFlatten`."""
        layer: Any
        for layer in self:
            if hasattr(layer, "grid"):
                structure = layer.grid(structure)
        return structure

    def _flat(self) -> Iterator[Any]:
        for layer in self:
            yield from layer._flat() if isinstance(layer, GridSequential) else (layer,)

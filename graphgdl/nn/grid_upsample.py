r"""GridUpsample: every node of a finer grid takes the value of the nearest node, the one it lies in.

.. math:: x'_k = x_{\lfloor k / s \rfloor}

It leads back from the places of `GridPool(s)` to the nodes: a signal that is constant in each window returns whole.

Law: equivariant to translations of a periodic grid, exactly: a shift by one node moves the result by s places.
Source: Odena, Dumoulin and Olah (2016), Deconvolution and Checkerboard Artifacts, section "Better Upsampling".
Differs: nothing; it is torch's `Upsample(mode="nearest")`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import Taps, Window
from graphgdl.nn.grid_inputs import check_grid, each_axis
from graphgdl.nn.grid_lowering import OnGrid
from graphgdl.nn.grid_torch import repeat
from graphgdl.nn.memo import remembered


class GridUpsample(OnGrid):
    r"""Upsampling of a `Grid` by whole factors.

    Args:
        scale_factor: s, one number or one for each axis.
        dim: number of axes d; default: from `scale_factor` where it has one number for each.

    Shapes:
        x (n, c); structure a `Grid` of n nodes, or a batch of grids, also of unequal shapes
        -> (n', c), the nodes of `layer.grid(structure)`.

    Raises:
        TypeError: `structure` is no `Grid`.
        ValueError: a factor below 1, or one that does not fit the grid; features that do not fit.

    Example:
        >>> import torch
        >>> GridUpsample(2, dim=1)(torch.tensor([[1.0], [5.0]]), Grid((2,))).flatten().tolist()
        [1.0, 1.0, 5.0, 5.0]
    """

    def __init__(self, scale_factor: int | Sequence[int], dim: int | None = None) -> None:
        super().__init__(aggr="sum")
        if dim is None and not isinstance(scale_factor, Sequence):
            raise ValueError(
                f"`dim` must say the number of axes where `scale_factor` is one number, got {scale_factor}"
            )
        self.dim = len(scale_factor) if dim is None else dim  # type: ignore[arg-type]
        self.scale_factor = each_axis("scale_factor", scale_factor, self.dim, 1)

    def reset_parameters(self) -> None:
        """Do nothing: there are no parameters."""

    def grid(self, structure: Grid) -> Grid:
        """Return the grid of the output's nodes, for the next layer."""
        key = ("upsampled", self.scale_factor, structure.shape, structure.periodic, structure.diagonal)
        return remembered(structure.ptr, key, lambda: self._finer(structure))

    def forward(self, x: Tensor, structure: Grid) -> Tensor:
        """Return the features of the finer grid (n', c)."""
        check_grid(structure, x, self.dim, None)
        return self.propagate(structure, x=x)

    def message(self, x_j: Tensor) -> Tensor:
        """Return the node as it is; it is the only one that speaks."""
        return x_j

    def update(self, inputs: Tensor) -> Tensor:
        """Return the value that arrived."""
        return inputs

    def _finer(self, grid: Grid) -> Grid:
        shapes = [tuple(n * s for n, s in zip(shape, self.scale_factor)) for shape in grid.shapes]
        return Grid(shapes, grid.periodic, grid.diagonal).to(grid.device)

    def _taps(self, structure: Grid) -> Taps:
        s = self.scale_factor
        window = Window(s, s, (1,) * self.dim, ((0, 0),) * self.dim, ("zeros",) * self.dim)

        def turned() -> Taps:
            taps = window.taps(self.grid(structure))  # of the pooling from the finer grid to this one
            return Taps(taps.edge_index.flip(0), taps.counts)

        return remembered(structure.ptr, ("upsampled taps", s, structure.shape), turned)

    def _by_torch(self, x: Tensor, structure: Grid) -> Tensor:
        return repeat(x, structure, self.scale_factor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.scale_factor})"

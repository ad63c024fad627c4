"""Layers that slide one window over a grid: their edges, and the grid of the window's places."""

from __future__ import annotations

from torch import Tensor

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import Taps, Window
from graphgdl.nn.grid_inputs import Ends, check_grid, window_of
from graphgdl.nn.grid_lowering import OnGrid
from graphgdl.nn.memo import remembered


class SlidingWindow(OnGrid):
    """A layer on grids whose messages come from the places of a window; the options are those of `GridConv`.

    A layer that takes any number of channels has None as `in_channels`.
    """

    in_channels: int | None
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    ends: Ends
    padding_mode: str | None

    def grid(self, structure: Grid) -> Grid:
        """Return the grid of the output's nodes, for the next layer."""
        window = self._window(structure)
        kind = (structure.shape, structure.periodic, structure.diagonal)
        return remembered(structure.ptr, ("grid", window, kind), lambda: window.grid(structure))

    def forward(self, x: Tensor, structure: Grid) -> Tensor:
        """Return the features at the places of the window (n', c')."""
        check_grid(structure, x, self.dim, self.in_channels)
        return self.propagate(structure, x=x)

    def _window(self, grid: Grid) -> Window:
        return window_of(grid, self.kernel_size, self.stride, self.dilation, self.ends, self.padding_mode)

    def _taps(self, structure: Grid) -> Taps:
        window = self._window(structure)
        return remembered(structure.ptr, ("taps", window, structure.shape), lambda: window.taps(structure))

"""Convolutions on grids of two axes whose filters follow turns: options, messages and laws; the filters are the layer's."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import MODES
from graphgdl.groups import FieldType, Law
from graphgdl.nn.grid_inputs import kernel_options
from graphgdl.nn.grid_laws import grid_of
from graphgdl.nn.grid_torch import convolve, weigh
from graphgdl.nn.planar_laws import planar_laws
from graphgdl.nn.sliding_window import SlidingWindow


class PlanarConv(SlidingWindow):
    """A convolution of fields on a `Grid` of two axes; a layer says by `filters()` and `biases()` with what.

    Args:
        in_type: how the channels of the input transform.
        out_type: how those of the output do.
        kernel_size: number of taps along both axes.
        stride: step of the kernel along both axes.
        padding: nodes added at all sides, or 'same' (stride 1, an odd span), or 'valid'.
        dilation: step between taps.
        padding_mode: as in `GridConv`.

    Raises:
        ValueError: the window is not the same along both axes, or at both ends of an axis.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        padding_mode: str | None = None,
    ) -> None:
        super().__init__(aggr="add")
        options = kernel_options(2, kernel_size, stride, dilation, padding)
        self.dim, self.kernel_size, self.stride, self.dilation, self.ends = options
        for name, (first, second) in zip(options._fields[1:-1], options[1:-1]):
            if first != second:
                raise ValueError(
                    f"`{name}` must be one number for both axes, which turns exchange, got {first, second}"
                )
        sides = sorted({length for ends in self.ends for length in ends})
        if len(sides) > 1:
            raise ValueError(
                f"`padding` must be the same on all sides, which turns exchange, got {sides}; 'same' needs an odd kernel"
            )
        if padding_mode is not None and padding_mode not in MODES:
            raise ValueError(f"`padding_mode` must be one of {MODES} or None, got {padding_mode!r}")
        self.padding_mode, self.in_type, self.out_type = padding_mode, in_type, out_type
        self.in_channels, self.out_channels = in_type.size, out_type.size

    def filters(self) -> Tensor:
        """Return the weights of the taps (c_out, c_in, k, k)."""
        raise NotImplementedError

    def biases(self) -> Tensor | None:
        """Return the bias of each channel (c_out,)."""
        raise NotImplementedError

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return what holds on the grid `data.structure`; nothing for a batch, see `planar_laws`."""
        grid = grid_of(data)
        return planar_laws(grid, self.grid(grid), self.in_type, self.out_type, self.stride[0], self.twice_center)

    @property
    def twice_center(self) -> int:
        """Twice the place about which the output's first place is computed, along each axis."""
        return self.dilation[0] * (self.kernel_size[0] - 1) - 2 * self.ends[0][0]

    def message(self, x_j: Tensor, counts: tuple[int, ...]) -> Tensor:
        """Weight each message by its tap; the edges are sorted by tap, `counts` of them each."""
        return weigh(x_j, counts, self.filters().flatten(2).permute(2, 1, 0)[:, None])

    def update(self, inputs: Tensor) -> Tensor:
        """Add the bias."""
        bias = self.biases()
        return inputs if bias is None else inputs + bias

    def _by_torch(self, x: Tensor, structure: Grid) -> Tensor:
        return convolve(x, structure, self._window(structure), self.filters(), self.biases(), 1)

    def __repr__(self) -> str:
        options = f"kernel_size={self.kernel_size[0]}, stride={self.stride[0]}"
        return f"{type(self).__name__}({self.in_type}, {self.out_type}, {options})"

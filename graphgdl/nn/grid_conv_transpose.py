r"""GridConvTranspose: the transpose of a convolution on a grid, each node spread over a window of a finer grid.

.. math:: x'_k = b + \sum_{(i, u) : \; s i + u = k} W_u^\top x_i

Law: equivariant to translations of a periodic grid, exactly: a shift by one node moves the result by s places.
Source: Zeiler et al. (2010), Deconvolutional Networks, eq. 1; Dumoulin and Visin (2016), A guide to convolution arithmetic
for deep learning, chapter 4.
Differs: nothing; a stride goes round a periodic axis, where the result has s times the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import Taps, Window
from graphgdl.nn.grid_inputs import check_channels, check_grid, each_axis, kernel_options, window_of
from graphgdl.nn.grid_lowering import OnGrid
from graphgdl.nn.grid_torch import convolve_transposed, weigh
from graphgdl.nn.memo import remembered

Sizes = int | Sequence[int]


class GridConvTranspose(OnGrid):
    r"""A transposed convolution over a `Grid`; options, weights and state dict are those of torch's `ConvTranspose2d`.

    Args:
        in_channels: size of each node's features.
        out_channels: size of the features of the finer grid.
        kernel_size: number of taps, one number or one for each axis.
        dim: number of axes d; default: from an option that has one number for each axis.
        stride: step of the kernel.
        padding: nodes cut from both ends of an axis of the result.
        output_padding: nodes added after it, fewer than the stride.
        dilation: step between taps.
        groups: number of groups of channels that do not see each other.
        bias: whether to learn a bias.

    Shapes:
        x (n, in_channels); structure a `Grid` of n nodes, or a batch of grids -> (n', out_channels), the nodes of
        `conv.grid(structure)`.

    Raises:
        TypeError: `structure` is no `Grid`.
        ValueError: options that do not fit each other, the grid or `x`.

    Example:
        >>> conv = GridConvTranspose(1, 1, 2, dim=1, stride=2, bias=False)
        >>> _ = conv.weight.data.copy_(torch.tensor([[[1.0, 10.0]]]))
        >>> conv(torch.tensor([[1.0], [2.0]]), Grid((2,))).flatten().tolist()
        [1.0, 10.0, 2.0, 20.0]
    """

    _padding_mode: str | None = None  # 'zeros' refuses rings, along which torch does not go round

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        dim: int | None = None,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(aggr="add")
        if isinstance(padding, str):
            raise ValueError(f"`padding` of a transposed convolution must be numbers, got {padding!r}")
        options = kernel_options(dim, kernel_size, stride, dilation, padding)
        self.dim, self.kernel_size, self.stride, self.dilation, self.ends = options
        self.output_padding = each_axis("output_padding", output_padding, self.dim, 0)
        if any(more >= s for more, s in zip(self.output_padding, self.stride)):
            raise ValueError(f"`output_padding` must be below the stride {self.stride}, got {self.output_padding}")
        check_channels(groups, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels // groups, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    @classmethod
    def from_torch(cls, conv: nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) -> GridConvTranspose:
        """Return the layer that computes what `conv` (a `ConvTranspose1d`, `2d` or `3d`) does; parameters are shared.

        Raises:
            TypeError: `conv` is none of these.
        """
        if type(conv) not in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d):
            raise TypeError(f"`conv` must be a torch.nn.ConvTranspose1d, 2d or 3d, got {type(conv).__name__}")
        layer = cls._sharing(conv, "kernel_size", "stride", "padding", "output_padding", "dilation", "groups")
        layer._padding_mode = "zeros"
        return layer

    def grid(self, structure: Grid) -> Grid:
        """Return the grid of the output's nodes, for the next layer."""
        kind = (structure.shape, structure.periodic, structure.diagonal, self.stride, self.ends)
        key = ("spread", kind, self.kernel_size, self.dilation, self.output_padding)
        return remembered(structure.ptr, key, lambda: self._finer(structure))

    def forward(self, x: Tensor, structure: Grid) -> Tensor:
        """Return the features of the finer grid (n', out_channels)."""
        check_grid(structure, x, self.dim, self.in_channels)
        return self.propagate(structure, x=x)

    def message(self, x_j: Tensor, counts: tuple[int, ...]) -> Tensor:
        """Weight each message by its tap; the edges are sorted by tap, `counts` of them each."""
        weight = self.weight.view(self.groups, -1, *self.weight.shape[1:]).flatten(3)
        return weigh(x_j, counts, weight.permute(3, 0, 1, 2))

    def _finer(self, grid: Grid) -> Grid:
        shapes = [self._shape(shape, grid.periodic) for shape in grid.shapes]
        return Grid(shapes, grid.periodic, grid.diagonal).to(grid.device)

    def _shape(self, shape: tuple[int, ...], periodic: tuple[bool, ...]) -> tuple[int, ...]:
        options = zip(shape, self.kernel_size, self.stride, self.dilation, self.ends, self.output_padding)
        out = tuple((n - 1) * s - sum(ends) + d * (k - 1) + 1 + more for n, k, s, d, ends, more in options)
        for axis, (n, m, ring) in enumerate(zip(shape, out, periodic)):
            if n < 1 or m < 1:
                raise ValueError(f"`structure` of shape {shape} leaves no node along axis {axis}; pad less")
            if ring and m != n * self.stride[axis]:
                raise ValueError(
                    f"`structure` is periodic along axis {axis}, where the result must have stride * size = "
                    f"{n * self.stride[axis]} nodes, got {m}; change `padding` or `output_padding`"
                )
        return out

    def _window(self, grid: Grid) -> Window:
        return window_of(grid, self.kernel_size, self.stride, self.dilation, self.ends, self._padding_mode)

    def _taps(self, structure: Grid) -> Taps:
        window = self._window(structure)
        key = ("spread taps", window, structure.shape, self.output_padding)

        def turned() -> Taps:
            taps = window.taps(self.grid(structure))  # of the convolution from the finer grid to this one
            return Taps(taps.edge_index.flip(0), taps.counts)

        return remembered(structure.ptr, key, turned)

    def _by_torch(self, x: Tensor, structure: Grid) -> Tensor:
        for shape in dict.fromkeys(structure.shapes):
            self._shape(shape, structure.periodic)
        window = self._window(structure)
        return convolve_transposed(x, structure, window, self.weight, self.bias, self.groups, self.output_padding)

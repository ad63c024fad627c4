r"""GridConv: convolution on a grid of any dimension, the message that is weighted by relative position.

.. math:: x_i' = b + \sum_{u \in K} W_u \, x_{s i + u}

Law: equivariant to translations of a periodic grid, exactly; with stride s along an axis to shifts by multiples of s (a
subgroup), which move the result by one place each. On an open grid, where nothing reaches the padding.
Source: LeCun et al. (1989), Backpropagation Applied to Handwritten Zip Code Recognition, section 4 (weights shared over
places); Battaglia et al. (2018), Relational inductive biases, section 3 (as messages on a grid).
Differs: nothing; with torch, whose options and weights these are, it is cross-correlation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import MODES
from graphgdl.nn.grid_inputs import check_channels, kernel_options
from graphgdl.nn.grid_torch import convolve, weigh
from graphgdl.nn.sliding_window import SlidingWindow

Sizes = int | Sequence[int]


class GridConv(SlidingWindow):
    r"""A convolution over a `Grid`; options, weights and state dict are those of `torch.nn.Conv1d`, `Conv2d`, `Conv3d`.

    The features stay (n, c), nodes in row-major order, which is torch's channels-last layout: nothing is copied.

    Args:
        in_channels: size of each node's features.
        out_channels: size of the features at each place of the kernel.
        kernel_size: number of taps, one number or one for each axis.
        dim: number of axes d; default: from an option that has one number for each axis.
        stride: step of the kernel.
        padding: nodes added at both ends of an axis, or 'same' (stride 1), or 'valid'.
        dilation: step between taps.
        groups: number of groups of channels that do not see each other.
        padding_mode: 'zeros', 'circular', 'reflect' or 'replicate'; default: as the grid is, 'circular' along its
            periodic axes and 'zeros' along the open ones.
        bias: whether to learn a bias.

    Shapes:
        x (n, in_channels); structure a `Grid` of n nodes, or a batch of grids, also of unequal shapes
        -> (n', out_channels), the nodes of `conv.grid(structure)`.

    Raises:
        TypeError: `structure` is no `Grid`.
        ValueError: options that do not fit each other, the grid or `x`.

    Example:
        >>> conv = GridConv(1, 1, 3, dim=1, padding=1, bias=False)
        >>> _ = conv.weight.data.copy_(torch.tensor([[[1.0, 0.0, -1.0]]]))
        >>> x = torch.tensor([[0.0], [1.0], [4.0], [9.0]])
        >>> conv(x, Grid((4,))).flatten().tolist()
        [-1.0, -4.0, -8.0, 4.0]
        >>> conv(x, Grid((4,), periodic=True)).flatten().tolist()
        [8.0, -4.0, -8.0, 4.0]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        dim: int | None = None,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        padding_mode: str | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(aggr="add")
        options = kernel_options(dim, kernel_size, stride, dilation, padding)
        self.dim, self.kernel_size, self.stride, self.dilation, self.ends = options
        check_channels(groups, in_channels=in_channels, out_channels=out_channels)
        if padding_mode is not None and padding_mode not in MODES:
            raise ValueError(f"`padding_mode` must be one of {MODES} or None, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.padding_mode = padding_mode
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    @classmethod
    def from_torch(cls, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> GridConv:
        """Return the layer that computes what `conv` (a `Conv1d`, `Conv2d` or `Conv3d`) does; parameters are shared.

        Raises:
            TypeError: `conv` is none of these.
        """
        if type(conv) not in (nn.Conv1d, nn.Conv2d, nn.Conv3d):
            raise TypeError(f"`conv` must be a torch.nn.Conv1d, Conv2d or Conv3d, got {type(conv).__name__}")
        return cls._sharing(conv, "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")

    def message(self, x_j: Tensor, counts: tuple[int, ...]) -> Tensor:
        """Weight each message by its tap; the edges are sorted by tap, `counts` of them each."""
        weight = self.weight.view(self.groups, -1, *self.weight.shape[1:]).flatten(3)
        return weigh(x_j, counts, weight.permute(3, 0, 2, 1))

    def _by_torch(self, x: Tensor, structure: Grid) -> Tensor:
        return convolve(x, structure, self._window(structure), self.weight, self.bias, self.groups)

    def __repr__(self) -> str:
        options = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        return f"{type(self).__name__}({options})"

r"""GridPool: the largest or the mean value in a window that slides over a grid.

.. math:: x_i' = \max_{u \in K} x_{s i + u} \quad \text{or} \quad x_i' = \frac{1}{|K|} \sum_{u \in K} x_{s i + u}

Law: equivariant to translations of a periodic grid, exactly; with stride s along an axis to shifts by multiples of s (a
subgroup), which move the result by one place each. On an open grid, where nothing reaches the border.
Source: LeCun et al. (1998), Gradient-Based Learning Applied to Document Recognition, section II (sub-sampling); Boureau,
Ponce and LeCun (2010), A Theoretical Analysis of Feature Pooling in Visual Recognition (maximum and average).
Differs: nothing; options are torch's. Where two nodes of a window hold the maximum, the lowerings may give the gradient to
different ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import Window
from graphgdl.nn.grid_inputs import kernel_options
from graphgdl.nn.grid_torch import slide
from graphgdl.nn.sliding_window import SlidingWindow

Sizes = int | Sequence[int]

_MAXIMUM: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MODULES = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


class GridPool(SlidingWindow):
    r"""Pooling over a `Grid`; options are those of `torch.nn.MaxPool2d`, `AvgPool2d` and their kin.

    Args:
        kernel_size: number of nodes along an axis of the window, one number or one for each axis.
        aggr: 'max' or 'mean'.
        dim: number of axes d; default: from an option that has one number for each axis.
        stride: step of the window; default: its size, so that windows lie side by side.
        padding: places added at both ends of an axis, at most half of `kernel_size`; a maximum does not see them.
        dilation: step between the nodes of a window.
        count_include_pad: whether a mean counts the places added to an open axis, as zeros.
        padding_mode: 'zeros' refuses periodic axes that are padded, 'circular' open ones; default: as the grid is.
        ceil_mode: whether a last window counts that reaches beyond an open grid; a mean over it is of the nodes there are.

    Shapes:
        x (n, c); structure a `Grid` of n nodes, or a batch of grids, also of unequal shapes
        -> (n', c), the nodes of `pool.grid(structure)`.

    Raises:
        TypeError: `structure` is no `Grid`.
        ValueError: options that do not fit each other, the grid or `x`.

    Example:
        >>> import torch
        >>> x = torch.tensor([[3.0], [1.0], [4.0], [1.0]])
        >>> GridPool(2, dim=1)(x, Grid((4,))).flatten().tolist()
        [3.0, 4.0]
        >>> GridPool(3, "mean", dim=1, stride=1, padding=1)(x, Grid((4,), periodic=True)).sum().item()
        9.0
    """

    in_channels = None

    def __init__(
        self,
        kernel_size: Sizes,
        aggr: str = "max",
        dim: int | None = None,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        count_include_pad: bool = True,
        padding_mode: str | None = None,
        ceil_mode: bool = False,
    ) -> None:
        if aggr not in ("max", "mean"):
            raise ValueError(f"`aggr` must be 'max' or 'mean', got {aggr!r}")
        if isinstance(padding, str):
            raise ValueError(f"`padding` of a pooling must be numbers, got {padding!r}")
        if padding_mode not in (None, "zeros", "circular"):
            raise ValueError(f"`padding_mode` must be 'zeros', 'circular' or None, got {padding_mode!r}")
        options = kernel_options(dim, kernel_size, kernel_size if stride is None else stride, dilation, padding)
        padded = any(map(any, options.ends))
        if ceil_mode and aggr == "mean" and count_include_pad and padded:
            raise ValueError(
                f"`ceil_mode` does not go with a mean that counts its `padding`, got {padding}; pass count_include_pad=False"
            )
        count_include_pad = count_include_pad and not ceil_mode
        super().__init__(aggr="sum" if aggr == "mean" and count_include_pad else aggr)
        self.dim, self.kernel_size, self.stride, self.dilation, self.ends = options
        if any(before > k // 2 for (before, _), k in zip(self.ends, self.kernel_size)):
            raise ValueError(f"`padding` must be at most half of `kernel_size` {self.kernel_size}, got {padding}")
        self.reduce, self.count_include_pad, self.padding_mode = aggr, count_include_pad, padding_mode
        self.ceil_mode = ceil_mode

    @classmethod
    def from_torch(cls, pool: nn.Module) -> GridPool:
        """Return the layer that computes what `pool`, one of torch's `MaxPool` or `AvgPool` modules, does.

        Raises:
            TypeError: `pool` is none of these.
            ValueError: it has an option that is not known here.
        """
        if type(pool) not in _MODULES:
            raise TypeError(f"`pool` must be a torch.nn.MaxPool1d, ..., AvgPool3d, got {type(pool).__name__}")
        for name in ("return_indices", "divisor_override"):
            if getattr(pool, name, None):
                raise ValueError(
                    f"`{name}` of {type(pool).__name__} is not known to GridPool, got {getattr(pool, name)}"
                )
        at = _MODULES.index(type(pool))
        mean, dim = at > 2, at % 3 + 1
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad" if mean else "dilation")
        given: dict[str, Any] = {name: getattr(pool, name) for name in names}
        return cls(aggr="mean" if mean else "max", dim=dim, padding_mode="zeros", **given).train(pool.training)

    def reset_parameters(self) -> None:
        """Do nothing: there are no parameters."""

    def message(self, x_j: Tensor) -> Tensor:
        """Return the node as it is."""
        return x_j

    def update(self, inputs: Tensor) -> Tensor:
        """Divide a sum over the window by its size."""
        return inputs / math.prod(self.kernel_size) if self.reduce == "mean" and self.count_include_pad else inputs

    def no_convolution(self) -> str | None:
        """Return why torch's kernel would not compute this layer, or None."""
        if self.reduce == "mean" and any(d > 1 for d in self.dilation):
            return f"torch averages over windows without dilation, not {self.dilation}"
        return super().no_convolution()

    def _window(self, grid: Grid) -> Window:
        if self.ceil_mode and any(grid.periodic):
            raise ValueError(f"`ceil_mode` needs a grid that is open along every axis, got periodic={grid.periodic}")
        for axis, (d, ends) in enumerate(zip(self.dilation, self.ends)):
            if d == 1 or not any(ends) or grid.periodic[axis]:
                continue
            least = min(shape[axis] for shape in grid.shapes)
            if least < d:
                raise ValueError(
                    f"`dilation` {d} along axis {axis} steps over all of its {least} nodes, which leaves padded windows "
                    f"without a node; pad less or dilate less"
                )
        return super()._window(grid)._replace(ceil=self.ceil_mode)

    def _by_torch(self, x: Tensor, structure: Grid) -> Tensor:
        window = self._window(structure)

        def kernel(images: Tensor, padding: tuple[int, ...]) -> Tensor:
            if self.reduce == "max":
                return _MAXIMUM[self.dim](images, self.kernel_size, self.stride, padding, self.dilation, self.ceil_mode)
            options = (padding, self.ceil_mode, self.count_include_pad)
            return _AVERAGE[self.dim](images, self.kernel_size, self.stride, *options)

        return slide(x, structure, window, kernel)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kernel_size}, {self.reduce!r}, stride={self.stride})"

r"""SteerableConv: convolution of fields on a grid with kernels that turn as the fields do.

.. math:: x_i' = b + h^2 \sum_{u \in K} k(h u)\, x_{s i + u},
          \qquad k(g x) = \rho_{out}(g)\, k(x)\, \rho_{in}(g)^{-1}

Law: as of `GroupConv` for those g that map the lattice to itself, exactly (C_4 within C_8 or SO(2), D_4 within O(2)); for
other turns in the limit of a finer grid, with an error of order h^3 in the `spacing` h: the same weights, the same disc.
Source: Weiler & Cesa (2019), General E(2)-Equivariant Steerable CNNs, section 2.
Differs: kernels end within a disc, so that the limit holds; see `SteerableBasis` for the radial profiles.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphgdl.groups import FieldType, Law
from graphgdl.nn.planar_conv import PlanarConv
from graphgdl.nn.planar_laws import limit_laws, share_centre
from graphgdl.nn.steerable_weights import SteerableWeights

ORDER = 3
"""Power of the spacing with which at least the error of a turn falls."""


class SteerableConv(SteerableWeights, PlanarConv):
    """A convolution from fields of any representation of C_n, D_n, SO(2) or O(2) to fields of another.

    The kernel reaches (kernel_size + 1) / 2 places far, which is where it ends. A grid of half the spacing takes the same
    weights with 2 * kernel_size + 1 taps: 3 taps at spacing 1, 7 at 1 / 2, 15 at 1 / 4.

    Args:
        in_type: the fields of the input; ordinary channels are `scalars(c)`.
        out_type: the fields of the output.
        kernel_size: number of taps along both axes.
        stride, padding, dilation, padding_mode: one number for both axes; see `GridConv`.
        bias: whether to learn a bias, where the output's representation has invariants.
        spacing: distance of two taps, in units of the distance of the kernel's rings.
        max_frequency: largest angular frequency of the kernel; default: what taps at distance 1 resolve, see
            `SteerableBasis`.

    Shapes:
        x (n, in_type.size); structure a `Grid` of two axes, or a batch -> (n', out_type.size).

    Raises:
        TypeError: types of another group; `structure` is no `Grid`.
        ValueError: types of different groups; no kernel satisfies the constraint; options that do not fit each other, the
            grid or `x`.

    Example:
        >>> from graphgdl.domains import Grid
        >>> from graphgdl.groups import SO, frequency, scalars
        >>> arrows = FieldType(frequency(SO(2), 1))
        >>> conv = SteerableConv(scalars(1), arrows, 3, padding=1)
        >>> image, grid = torch.rand(5, 5), Grid((5, 5))
        >>> before, after = conv(image.view(25, 1), grid), conv(image.rot90().reshape(25, 1), grid)
        >>> quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
        >>> turned = arrows.act(quarter, before.view(5, 5, 2).rot90()).view(25, 2)  # places and arrows
        >>> torch.allclose(after, turned, atol=1e-5)
        True
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
        bias: bool = True,
        spacing: float = 1.0,
        max_frequency: int | None = None,
    ) -> None:
        super().__init__(in_type, out_type, kernel_size, stride, padding, dilation, padding_mode)
        if not spacing > 0:
            raise ValueError(f"`spacing` must be a distance above 0, got {spacing}")
        self._solve(spacing * (kernel_size + 1) / 2, max_frequency, bias)
        axis = spacing * (torch.arange(kernel_size, dtype=torch.float64) - (kernel_size - 1) / 2)
        self._at_taps = spacing**2 * self.basis.functions(torch.cartesian_prod(axis, axis)).T.contiguous()
        self.reset_parameters()

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return what holds on the grid, and in the limit where `data.spacing` says that `x` samples a smooth signal.

        The limit is stated of polynomials on an open grid without padding, so that no border counts.
        """
        laws, grid = super().laws(data), data.structure
        bordered = any(grid.periodic) or any(map(any, self.ends))
        if data.get("spacing") is None or bordered or grid.num_graphs != 1:
            return laws
        out = self.grid(grid)
        centred = share_centre(grid, out, self.stride[0], self.twice_center)
        return laws + limit_laws(grid, out, self.in_type, self.out_type, ORDER) if centred else laws

    def filters(self) -> Tensor:
        """Return the kernel at the taps (c_out, c_in, k, k)."""
        return (self.kernel() @ self.constant(self._at_taps)).unflatten(2, self.kernel_size)

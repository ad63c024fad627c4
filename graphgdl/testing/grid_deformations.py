"""Small smooth deformations of a signal on a grid, with their largest stretch as the size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphgdl.domains import Grid
from graphgdl.testing.grid_paths import GridPath


class GridDeformations(GridPath):
    r"""Small deformations x(p - tau(p)) by a random smooth field; the size is the largest stretch.

    .. math:: \tau(p) = \sum_{0 < |k|_\infty \le b} A_k \cos(2 \pi\, k \cdot p / N) + B_k \sin(2 \pi\, k \cdot p / N),
              \qquad \text{size} = \max_p \|\nabla \tau(p)\|_2

    over the nodes p, with normal A and B. An element is tau, float64 (n, d).

    Source: Mallat (2012), Group Invariant Scattering, section 2 (the size of a deformation, and what stable means);
    Bruna and Mallat (2013), Invariant Scattering Convolution Networks, section 2 (why the Fourier modulus is not).

    Args:
        grid: a grid of any number of axes.
        bandwidth: the largest number b of waves along an axis.

    Raises:
        ValueError: a batch of grids, or `bandwidth` below 1.

    Example:
        >>> path = GridDeformations(Grid((8, 8)))
        >>> tau = path.of_size(0.1, torch.Generator().manual_seed(0))
        >>> path.act(tau, torch.rand(64, 3)).shape
        torch.Size([64, 3])
    """

    def __init__(self, grid: Grid, bandwidth: int = 2) -> None:
        super().__init__(grid)
        if bandwidth < 1:
            raise ValueError(f"`bandwidth` must be a number of waves, at least 1, got {bandwidth}")
        self.bandwidth = bandwidth

    def of_size(self, size: float, generator: torch.Generator) -> Tensor:
        """Return a field whose largest stretch is `size`."""
        d, b = len(self.grid.shape), self.bandwidth
        waves = torch.cartesian_prod(*[torch.arange(-b, b + 1)] * d).view(-1, d)
        waves = waves[waves.any(dim=1)] * (2 * math.pi / torch.tensor(self.grid.shape, dtype=torch.float64))
        cosines, sines = torch.randn(2, len(waves), d, generator=generator, dtype=torch.float64)
        phase = self.nodes @ waves.T
        field = phase.cos() @ cosines + phase.sin() @ sines
        gradient = torch.einsum("nk,ka,kb->nab", phase.cos(), sines, waves)
        gradient -= torch.einsum("nk,ka,kb->nab", phase.sin(), cosines, waves)
        return field * (size / float(torch.linalg.matrix_norm(gradient, ord=2).max()))

    def source(self, g: Tensor) -> Tensor:
        """Return where the values come from."""
        return self.nodes - g

r"""Steerable kernels of the plane: all that satisfy the kernel constraint of a group, up to an angular frequency.

.. math:: k(g x) = \rho_{out}(g)\, k(x)\, \rho_{in}(g)^{-1}, \qquad
          k(x) = \sum_{j, m} R_{j m}(|x|) \left( C_{j m} \cos m \phi + S_{j m} \sin m \phi \right)

A turn mixes cos and sin of one frequency m alone, so that the constraint says of each (C, S): it is an invariant of
:math:`\rho_{out} \otimes \rho_{in} \otimes \text{frequency}(m)`.

Source: Weiler & Cesa (2019), General E(2)-Equivariant Steerable CNNs, section 2.
Differs: the constraint is solved numerically for any representation, not irrep by irrep from tables.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.groups import Group, Representation, frequency, invariants, tensor_product, trivial

WIDTH = 0.6
"""Standard deviation of the rings, in units of their distance."""


class SteerableBasis:
    r"""A basis of kernels within a disc: rings of Gaussian profile at a distance of 1, times circular harmonics.

    .. math:: R_{j m}(r) \propto e^{-(r - r_j)^2 / 2 w^2} \Big(1 - \frac{r^2}{a^2}\Big)^2
              \Big(\frac{r^2}{r^2 + w^2}\Big)^{m/2}

    The last factor makes the kernel continuous at the origin, the one before it ends at radius a. The outermost ring lies at
    a - 1. A kernel's square, integrated over the disc and averaged over the output's channels, is 1.

    Args:
        group: the turns; one that both representations are of.
        in_representation: how the channels of one input field transform.
        out_representation: how those of an output field do.
        reach: radius a of the disc, at least 1.
        max_frequency: largest m; default: 2 r_j on the ring at r_j, what a grid of spacing 1 resolves.

    Attributes:
        coefficients: float64 (b, out, in, h), each kernel as a sum of the h functions.

    Raises:
        ValueError: `reach` is below 1, or no kernel satisfies the constraint.
    """

    def __init__(
        self,
        group: Group,
        in_representation: Representation,
        out_representation: Representation,
        reach: float,
        max_frequency: int | None = None,
    ) -> None:
        rings = int(reach + 1e-6)
        if rings < 1:
            raise ValueError(f"`reach` must be at least 1, got {reach}; take a larger kernel, or a larger `spacing`")
        self.reach, self.functions_of = reach, []
        solved: dict[int, Tensor] = {}
        kernels = []
        for radius in (reach - rings + i for i in range(rings)):
            highest = int(2 * radius + 1e-6)
            for m in range((highest if max_frequency is None else min(highest, max_frequency)) + 1):
                if m not in solved:
                    angular = frequency(group, m) if m else trivial(group)
                    product = tensor_product([out_representation, in_representation, angular])
                    shape = (out_representation.size, in_representation.size, angular.size)
                    solved[m] = out_representation.size**0.5 * invariants(product).unflatten(1, shape)
                if len(solved[m]):
                    self.functions_of.append((radius, m, self._scale(radius, m)))
                    kernels.append(solved[m])
        if not kernels:
            raise ValueError(
                f"`max_frequency` must allow a kernel from {in_representation} to {out_representation}, got "
                f"{max_frequency} within radius {reach}; raise it, or the size of the kernel"
            )
        self.coefficients = _block_diagonal(kernels)

    def functions(self, x: Tensor) -> Tensor:
        """Return the functions at points x (n, 2) of the plane, (n, h): for each ring and frequency cos, then sin."""
        square = x.square().sum(dim=1)
        away = square > 0
        r = torch.where(away, square, 1.0).sqrt() * away  # at the origin every derivative is 0, not inf * 0
        smooth = (square + WIDTH**2).sqrt()
        cos, sin = x[:, 0] / smooth, x[:, 1] / smooth
        harmonics = [(torch.ones_like(r), torch.zeros_like(r))]
        for _ in range(max(m for _, m, _ in self.functions_of)):
            real, imaginary = harmonics[-1]
            harmonics.append((real * cos - imaginary * sin, real * sin + imaginary * cos))
        columns = []
        for radius, m, scale in self.functions_of:
            profile = scale * self._profile(r, radius)
            columns += [profile * part for part in harmonics[m][: 2 if m else 1]]
        return torch.stack(columns, dim=1)

    def _profile(self, r: Tensor, radius: float) -> Tensor:
        return (-(r - radius).square() / (2 * WIDTH**2)).exp() * (1 - (r / self.reach).square()).clamp(min=0).square()

    def _scale(self, radius: float, m: int) -> float:
        """One over the norm of a function over the disc, by the midpoint rule along the radius."""
        steps = 1000
        r = (torch.arange(steps, dtype=torch.float64) + 0.5) * self.reach / steps
        density = (self._profile(r, radius).square() * (r.square() / (r.square() + WIDTH**2)) ** m) * r
        circle = torch.pi * (1 if m else 2)
        return float((density.sum() * self.reach / steps * circle) ** -0.5)


def _block_diagonal(kernels: list[Tensor]) -> Tensor:
    """Return kernels (b_t, out, in, h_t) that share no function as one tensor (b, out, in, h)."""
    _, size_out, size_in, _ = kernels[0].shape
    rows, columns = sum(k.size(0) for k in kernels), sum(k.size(3) for k in kernels)
    out = torch.zeros(rows, size_out, size_in, columns, dtype=torch.float64)
    row = column = 0
    for k in kernels:
        out[row : row + k.size(0), :, :, column : column + k.size(3)] = k
        row, column = row + k.size(0), column + k.size(3)
    return out

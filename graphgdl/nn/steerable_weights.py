"""Mixin for steerable layers: weights that mix the kernels of two field types, and the bias that the output may have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphgdl.groups import Cyclic, FieldType, Group, Representation, invariants
from graphgdl.nn.memo import remembered
from graphgdl.nn.planar_laws import matrix_of, point_group
from graphgdl.nn.steerable_basis import SteerableBasis


class SteerableWeights(nn.Module):
    """A layer with one weight for each kernel of the basis and each pair of an output and an input field.

    Attributes:
        basis: the kernels, solved in float64 whatever the dtype of the weights.
        weight: (b, out_multiplicity, in_multiplicity).
        bias: (out_multiplicity, invariants of the output's representation), or None.
    """

    basis: SteerableBasis
    weight: nn.Parameter
    bias: nn.Parameter | None
    in_type: FieldType
    out_type: FieldType

    def _solve(self, reach: float, max_frequency: int | None, bias: bool) -> None:
        group = point_group(self.in_type, self.out_type)
        source, target = (_under(group, side.representation) for side in (self.in_type, self.out_type))
        self.basis = SteerableBasis(group, source, target, reach, max_frequency)
        self._steady = invariants(target)
        fields = (self.out_type.multiplicity, self.in_type.multiplicity)
        self.weight = nn.Parameter(torch.empty(len(self.basis.coefficients), *fields))
        learns = bias and len(self._steady) > 0
        self.bias = nn.Parameter(torch.empty(fields[0], len(self._steady))) if learns else None

    def reset_parameters(self) -> None:
        """Draw weights that keep the variance of white noise through a ReLU; no bias."""
        nn.init.normal_(self.weight, std=(2 / (self.weight.size(0) * self.weight.size(2))) ** 0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def kernel(self) -> Tensor:
        """Return the kernel as a sum of the basis' functions (c_out, c_in, h)."""
        coefficients = self.constant(self.basis.coefficients)
        mixed = torch.einsum("boi,bpqh->opiqh", self.weight, coefficients)
        return mixed.flatten(2, 3).flatten(0, 1)

    def biases(self) -> Tensor | None:
        """Return the bias of each channel (c_out,), which no turn changes."""
        return None if self.bias is None else (self.bias @ self.constant(self._steady)).flatten()

    def constant(self, exact: Tensor) -> Tensor:
        """Return an exact constant in the dtype and on the device of the weights."""
        dtype, device = self.weight.dtype, self.weight.device
        return remembered(exact, (dtype, device), lambda: exact.to(device, dtype, copy=True))


def _under(group: Group, representation: Representation) -> Representation:
    """Return the representation as one of `group`, under which ordinary channels stay."""
    if representation.group == group:
        return representation
    assert representation.group == Cyclic(1)
    return Representation(group, representation.size, "trivial", lambda g: matrix_of(representation, g))

"""What the convolutions of groups share: filters that are one weight, read in every turn of the group."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphgdl.groups import Cyclic, Dihedral
from graphgdl.nn.planar_conv import PlanarConv


class TurnedConv(PlanarConv):
    """A convolution to regular fields, one filter for each, and one bias; a layer says by `_learn` where turns read it.

    Attributes:
        weight: (out_multiplicity, in_multiplicity, ..., k, k).
        bias: (out_multiplicity,), or None.
    """

    _entry: Tensor

    def _learn(self, shape: tuple[int, ...], entry: Tensor, bias: bool) -> None:
        """Set up the parameters.

        Args:
            shape: of the weight, between the output's fields and the taps.
            entry: which entry of the weight stands at each tap, int64 (|H|, ..., k * k).
            bias: whether to learn one.
        """
        self.weight = nn.Parameter(torch.empty(self.out_type.multiplicity, *shape, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(self.out_type.multiplicity)) if bias else None
        self.register_buffer("_entry", entry, persistent=False)
        self.reset_parameters()

    def filters(self) -> Tensor:
        """Return the weights of the taps (c_out, c_in, k, k), the same numbers for each h, turned by it."""
        turned = self.weight.flatten(2).index_select(2, self._entry.flatten()).unflatten(2, self._entry.shape)
        # (out, in, h, ..., k * k) -> (c_out, c_in, k, k)
        return turned.transpose(1, 2).reshape(self.out_channels, self.in_channels, *self.kernel_size)

    def biases(self) -> Tensor | None:
        """Return the bias of each channel (c_out,)."""
        return None if self.bias is None else self.bias.repeat_interleave(self.out_type.representation.size)


def lattice_group(group: Cyclic | Dihedral) -> Cyclic | Dihedral:
    """Return the group; raise unless it turns the square lattice to itself.

    Raises:
        TypeError: neither C_n nor D_n.
        ValueError: another n than 1, 2 or 4.
    """
    if not isinstance(group, Dihedral):
        raise TypeError(f"`group` must be Cyclic(n) or Dihedral(n), got {group}")
    if group.n not in (1, 2, 4):
        raise ValueError(f"`group` must turn the square lattice to itself, n = 1, 2 or 4, got {group}")
    return group


def turned_taps(group: Dihedral, size: int) -> Tensor:
    """Return for each h and each tap u of a square kernel the tap at h^-1 u, int64 (|H|, size * size)."""
    taps = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    twice = 2 * taps - (size - 1)  # offsets from the centre, doubled
    back = [twice @ group.matrix(h).to(torch.int64) for h in group.elements()]  # rows times R are R^T u
    return torch.stack([(turned + size - 1) // 2 @ torch.tensor([size, 1]) for turned in back])

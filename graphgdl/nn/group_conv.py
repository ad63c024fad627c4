r"""GroupConv: group convolution over p4, p4m and their kin, the message that is weighted by relative pose.

.. math:: x_{p,h}' = b + \sum_{u \in K} \sum_{h' \in H} W_{h^{-1} h',\, h^{-1} u} \; x_{s p + u,\, h'}

The nodes of the group are (p, h), a place of the grid and an element of H; those of one place are its channels, as
`regular(H)` orders them. The weight depends on how (s p + u, h') lies as seen from (s p, h).

Law: equivariant to H and the shifts of a square torus, exactly (p4, p4m); on an open grid to H about its centre. With
stride s to those that map the output's places to themselves: on a torus of n nodes along each axis where s divides n, on
an open grid where s divides n + 2 padding - dilation (kernel_size - 1) - 1, which is n - 1 with 3 taps and padding 1.
Source: Cohen & Welling (2016), Group Equivariant Convolutional Networks, section 6.
Differs: nothing; also C_2, D_1, D_2, and C_1 (where it is a plain convolution).
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.groups import Cyclic, Dihedral, FieldType, regular
from graphgdl.nn.turned_conv import TurnedConv, lattice_group, turned_taps


class GroupConv(TurnedConv):
    """A convolution from regular fields to regular fields.

    Args:
        in_multiplicity: number of regular fields of the input.
        out_multiplicity: number of regular fields of the output.
        kernel_size: number of taps along both axes.
        group: the turns H, `Cyclic(n)` or `Dihedral(n)` with n = 1, 2 or 4.
        stride, padding, dilation, padding_mode: one number for both axes; see `GridConv`.
        bias: whether to learn a bias, one for each field.

    Shapes:
        x (n, in_multiplicity * |H|); structure a `Grid` of two axes, or a batch -> (n', out_multiplicity * |H|).

    Raises:
        TypeError: `structure` is no `Grid`.
        ValueError: a group that does not turn the lattice to itself; options that do not fit each other, the grid or `x`.

    Example:
        >>> from graphgdl.domains import Grid
        >>> conv = GroupConv(2, 3, 3, Dihedral(4), padding=1)
        >>> conv.in_type, conv.out_type
        (2 x regular of Dihedral(4), 3 x regular of Dihedral(4))
        >>> conv(torch.randn(25, 16), Grid((5, 5))).shape
        torch.Size([25, 24])
    """

    def __init__(
        self,
        in_multiplicity: int,
        out_multiplicity: int,
        kernel_size: int,
        group: Cyclic | Dihedral,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        padding_mode: str | None = None,
        bias: bool = True,
    ) -> None:
        fields = regular(lattice_group(group))
        in_type, out_type = FieldType(fields, in_multiplicity), FieldType(fields, out_multiplicity)
        super().__init__(in_type, out_type, kernel_size, stride, padding, dilation, padding_mode)
        self._learn((in_multiplicity, group.order), self._entries(group), bias)

    def _entries(self, group: Dihedral) -> Tensor:
        """Return where the weight of (h, h', u) stands among those of (h^-1 h', h^-1 u), int64 (|H|, |H|, k * k)."""
        elements = group.elements()
        number = {tuple(h.tolist()): i for i, h in enumerate(elements)}
        seen = [[number[tuple(group.compose(group.inverse(h), k).tolist())] for k in elements] for h in elements]
        taps = turned_taps(group, self.kernel_size[0])
        return torch.tensor(seen)[:, :, None] * taps.size(1) + taps[:, None]

r"""GroupLiftingConv: the first layer of a group convolutional network, from plain channels to one for each turn.

.. math:: x_{p,h}' = b + \sum_{u \in K} W_{h^{-1} u} \, x_{s p + u}

Law: as of `GroupConv`; the input's channels stay as they are.
Source: Cohen & Welling (2016), Group Equivariant Convolutional Networks, section 6.1.
Differs: nothing.
"""

from __future__ import annotations

from graphgdl.groups import Cyclic, Dihedral, FieldType, regular, scalars
from graphgdl.nn.turned_conv import TurnedConv, lattice_group, turned_taps


class GroupLiftingConv(TurnedConv):
    """A convolution from ordinary channels to regular fields: every filter in all its turns.

    Args:
        in_channels: size of each node's features.
        out_multiplicity: number of regular fields of the output.
        kernel_size: number of taps along both axes.
        group: the turns H, `Cyclic(n)` or `Dihedral(n)` with n = 1, 2 or 4.
        stride, padding, dilation, padding_mode: one number for both axes; see `GridConv`.
        bias: whether to learn a bias, one for each field.

    Shapes:
        x (n, in_channels); structure a `Grid` of two axes, or a batch -> (n', out_multiplicity * |H|).

    Raises:
        TypeError: `structure` is no `Grid`.
        ValueError: a group that does not turn the lattice to itself; options that do not fit each other, the grid or `x`.

    Example:
        >>> import torch
        >>> from graphgdl.domains import Grid
        >>> from graphgdl.groups import Cyclic
        >>> conv = GroupLiftingConv(1, 1, 3, Cyclic(4), padding=1, bias=False)
        >>> _ = conv.weight.data.copy_(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        >>> x = torch.zeros(9, 1)
        >>> x[4] = 1.0  # a point; the filter reads the place above, then left, below, right
        >>> conv(x, Grid((3, 3))).argmax(dim=0).tolist()
        [7, 5, 1, 3]
    """

    def __init__(
        self,
        in_channels: int,
        out_multiplicity: int,
        kernel_size: int,
        group: Cyclic | Dihedral,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        padding_mode: str | None = None,
        bias: bool = True,
    ) -> None:
        in_type, out_type = scalars(in_channels), FieldType(regular(lattice_group(group)), out_multiplicity)
        super().__init__(in_type, out_type, kernel_size, stride, padding, dilation, padding_mode)
        self._learn((in_channels,), turned_taps(group, kernel_size), bias)

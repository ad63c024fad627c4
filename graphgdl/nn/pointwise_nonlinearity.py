r"""PointwiseNonlinearity: one function of each channel, for representations that permute channels.

.. math:: x_{kc}' = \sigma(x_{kc})

Law: equivariant to the group of the channels, exactly, since a function applied to each channel commutes with
permutations of them; equivariant to permutations of the nodes.
Source: Cohen and Welling (2016), Group Equivariant Convolutional Networks, section 6.2.
Differs: nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from graphgdl.groups import FieldType
from graphgdl.nn.on_fields import OnFields


class PointwiseNonlinearity(OnFields):
    """A nonlinearity channel by channel.

    Args:
        field_type: type of the channels, of a representation that permutes them.
        act: the function.

    Shapes:
        x (n, field_type.size) -> (n, field_type.size).

    Raises:
        TypeError: `field_type` is no `FieldType`.
        ValueError: a representation that mixes channels; `x` has another number of channels.

    Example:
        >>> import torch
        >>> from graphgdl.groups import Cyclic, regular
        >>> relu = PointwiseNonlinearity(FieldType(regular(Cyclic(2)), 1))
        >>> relu(torch.tensor([[-1.0, 2.0]])).tolist()
        [[0.0, 2.0]]
    """

    def __init__(self, field_type: FieldType, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__(field_type)
        if not field_type.representation.permutes:
            raise ValueError(
                f"`field_type` must have a representation that permutes its channels, got {field_type}, whose channels "
                f"mix; take `NormNonlinearity` or `GatedNonlinearity`"
            )
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Return the new features."""
        self.in_type.copies(x)
        return self.act(x)

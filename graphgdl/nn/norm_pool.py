r"""NormPool: the length of each copy, which no element of the group changes.

.. math:: x_k' = \sqrt{|x_k|^2 + \epsilon}

Law: invariant under the group of the channels, exactly, for any orthogonal representation; equivariant to permutations of
the nodes.
Source: Weiler and Cesa (2019), General E(2)-Equivariant Steerable CNNs (invariant maps).
Differs: a small constant under the root, so that every derivative exists at 0.
"""

from __future__ import annotations

from torch import Tensor

from graphgdl.groups import FieldType, trivial
from graphgdl.nn.on_fields import OnFields


class NormPool(OnFields):
    """Lengths of the copies: channels of any type become channels that do not transform.

    Args:
        field_type: type of the channels.
        eps: added to the square of the length.

    Shapes:
        x (n, field_type.size) -> (n, field_type.multiplicity).

    Raises:
        TypeError: `field_type` is no `FieldType`.
        ValueError: `x` has another number of channels.

    Example:
        >>> import torch
        >>> from graphgdl.groups import SO, standard
        >>> NormPool(FieldType(standard(SO(2)), 2))(torch.tensor([[3.0, 4.0, 0.0, 1.0]])).tolist()
        [[5.0, 1.0]]
    """

    def __init__(self, field_type: FieldType, eps: float = 1e-8) -> None:
        super().__init__(field_type)
        self.out_type = FieldType(trivial(field_type.group), field_type.multiplicity)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return one invariant for each copy."""
        return (self.in_type.copies(x).square().sum(dim=-1) + self.eps).sqrt()

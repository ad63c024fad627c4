r"""GatedNonlinearity: each copy times a gate, computed from the lengths of all copies.

.. math:: x_k' = \sigma\Big(\sum_l W_{kl} |x_l|^2 + b_k\Big)\, x_k

Law: equivariant to the group of the channels, exactly, for any orthogonal representation, since the gates are invariant;
equivariant to permutations of the nodes.
Source: Weiler et al. (2018), 3D Steerable CNNs (gates from scalar fields).
Differs: the scalars are the squared lengths of the copies themselves, so that no further channels are needed.
"""

from __future__ import annotations

from torch import Tensor, nn

from graphgdl.groups import FieldType
from graphgdl.nn.on_fields import OnFields


class GatedNonlinearity(OnFields):
    """The gated nonlinearity.

    Args:
        field_type: type of the channels.

    Shapes:
        x (n, field_type.size) -> (n, field_type.size).

    Raises:
        TypeError: `field_type` is no `FieldType`.
        ValueError: `x` has another number of channels.

    Example:
        >>> import torch
        >>> from graphgdl.groups import SO, standard
        >>> gated = GatedNonlinearity(FieldType(standard(SO(2)), 2))
        >>> _ = gated.gate.weight.data.zero_(), gated.gate.bias.data.zero_()
        >>> gated(torch.tensor([[2.0, 4.0, 6.0, 8.0]])).tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """

    def __init__(self, field_type: FieldType) -> None:
        super().__init__(field_type)
        self.gate = nn.Linear(field_type.multiplicity, field_type.multiplicity)

    def reset_parameters(self) -> None:
        """Draw the weights of the gates anew."""
        self.gate.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Return the new features."""
        copies = self.in_type.copies(x)
        gates = self.gate(copies.square().sum(dim=-1)).sigmoid()
        return (copies * gates[..., None]).flatten(-2)

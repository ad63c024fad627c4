r"""NormNonlinearity: a function of the length of each copy; its direction stays.

.. math:: x_k' = \frac{\sigma(r_k + b_k)}{r_k}\, x_k, \qquad r_k = \sqrt{|x_k|^2 + \epsilon}

Law: equivariant to the group of the channels, exactly, for any orthogonal representation, since the length is invariant;
equivariant to permutations of the nodes.
Source: Worrall et al. (2017), Harmonic Networks: Deep Translation and Rotation Equivariance.
Differs: a small constant under the root, so that every derivative exists at 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphgdl.groups import FieldType
from graphgdl.nn.on_fields import OnFields


class NormNonlinearity(OnFields):
    """The norm nonlinearity, with one bias for each copy.

    Args:
        field_type: type of the channels.
        act: the function of the length.
        eps: added to the square of the length.

    Shapes:
        x (n, field_type.size) -> (n, field_type.size).

    Raises:
        TypeError: `field_type` is no `FieldType`.
        ValueError: `x` has another number of channels.

    Example:
        >>> from graphgdl.groups import SO, standard
        >>> relu = NormNonlinearity(FieldType(standard(SO(2))))
        >>> _ = relu.bias.data.fill_(-4.0)
        >>> out = relu(torch.tensor([[3.0, 4.0], [2.0, 1.0]]))
        >>> assert torch.allclose(out, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    """

    def __init__(self, field_type: FieldType, act: Callable[[Tensor], Tensor] = F.relu, eps: float = 1e-8) -> None:
        super().__init__(field_type)
        self.act, self.eps = act, eps
        self.bias = nn.Parameter(torch.empty(field_type.multiplicity))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the biases to 0."""
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the new features."""
        copies = self.in_type.copies(x)
        length = (copies.square().sum(dim=-1) + self.eps).sqrt()
        return (copies * (self.act(length + self.bias) / length)[..., None]).flatten(-2)

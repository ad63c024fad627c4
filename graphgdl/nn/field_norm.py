r"""FieldNorm: batch normalisation with one scale for each copy of a representation.

.. math:: x_k' = \frac{\gamma_k}{\sqrt{v_k + \epsilon}}\, (x_k - m_k 1) + \beta_k 1, \qquad
          v_k = \operatorname{mean}_{i, c} (x_{ikc} - m_k)^2

with the mean :math:`m_k` over nodes and channels, where the representation permutes its channels, and with
:math:`m_k = \beta_k = 0` elsewhere, since the vector of ones is then not invariant.

Law: equivariant to the group of the channels, exactly, in training and in evaluation; equivariant to permutations of
the nodes. In training the nodes of a batch see each other.
Source: Cohen and Welling (2016), Group Equivariant Convolutional Networks (moments shared over the group); Weiler and
Cesa (2019), General E(2)-Equivariant Steerable CNNs.
Differs: nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphgdl.groups import FieldType
from graphgdl.nn.on_fields import OnFields


class FieldNorm(OnFields):
    """Batch normalisation copy by copy; on scalars it is `torch.nn.BatchNorm1d`.

    Args:
        field_type: type of the channels.
        eps: added to the variance.
        momentum: weight of the newest batch in the running moments that evaluation uses.

    Shapes:
        x (n, field_type.size) -> (n, field_type.size).

    Raises:
        TypeError: `field_type` is no `FieldType`.
        ValueError: `x` has another number of channels; one value for each copy in training.

    Example:
        >>> from graphgdl.groups import SO, standard
        >>> norm = FieldNorm(FieldType(standard(SO(2))))
        >>> norm(torch.tensor([[3.0, 4.0], [4.0, -3.0]])).square().mean().round(decimals=4).item()
        1.0
    """

    running_mean: Tensor | None
    running_var: Tensor

    def __init__(self, field_type: FieldType, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(field_type)
        self.eps, self.momentum, copies = eps, momentum, field_type.multiplicity
        self.weight = nn.Parameter(torch.empty(copies))
        self.bias = nn.Parameter(torch.empty(copies)) if field_type.representation.permutes else None
        self.register_buffer("running_mean", None if self.bias is None else torch.empty(copies))
        self.register_buffer("running_var", torch.empty(copies))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set scales and running variances to 1, biases and running means to 0."""
        for ones in (self.weight, self.running_var):
            nn.init.ones_(ones)
        for zeros in (self.running_mean, self.bias):
            if zeros is not None:
                nn.init.zeros_(zeros)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features."""
        copies = self.in_type.copies(x)
        mean, var = self._moments(copies) if self.training else (self.running_mean, self.running_var)
        scale = (self.weight * (var + self.eps).rsqrt())[:, None]
        if mean is None or self.bias is None:
            return (copies * scale).flatten(-2)
        return ((copies - mean[:, None]) * scale + self.bias[:, None]).flatten(-2)

    def _moments(self, copies: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return mean, if there is one, and variance (copies,) of the batch, and let the running ones follow."""
        values = copies.movedim(-2, 0).flatten(1)  # (copies, n * channels)
        count = values.size(1)
        if count < 2:
            raise ValueError(f"`x` must hold at least 2 values for each copy in training, got {count}; call `eval()`")
        if self.running_mean is None:
            var = values.square().mean(dim=1)
            self._follow(self.running_var, var)
            return None, var
        mean = values.mean(dim=1)
        var = (values - mean[:, None]).square().mean(dim=1)
        self._follow(self.running_mean, mean)
        self._follow(self.running_var, var * count / (count - 1))  # unbiased, as torch has it
        return mean, var

    def _follow(self, running: Tensor, newest: Tensor) -> None:
        running.lerp_(newest.detach().to(running), self.momentum)

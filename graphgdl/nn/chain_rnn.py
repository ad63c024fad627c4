r"""ChainRNN: the plain recurrence along chains.

.. math:: h_i = \tanh\Big(W x_i + b + U \sum_{j \to i} h_j + b'\Big)

Law: as `ChainLSTM`.    Power: sees the order of the nodes.
Source: Elman (1990), Finding Structure in Time.
Differs: tanh or ReLU in the place of the logistic function, and two biases, as in `torch.nn.RNN`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from graphgdl.nn.chain_kernel import Kernel
from graphgdl.nn.recurrence import Recurrence


class ChainRNN(Recurrence):
    r"""The RNN of `torch.nn.RNN` along a batch of chains of any lengths; parameters and names are torch's.

    Arguments, shapes and errors are those of `graphgdl.nn.ChainLSTM`, but that the state is one tensor h.

    Args:
        *args: see `graphgdl.nn.ChainLSTM`.
        nonlinearity: 'tanh' or 'relu'.
        **kwargs: as `args`.

    Example:
        >>> from graphgdl.domains import Chain
        >>> layer = ChainRNN(3, 4, bidirectional=True)
        >>> out, h = layer(torch.rand(5, 3), Chain([0, 2, 5]), return_state=True)
        >>> assert out.shape == (5, 8) and torch.equal(h[1], out[[0, 2], 4:])
    """

    gates: ClassVar[int] = 1

    def __init__(self, *args: Any, nonlinearity: str = "tanh", **kwargs: Any) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"`nonlinearity` must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(*args, **kwargs)
        self.nonlinearity = nonlinearity

    def cell(self, x: Tensor, state: Tensor, weights: list[Tensor]) -> Tensor:
        """Return h."""
        w_ih, w_hh, *bias = weights
        b_ih, b_hh = bias or (None, None)
        return getattr(torch, self.nonlinearity)(F.linear(x, w_ih, b_ih) + F.linear(state, w_hh, b_hh))

    def kernel(self) -> Kernel:
        """Return torch's kernel."""
        return torch._VF.rnn_tanh if self.nonlinearity == "tanh" else torch._VF.rnn_relu

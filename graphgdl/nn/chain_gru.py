r"""ChainGRU: a gated recurrent unit along chains.

.. math:: r = \sigma(W_r x_i + b_r + U_r h + b_r'), \qquad z = \sigma(W_z x_i + b_z + U_z h + b_z'), \qquad
          h_i = z \odot h + (1 - z) \odot \tanh(W_n x_i + b_n + r \odot (U_n h + b_n'))

with :math:`h = \sum_{j \to i} h_j`, the predecessor's state.

Law: as `ChainLSTM`.    Power: sees the order of the nodes.
Source: Cho et al. (2014), Learning Phrase Representations using RNN Encoder-Decoder, eq. 5-8.
Differs: the reset gate acts after the product with U_n, and both biases are there, as in `torch.nn.GRU`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from graphgdl.nn.chain_kernel import Kernel
from graphgdl.nn.recurrence import Recurrence


class ChainGRU(Recurrence):
    r"""The GRU of `torch.nn.GRU` along a batch of chains of any lengths; parameters, names and gates are torch's.

    Arguments, shapes and errors are those of `graphgdl.nn.ChainLSTM`, but that the state is one tensor h.

    Example:
        >>> from graphgdl.domains import Chain
        >>> layer = ChainGRU(3, 4, num_layers=2)
        >>> out, h = layer(torch.rand(5, 3), Chain([0, 2, 5]), return_state=True)
        >>> assert out.shape == (5, 4) and torch.equal(h[1], out[[1, 4]])
    """

    gates: ClassVar[int] = 3

    def cell(self, x: Tensor, state: Tensor, weights: list[Tensor]) -> Tensor:
        """Return h."""
        w_ih, w_hh, *bias = weights
        b_ih, b_hh = bias or (None, None)
        r_x, z_x, n_x = F.linear(x, w_ih, b_ih).chunk(3, dim=1)
        r_h, z_h, n_h = F.linear(state, w_hh, b_hh).chunk(3, dim=1)
        z = (z_x + z_h).sigmoid()
        return z * state + (1 - z) * (n_x + (r_x + r_h).sigmoid() * n_h).tanh()

    def kernel(self) -> Kernel:
        """Return torch's kernel."""
        return torch._VF.gru

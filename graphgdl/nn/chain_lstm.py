r"""ChainLSTM: a long short-term memory along chains.

.. math:: (i, f, g, o) = W x_i + b + U h_{j \to i} + b', \qquad
          c_i = \sigma(f) \odot c_{j \to i} + \sigma(i) \odot \tanh(g), \qquad h_i = \sigma(o) \odot \tanh(c_i)

with :math:`h_{j \to i} = \sum_{j \to i} h_j`, the predecessor's state, and likewise for c.

Law: equivariant to permutations of the nodes together with their chain edges; causal; a disjoint union of chains maps to
the union of the outputs; a chain that waits in a state which its cell maps to itself may wait longer (time shift).
Power: sees the order of the nodes, which a permutation-invariant readout does not.
Source: Hochreiter and Schmidhuber (1997), Long Short-Term Memory; forget gate of Gers et al. (2000).
Differs: both biases of `torch.nn.LSTM` are kept, so that state dicts interchange; there is no projection.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from graphgdl.nn.chain_kernel import Kernel
from graphgdl.nn.recurrence import Recurrence


class ChainLSTM(Recurrence):
    r"""The LSTM of `torch.nn.LSTM` along a batch of chains of any lengths; parameters, names and gates are torch's.

    Differs: torch's projections (`proj_size`) are not offered.

    Lowering `'rnn'`: torch's kernels, for a `Chain`. Chains of unequal length are cut into blocks and hardly padded;
    with `return_state` nothing is padded.

    Args:
        in_channels: size of each node's features.
        hidden_channels: size of the state, and of the output in each direction.
        num_layers: number of layers, each reading the outputs of the one before.
        bias: whether to learn biases.
        dropout: share of the outputs dropped between layers in training.
        bidirectional: whether each layer also reads every chain from its end.

    Shapes:
        x (n, in_channels); edge_index a `Chain` of g chains, or edges (2, e), `EdgeIndex`, `SparseTensor` or torch sparse
        that form disjoint chains; hx None or (h_0, c_0), each (num_layers * directions, g, hidden_channels)
        -> (n, directions * hidden_channels), and with `return_state` also (h_n, c_n) in the shape of `hx`.
        `hx` and `return_state` need a `Chain`. A chain without nodes keeps its initial state.

    Raises:
        ValueError: sizes that do not fit, edges that are no chains; TypeError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> from graphgdl.domains import Chain
        >>> layer = ChainLSTM(3, 4)
        >>> out, (h, c) = layer(torch.rand(5, 3), Chain([0, 2, 5]), return_state=True)
        >>> assert out.shape == (5, 4) and torch.equal(h[0], out[[1, 4]])
        >>> twin = torch.nn.LSTM(3, 4)
        >>> _ = twin.load_state_dict(layer.state_dict())
    """

    gates: ClassVar[int] = 4
    state_names: ClassVar[tuple[str, ...]] = ("h_0", "c_0")
    overhead: ClassVar[int] = 128

    def cell(self, x: Tensor, state: Tensor, weights: list[Tensor]) -> Tensor:
        """Return h and c, side by side."""
        w_ih, w_hh, *bias = weights
        b_ih, b_hh = bias or (None, None)
        h, c = state.chunk(2, dim=1)
        i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c], dim=1)

    def kernel(self) -> Kernel:
        """Return torch's kernel."""
        return torch._VF.lstm

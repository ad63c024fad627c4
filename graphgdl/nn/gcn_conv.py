r"""GCNConv: neighbours averaged with symmetric degree normalisation.

.. math:: X' = \hat D^{-1/2} \hat A \hat D^{-1/2} X \Theta + b, \qquad
          x_i' = \Theta^\top \sum_{j \in N(i) \cup \{i\}} \frac{w_{ji}}{\sqrt{\hat d_j \hat d_i}} x_j + b

with :math:`\hat A = A + I` and :math:`\hat d_i = 1 + \sum_j w_{ji}`.

Law: equivariant to node permutations; x' of a disjoint union is the union of the x'.
Power: at most 1-WL.
Source: Kipf and Welling (2017), Semi-Supervised Classification with Graph Convolutional Networks, eq. 2.
Differs: nothing. PyG 2.8 ignores `improved` for a tensor `edge_index` without `edge_weight`; here it always holds.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from graphgdl.nn.dense import dense
from graphgdl.nn.inputs import edges_of, plain
from graphgdl.nn.lowering import Lowered
from graphgdl.nn.memo import remembered
from graphgdl.nn.self_loops import with_self_loops


class GCNConv(Lowered, pyg.GCNConv):
    r"""The graph convolution of Kipf and Welling; options and state dict are PyG's.

    The edges with their self-loops, and without `edge_weight` the degrees too, are remembered on the `edge_index`
    tensor; the degrees of given weights are computed at each call, and the gradient reaches the weights.
    A self-loop that is there keeps its weight; on the diagonal of a `SparseTensor` it is overwritten, as in PyG.

    Args:
        in_channels: size of each input sample, -1 to take it from the first input.
        out_channels: size of each output sample.
        improved: use :math:`\hat A = A + 2 I`.
        cached: keep the first normalisation for every later graph (transductive learning only).
        add_self_loops: default: as `normalize`.
        normalize: whether to normalise at all.
        bias: whether to learn b.
        **kwargs: see `torch_geometric.nn.MessagePassing`.

    Shapes:
        x (n, in_channels); edge_index (2, e), `EdgeIndex`, `SparseTensor`, torch sparse (n, n), or a structure;
        edge_weight (e,) or None -> (n, out_channels).

    Raises:
        TypeError, ValueError: see `graphgdl.nn.inputs.edges_of`.

    Example:
        >>> import torch
        >>> conv = GCNConv(1, 1, bias=False)
        >>> _ = conv.lin.weight.data.fill_(1.0)
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])  # two nodes, both of degree 2 with their self-loop
        >>> out = conv(torch.tensor([[1.0], [3.0]]), edge_index)
        >>> assert torch.allclose(out, torch.tensor([[2.0], [2.0]]))
    """

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """Return the new node features (n, out_channels)."""
        edge_index = edges_of(edge_index, x, edge_weight=edge_weight)
        sparse = isinstance(edge_index, SparseTensor)
        own = self._customised() is not None or self._sparse_form_is_own()
        if sparse and edge_weight is None and not self.cached and not own:
            edge_index, edge_weight = plain(edge_index)
        elif sparse or is_torch_sparse_tensor(edge_index):
            return super().forward(x, edge_index, edge_weight)
        if self.improved and edge_weight is None:
            edge_weight = x.new_ones(edge_index.size(1))
        if not self.normalize or self.cached or isinstance(x, tuple | list):
            return super().forward(x, edge_index, edge_weight)
        edges, weight = self._normalise(plain(edge_index)[0], edge_weight, x, keep_loops=not sparse)
        out = self.propagate(edges, x=dense(self.lin, x), edge_weight=weight)
        return out if self.bias is None else out + self.bias

    def _normalise(
        self, edge_index: Tensor, given: Tensor | None, x: Tensor, keep_loops: bool
    ) -> tuple[Tensor, Tensor]:
        n = int(x.shape[self.node_dim])
        end = 1 if self.flow == "source_to_target" else 0
        looped = with_self_loops(edge_index, n) if self.add_self_loops else None
        edges = edge_index if looped is None else looped.edge_index
        if given is None:
            key = ("gcn_norm", n, end, x.dtype)
            return edges, remembered(edges, key, lambda: _scaled(edges, x.new_ones(edges.size(1)), n, end))
        weight = given.view(-1)
        weight = weight if looped is None else looped.weights(weight, 2.0 if self.improved else 1.0, keep_loops)
        return edges, _scaled(edges, weight, n, end)


def _scaled(edges: Tensor, weight: Tensor, n: int, end: int) -> Tensor:
    """Divide each weight by the square roots of the degrees of its two nodes; degrees are sums over `edges[end]`."""
    degree = weight.new_zeros(n).index_add(0, edges[end], weight)
    scale = degree.pow(-0.5).masked_fill(degree == 0, 0.0)
    return scale[edges[0]] * weight * scale[edges[1]]

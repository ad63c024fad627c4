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
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from graphgdl import ops
from graphgdl.nn.inputs import edges_of, plain
from graphgdl.nn.lowering import Lowered, Lowering
from graphgdl.nn.memo import remembered


def _fused(layer: Lowered, edge_index: Tensor, num_dst: int, x: Tensor, edge_weight: Tensor | None) -> Tensor:
    weight = None if edge_weight is None else edge_weight.view(-1)
    return ops.gather_scatter(x, edge_index, num_dst, weight, layer.reduce)


class GCNConv(Lowered, pyg.GCNConv, lowerings={"fused": Lowering(_fused)}):
    r"""The graph convolution of Kipf and Welling; options and state dict are PyG's.

    Without `edge_weight` the normalised edges are remembered on the `edge_index` tensor, so that only the first call
    computes degrees; with it they are computed at each call, and the gradient reaches the weights.

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
        if sparse and edge_weight is None and not self.cached and self._customised() is None:
            edge_index, edge_weight = plain(edge_index)
            if self.add_self_loops:
                edge_index, edge_weight = _without_loops(edge_index, edge_weight)
        elif sparse or is_torch_sparse_tensor(edge_index):
            return super().forward(x, edge_index, edge_weight)
        if not self.normalize or isinstance(x, tuple | list):
            return super().forward(x, edge_index, edge_weight)
        edge_index, _ = plain(edge_index)
        if self.improved and edge_weight is None:
            edge_weight = x.new_ones(edge_index.size(1))
        if self.cached or edge_weight is not None:
            return super().forward(x, edge_index, edge_weight)
        options = (x.size(self.node_dim), self.improved, self.add_self_loops, self.flow, x.dtype)

        def normalise() -> tuple[Tensor | None, Tensor]:
            edges, weight = gcn_norm(edge_index, None, *options)
            return (None if edges is edge_index else edges), weight  # what is remembered must not hold its own key

        edges, weight = remembered(edge_index, ("gcn_norm", *options), normalise)
        out = self.propagate(edge_index if edges is None else edges, x=self.lin(x), edge_weight=weight)
        return out if self.bias is None else out + self.bias


def _without_loops(edge_index: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Drop the diagonal of a sparse adjacency, which PyG overwrites with ones; both results stay the same objects."""

    def split() -> tuple[Tensor, Tensor] | None:
        keep = edge_index[0] != edge_index[1]
        return None if bool(keep.all()) else (edge_index[:, keep], keep)

    kept = remembered(edge_index, "loop-free", split)
    if kept is None:
        return edge_index, weight
    return kept[0], None if weight is None else weight[kept[1]]

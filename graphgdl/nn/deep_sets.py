r"""Deep Sets: what can be said of a set by sums over its elements.

.. math:: r = \rho\Big(\sum_{j \in \text{set}} \phi(x_j)\Big), \qquad
          x_i' = \Lambda x_i + \Gamma \bigoplus_{j \in \text{set}(i)} x_j + b

Law: `DeepSets` is invariant, `DeepSetsConv` equivariant to permutations within each set; sets of a batch do not mix.
Power: the sum with wide enough networks is universal for continuous invariant functions; mean and max forget
multiplicities.
Source: Zaheer et al. (2017), Deep Sets, theorem 2 and lemma 3.
Differs: the nonlinearity of the equivariant layer is left to the caller; element and set have full matrices, not scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn.conv import MessagePassing

from graphgdl.domains.structure import Complete
from graphgdl.nn.lowering import Call, Lowered
from graphgdl.nn.on_structure import CompiledOnEdges, OnStructure, check_sets, graph_of, why_not_sets
from graphgdl.nn.readout import global_add_pool, global_max_pool, global_mean_pool

_POOLS = {"sum": global_add_pool, "mean": global_mean_pool, "max": global_max_pool}


class DeepSets(nn.Module):
    """The invariant form: a network of the sum of a network of the elements.

    Args:
        local_nn: the network phi, (n, c) -> (n, ...).
        global_nn: the network rho, (g, ...) -> (g, ...); None leaves the sums.
        reduce: 'sum', 'mean' or 'max' over the set.

    Shapes:
        x (n, c); structure `Complete` -> (g, ...); what is pooled over an empty set is 0.

    Raises:
        ValueError: an unknown `reduce`.
        TypeError, ValueError: see `graphgdl.nn.on_structure.check_sets`.

    Example:
        >>> import torch
        >>> pool = DeepSets(nn.Identity())
        >>> pool(torch.tensor([[1.0], [2.0], [4.0]]), Complete([0, 2, 3])).tolist()
        [[3.0], [4.0]]
    """

    def __init__(self, local_nn: nn.Module, global_nn: nn.Module | None = None, reduce: str = "sum") -> None:
        super().__init__()
        self.local_nn = local_nn
        self.global_nn = global_nn
        self.reduce = _check_reduce("reduce", reduce)

    def forward(self, x: Tensor, structure: Complete) -> Tensor:
        """Return one vector for each set."""
        check_sets(structure, x)
        out = _POOLS[self.reduce](self.local_nn(x), structure.batch, structure.num_graphs)
        return out if self.global_nn is None else self.global_nn(out)


class Pooled:
    """Pool each set once and hand the result to its elements."""

    def prepare(self, layer: Lowered, call: Call) -> Callable[[], Tensor] | str:
        """Return what runs the sum over the set, or the reason why the graph is not whole sets."""
        structure: Any = call.edges
        reason = why_not_sets(layer, structure)
        return partial(_pool, call.inputs["x"], structure, str(layer.aggr)) if reason is None else reason


def _pool(x: Tensor, structure: Complete, reduce: str) -> Tensor:
    batch = structure.batch
    return _POOLS[reduce](x, batch, structure.num_graphs)[batch]


class DeepSetsConv(OnStructure, MessagePassing):
    """The equivariant form: each element sees itself and its whole set.

    On `Complete(ptr)` the lowering `'pooled'` builds no edge; on any other graph the set is the neighbourhood.

    Args:
        in_channels: size of each element.
        out_channels: size of each result.
        aggr: 'sum', 'mean' or 'max' over the set.
        bias: whether to learn a bias.

    Shapes:
        x (n, in_channels); edge_index (2, e), `EdgeIndex`, `SparseTensor`, torch sparse, or a structure
        -> (n, out_channels).

    Raises:
        ValueError: an unknown `aggr`.
        TypeError, ValueError: see `graphgdl.nn.on_structure.graph_of`.

    Example:
        >>> import torch
        >>> conv, x = DeepSetsConv(2, 3), torch.rand(3, 2)
        >>> out = conv(x, Complete([0, 2, 3]))
        >>> assert torch.allclose(out[2], conv.lin(x[2]) + conv.lin_set(x[2]))
    """

    lowerings = {"pooled": Pooled(), "compiled": CompiledOnEdges()}  # noqa: RUF012

    def __init__(self, in_channels: int, out_channels: int, aggr: str = "sum", bias: bool = True) -> None:
        super().__init__(aggr=_check_reduce("aggr", aggr))
        self.in_channels, self.out_channels = in_channels, out_channels
        self.lin = nn.Linear(in_channels, out_channels, bias)
        self.lin_set = nn.Linear(in_channels, out_channels, bias=False)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.lin.reset_parameters()
        self.lin_set.reset_parameters()

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        """Return the new features."""
        return self.lin(x) + self.lin_set(self.propagate(graph_of(edge_index, x), x=x))

    def message(self, x_j: Tensor) -> Tensor:
        """Return the element as it is."""
        return x_j


def _check_reduce(name: str, reduce: str) -> str:
    if reduce not in _POOLS:
        raise ValueError(f"`{name}` must be one of {list(_POOLS)}, got {reduce!r}")
    return reduce

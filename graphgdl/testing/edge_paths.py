"""Small changes of a graph: edges that go missing, weights that are off. An edge and its reverse change together."""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.testing.paths import T


class EdgePath:
    """Changes of the edges of one graph; outputs stay as they are.

    Args:
        edge_index: int64 (2, e), the edges of the graph that will be changed.

    Raises:
        ValueError: another shape.
    """

    def __init__(self, edge_index: Tensor) -> None:
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(f"`edge_index` must have shape (2, e), got {tuple(edge_index.shape)}")
        ends = edge_index.sort(dim=0).values
        pairs, self.pair = ends.unique(dim=1, return_inverse=True)
        self.num_pairs, self.num_edges = pairs.size(1), edge_index.size(1)

    def check(self, num_edges: int) -> None:
        """Raise ValueError for a graph with another number of edges."""
        if num_edges != self.num_edges:
            raise ValueError(f"`x` must have the {self.num_edges} edges of the path, got {num_edges}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_edges} edges)"


class EdgeDropping(EdgePath):
    """Remove a share of the edges; an element says which stay, bool (e,).

    Args:
        edge_index: int64 (2, e), the edges of the graph that will be changed.

    Raises:
        ValueError: another shape.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> path = EdgeDropping(data.edge_index)
        >>> path.act(path.of_size(0.5, torch.Generator().manual_seed(0)), data).num_edges
        2
    """

    def of_size(self, size: float, generator: torch.Generator) -> Tensor:
        """Return which edges stay when the share `size` of them goes, to the nearest number of edges.

        Raises:
            ValueError: not a share.
        """
        if not 0 <= size <= 1:
            raise ValueError(f"`size` must be a share of the edges, in 0 .. 1, got {size}")
        order = torch.randperm(
            self.num_pairs, generator=generator
        )  # the same for every size: more edges join the fewer
        dropped = torch.zeros(self.num_pairs, dtype=torch.bool)
        dropped[order[: round(size * self.num_pairs)]] = True
        return ~dropped[self.pair]

    def act(self, g: Tensor, x: T) -> T:
        """Remove the edges from a `Data`, with their attributes; an output stays.

        Raises:
            ValueError: another number of edges.
        """
        if isinstance(x, Tensor):
            return x
        self.check(x.num_edges)
        return x.edge_subgraph(g)


class EdgeWeightNoise(EdgePath):
    r"""Change each weight by up to a share of it: w (1 + size u), u uniform in -1 .. 1; an element is the factor, (e,).

    Source: Gama, Bruna and Ribeiro (2020), Stability Properties of Graph Neural Networks (relative perturbations).

    Args:
        edge_index: int64 (2, e), the edges of the graph that will be changed.

    Raises:
        ValueError: another shape.

    Example:
        >>> path = EdgeWeightNoise(torch.tensor([[0, 1], [1, 0]]))
        >>> factor = path.of_size(0.1, torch.Generator().manual_seed(0))
        >>> bool(factor[0] == factor[1]), bool((factor - 1).abs().max() <= 0.1)
        (True, True)
    """

    def of_size(self, size: float, generator: torch.Generator) -> Tensor:
        """Return the factors, float64 (e,)."""
        u = 2 * torch.rand(self.num_pairs, generator=generator, dtype=torch.float64) - 1
        return (1 + size * u)[self.pair]

    def act(self, g: Tensor, x: T) -> T:
        """Change the `edge_weight` of a `Data`; an output stays.

        Raises:
            ValueError: no weights, or another number of edges.
        """
        if isinstance(x, Tensor):
            return x
        self.check(x.num_edges)
        if x.get("edge_weight") is None:
            raise ValueError("`x` must have `edge_weight` (e,) to change, got none; ones stand for no weights")
        out = x.clone()
        out.edge_weight = x.edge_weight * g.to(x.edge_weight)
        return out

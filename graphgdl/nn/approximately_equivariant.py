r"""A layer that may leave its symmetry, at a price, and says how far it went.

.. math:: y = f_{\text{eq}}(x) + f_{\text{free}}(x), \qquad
          \text{penalty} = \frac{|\theta_{\text{free}}|^2}{2 \sigma^2}, \qquad
          \text{departure} = \frac{\|f_{\text{free}}(x)\|}{\|f_{\text{eq}}(x)\| + \|f_{\text{free}}(x)\|}

The symmetric part is free of charge, so that what it can explain it does; the penalty, added to the loss, is the negative
logarithm of a normal prior with standard deviation sigma on the parameters of the free part, up to a constant.

Law: none of its own; what both parts keep, and the law of the symmetric part up to the size of the free one.
Source: Finzi, Benton and Wilson (2021), Residual Pathway Priors for Soft Equivariance Constraints.
Differs: the prior on the symmetric part is flat; theirs is normal too, and wider.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.groups import Law


class ApproximatelyEquivariant(nn.Module):
    """The sum of a layer that keeps a symmetry and one that need not.

    Args:
        equivariant: the layer that keeps the symmetry.
        free: a layer that takes the same input and gives an output of the same shape.
        sigma: standard deviation of the prior on the parameters of `free`; a smaller one keeps closer to the symmetry.

    Shapes:
        x (n, ...); edge_index (2, e), a structure, or nothing for layers of x alone; further inputs by name
        -> what both parts give.

    Attributes:
        in_type, out_type, in_channels, out_channels, heads, concat, dim, grid: those of `equivariant`, where it has them.

    Raises:
        ValueError: `sigma` is not positive, or outputs of two shapes.

    Example:
        >>> block = ApproximatelyEquivariant(nn.Identity(), nn.Linear(2, 2, bias=False))
        >>> _ = nn.init.eye_(block.free.weight)
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> block(x).tolist(), block.departure(x), block.penalty().item()
        ([[2.0, 4.0]], 0.5, 1.0)
    """

    def __init__(self, equivariant: nn.Module, free: nn.Module, sigma: float = 1.0) -> None:
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"`sigma` must be a standard deviation above 0, got {sigma}")
        self.equivariant, self.free, self.sigma = equivariant, free, sigma
        for name in ("in_type", "out_type", "in_channels", "out_channels", "heads", "concat", "dim"):
            if hasattr(equivariant, name):
                setattr(self, name, getattr(equivariant, name))

    @property
    def grid(self) -> Any:
        """How a layer on grids says where its output lives, see `GridConv.grid`; no other layer has it."""
        return self.equivariant.grid

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return the laws that both parts state: a sum keeps what its terms keep."""
        parts: tuple[Any, Any] = (self.equivariant, self.free)
        stated = [part.laws(data) if hasattr(part, "laws") else () for part in parts]
        free = {repr(law) for law in stated[1]}
        return tuple(law for law in stated[0] if repr(law) in free)

    def forward(self, x: Tensor, edge_index: Any = None, **kwargs: Any) -> Tensor:
        """Return the sum of both parts."""
        kept, added = self._parts(x, edge_index, **kwargs)
        return kept + added

    def penalty(self) -> Tensor:
        """Return what the free part costs, to be added to a loss summed over the data set, a negative log likelihood."""
        return sum((p.square().sum() for p in self.free.parameters()), torch.zeros(())) / (2 * self.sigma**2)

    def departure(self, x: Tensor, edge_index: Any = None, **kwargs: Any) -> float:
        """Return the share of the free part in the output for this input, in [0, 1].

        Under an element g that keeps norms, the block misses its law by no more than the free part at x and at g.x. A free
        part may also add what is symmetric, which `graphgdl.testing.equivariance_curve` does not count.
        """
        with torch.no_grad():
            kept, added = (float(torch.linalg.vector_norm(part)) for part in self._parts(x, edge_index, **kwargs))
        return added / (kept + added) if added else 0.0

    def _parts(self, x: Tensor, edge_index: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        args = (x,) if edge_index is None else (x, edge_index)
        kept, added = self.equivariant(*args, **kwargs), self.free(*args, **kwargs)
        if kept.shape != added.shape:
            raise ValueError(
                f"`equivariant` and `free` must give outputs of one shape, got {tuple(kept.shape)} and {tuple(added.shape)}"
            )
        return kept, added

r"""GroupPool: the maximum or mean over the turns at each place, the map from regular fields to plain channels.

.. math:: x_p' = \max_{h \in H} x_{p,h} \quad \text{or} \quad \frac{1}{|H|} \sum_{h \in H} x_{p,h}

Law: invariant to H acting on the channels, exactly; places move as those of the input.
Source: Cohen & Welling (2016), Group Equivariant Convolutional Networks, section 6.3.
Differs: any representation that permutes its channels will do, such as a quotient.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.groups import FieldType, Law, scalars
from graphgdl.nn.grid_laws import grid_of
from graphgdl.nn.planar_laws import planar_laws


class GroupPool(nn.Module):
    """Pool each copy of a permuted representation to one channel.

    Args:
        in_type: the fields; their representation permutes channels (`regular`, `quotient`).
        reduce: 'max' or 'mean'.

    Shapes:
        x (n, in_type.size) -> (n, in_type.multiplicity).

    Raises:
        ValueError: a representation that does not permute its channels, an unknown `reduce`, or `x` of another size.

    Example:
        >>> import torch
        >>> from graphgdl.groups import Cyclic, regular
        >>> GroupPool(FieldType(regular(Cyclic(2)), 2))(torch.tensor([[1.0, 3.0, 5.0, 2.0]])).tolist()
        [[3.0, 5.0]]
    """

    def __init__(self, in_type: FieldType, reduce: str = "max") -> None:
        super().__init__()
        if not in_type.representation.permutes:
            raise ValueError(
                f"`in_type` must be of a representation that permutes its channels, such as regular, got {in_type}"
            )
        if reduce not in ("max", "mean"):
            raise ValueError(f"`reduce` must be 'max' or 'mean', got {reduce!r}")
        self.in_type, self.out_type, self.reduce = in_type, scalars(in_type.multiplicity), reduce

    def forward(self, x: Tensor) -> Tensor:
        """Return one channel for each field."""
        if x.dim() != 2 or x.size(1) != self.in_type.size:
            raise ValueError(f"`x` must have shape (n, {self.in_type.size}) to be {self.in_type}, got {tuple(x.shape)}")
        fields = x.unflatten(1, (self.in_type.multiplicity, -1))
        return fields.amax(dim=2) if self.reduce == "max" else fields.mean(dim=2)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return what holds on the grid `data.structure`; nothing for a batch, see `planar_laws`."""
        grid = grid_of(data)
        return planar_laws(grid, grid, self.in_type, self.out_type)

    def __repr__(self) -> str:
        return f"GroupPool({self.in_type}, reduce={self.reduce!r})"

r"""SteerablePointConv: convolution of fields on points of the plane, with kernels that turn as the fields do.

.. math:: x_i' = b + \sum_{j \in N(i)} k\!\left(\frac{p_j - p_i}{r / n}\right) x_j,
          \qquad k(g x) = \rho_{out}(g)\, k(x)\, \rho_{in}(g)^{-1}

Law: equivariant to the group of the types, acting on positions and fields, and to translations, exactly: there is no
lattice.
Source: Weiler & Cesa (2019), General E(2)-Equivariant Steerable CNNs, section 2 (the kernel constraint).
Differs: the paper's kernels are sampled on a pixel grid, here at the points' distances.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.data import Data

from graphgdl.groups import Cyclic, FieldAction, FieldType, Law, Motions, Pullback, trivial
from graphgdl.groups.field_action import Action
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.laws import permutation_laws
from graphgdl.nn.lowering import Lowered
from graphgdl.nn.planar_laws import point_group
from graphgdl.nn.steerable_weights import SteerableWeights


class SteerablePointConv(SteerableWeights, Lowered):
    """A convolution on planar point clouds from fields of one representation to fields of another.

    Args:
        in_type: the fields of the input; ordinary channels are `scalars(c)`.
        out_type: the fields of the output.
        radius: where the kernel ends; edges longer than that add nothing.
        rings: number n of radial profiles, at 0, 1, ... (n - 1) n-ths of the radius.
        bias: whether to learn a bias, where the output's representation has invariants.
        max_frequency: largest angular frequency; default: see `SteerableBasis`.
        aggr: 'add', or 'mean' over the neighbours.

    Shapes:
        x (n, in_type.size); pos (n, 2); edge_index (2, e) -> (n, out_type.size).

    Raises:
        TypeError: types of another group.
        ValueError: types of different groups; no kernel satisfies the constraint; options or inputs that do not fit.

    Example:
        >>> import torch
        >>> from graphgdl.groups import SO, frequency, scalars
        >>> conv = SteerablePointConv(scalars(1), FieldType(frequency(SO(2), 1)), radius=2.0, rings=2)
        >>> pos = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> edge_index = torch.tensor([[1], [0]])
        >>> arrow = conv(torch.ones(2, 1), pos, edge_index)[0]
        >>> turned = conv(torch.ones(2, 1), pos.flip(1) * torch.tensor([-1.0, 1.0]), edge_index)[0]
        >>> torch.allclose(turned, torch.stack([-arrow[1], arrow[0]]))
        True
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        radius: float,
        rings: int = 3,
        bias: bool = True,
        max_frequency: int | None = None,
        aggr: str = "add",
    ) -> None:
        if aggr not in ("add", "mean"):
            raise ValueError(f"`aggr` must be 'add' or 'mean', which commute with turns of the fields, got {aggr!r}")
        super().__init__(aggr=aggr)
        if not radius > 0:
            raise ValueError(f"`radius` must be a distance above 0, got {radius}")
        if rings < 1:
            raise ValueError(f"`rings` must be a number of radial profiles, at least 1, got {rings}")
        self.in_type, self.out_type, self.radius, self.rings = in_type, out_type, radius, rings
        self._solve(rings, max_frequency, bias)
        self.reset_parameters()

    def forward(self, x: Tensor, pos: Tensor, edge_index: Any) -> Tensor:
        """Return the output's fields (n, out_type.size)."""
        edge_index = edges_of(edge_index, x)
        if x.dim() != 2 or x.size(1) != self.in_type.size:
            raise ValueError(f"`x` must have shape (n, {self.in_type.size}) to be {self.in_type}, got {tuple(x.shape)}")
        if pos.shape != (x.size(0), 2):
            raise ValueError(f"`pos` must have shape ({x.size(0)}, 2), points of the plane, got {tuple(pos.shape)}")
        return self.propagate(edge_index, x=x, pos=pos)

    def message(self, x_j: Tensor, pos_i: Tensor, pos_j: Tensor) -> Tensor:
        """Multiply the neighbour's channels with the functions of its relative position, (e, c_in * h)."""
        functions = self.basis.functions((pos_j - pos_i) * (self.rings / self.radius))
        return (x_j[:, :, None] * functions[:, None]).flatten(1)

    def update(self, inputs: Tensor) -> Tensor:
        """Weigh the sums: the kernel is linear in its functions, so that once for each node is enough."""
        out, bias = inputs @ self.kernel().flatten(1).T, self.biases()
        return out if bias is None else out + bias

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return permutations of the points, and the group of the types with all translations of the plane."""
        group = point_group(self.in_type, self.out_type)
        motions = Motions(group)
        fields: dict[str, Action] = {"pos": motions}
        if self.in_type.group == group:
            fields["x"] = Pullback(motions, motions.turn, self.in_type)
        steady = self.out_type.representation in (trivial(group), trivial(Cyclic(1)))
        action = FieldAction(motions, fields, output=None if steady else Pullback(motions, motions.turn, self.out_type))
        turns = "" if group == Cyclic(1) else f"{group} and "
        law = Law(action, f"{turns}translations of the plane", invariant=steady)
        return (*permutation_laws(self, data), law)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_type}, {self.out_type}, radius={self.radius}, rings={self.rings})"

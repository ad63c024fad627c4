"""Invariants: the vectors that a representation leaves where they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphgdl.groups.finite import Cyclic, Dihedral
from graphgdl.groups.group import FiniteGroup, Group
from graphgdl.groups.orthogonal import SO, O
from graphgdl.groups.representation import Representation


def invariants(representation: Representation) -> Tensor:
    r"""Return an orthonormal basis, float64 (b, size), of the invariant vectors of a representation.

    .. math:: \rho(g)\, v = v \quad \text{for all } g

    They are the common null space of rho(g) - 1 over generators g. For SO(2) the turn by one radian is one: no multiple
    of it is a whole turn. The basis does not depend on how the null space was computed: it is what Gram-Schmidt makes of
    the columns of the projector onto it, in their order.

    Args:
        representation: of a finite group, SO(2) or O(2).

    Raises:
        TypeError: another group.

    Example:
        >>> from graphgdl.groups import Cyclic, SO, frequency, regular, tensor_product
        >>> invariants(regular(Cyclic(4))).round(decimals=9).tolist()
        [[0.5, 0.5, 0.5, 0.5]]
        >>> turning = frequency(SO(2), 3)
        >>> invariants(turning).shape, invariants(tensor_product([turning, turning])).shape
        (torch.Size([0, 2]), torch.Size([2, 4]))
    """
    one = torch.eye(representation.size, dtype=torch.float64)
    moves = torch.cat([representation.matrix(g) - one for g in _generators(representation.group)])
    _, singular, rows = torch.linalg.svd(moves)
    null = rows[int((singular > 1e-7).sum()) :]
    basis = one[:0]
    for column in null.T @ null:
        left = column - basis.T @ (basis @ column)
        if left.norm() > 1e-6 and len(basis) < len(null):
            left = left - basis.T @ (basis @ left)  # once more, for what rounding left
            basis = torch.cat([basis, (left / left.norm())[None]])
    return basis


def _generators(group: Group) -> list[Tensor]:
    match group:
        case Cyclic():
            return [torch.tensor([1 % group.n, 0])]
        case Dihedral():
            return [torch.tensor([1 % group.n, 0]), torch.tensor([0, 1])]
        case O() if group.d == 2:
            cos, sin = math.cos(1), math.sin(1)
            turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
            flip = torch.tensor([[1, 0], [0, -1]], dtype=torch.float64)
            return [turn] if isinstance(group, SO) else [turn, flip]
        case FiniteGroup():
            return group.elements()
    raise TypeError(f"`representation` must be of a finite group, SO(2) or O(2), got {group}")

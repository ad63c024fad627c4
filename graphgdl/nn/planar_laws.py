"""What layers on grids of two axes promise: which turns, reflections and shifts of the grid their fields follow."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import torch
from torch import Tensor

from graphgdl.domains.structure import Grid
from graphgdl.groups import (
    SO,
    Cyclic,
    Dihedral,
    FieldAction,
    FieldType,
    Group,
    LatticeStabilizer,
    Law,
    O,
    PolynomialSignal,
    Pullback,
    Representation,
    Semidirect,
    Signal,
    Translations,
    Turns,
)
from graphgdl.groups.law import Kind
from graphgdl.groups.signals import GridSymmetries

Embedding = Callable[[Tensor], Tensor]
DEGREE = 4
"""Degree of the polynomials of a limit: the lowest that shows for any fields that the square lattice is not round."""


def point_group(in_type: FieldType, out_type: FieldType) -> Dihedral | O:
    """Return the group that mixes the channels of a layer: that of the side whose channels transform.

    Raises:
        TypeError: a group that is none of C_n, D_n, SO(2), O(2).
        ValueError: both sides transform, under different groups.
    """
    found = [side.group for side in (in_type, out_type) if side.group != Cyclic(1)] or [Cyclic(1)]
    group = found[0]
    if group != found[-1]:
        raise ValueError(f"`in_type` and `out_type` must have one group, got {in_type} and {out_type}")
    if not isinstance(group, Dihedral) and not (isinstance(group, O) and group.d == 2):
        raise TypeError(f"`in_type` and `out_type` must be of Cyclic(n), Dihedral(n), SO(2) or O(2), got {group}")
    return group


def matrix_of(representation: Representation, g: Tensor) -> Tensor:
    """Return the matrix of g; ordinary channels, of `Cyclic(1)`, do not move under any group."""
    if representation.group == Cyclic(1):
        return torch.eye(representation.size, dtype=torch.float64)
    return representation.matrix(g)


def planar_laws(
    grid: Grid, out: Grid, in_type: FieldType, out_type: FieldType, step: int = 1, twice_center: int = 0
) -> tuple[Law, ...]:
    """Return the laws of a layer that computes place i of `out` around place `step` i + `twice_center` / 2 of `grid`.

    None where the places of `out` are not symmetric about the centre of an open grid, or no turn maps it to itself; where
    the grid is open along one axis and periodic along the other; or where it is a batch: the law is that of each grid.
    """
    if grid.num_graphs != 1 or len(set(grid.periodic)) > 1 or grid.periodic != out.periodic:
        return ()
    group = point_group(in_type, out_type)
    point, embed = _on_lattice(group, square=len(set(grid.shape)) == 1)
    fine: Group
    coarse: GridSymmetries
    image: Embedding
    if grid.periodic[0]:
        whole = Semidirect(Translations(grid.shape, periodic=True), point)
        stabilizer = LatticeStabilizer(whole, step, twice_center)
        fine, coarse, image = stabilizer, stabilizer.lattice, stabilizer.coarse
        statement = f"{point} with shifts of the torus" + (f" that keep one place in {step}" if step > 1 else "")
    elif point.order > 1 and share_centre(grid, out, step, twice_center):
        fine, coarse, image = Turns(grid.shape, point), Turns(out.shape, point), torch.clone
        statement = f"{point} about the centre of the grid"
    else:
        return ()
    x = Signal(_channels(fine, in_type, embed))
    y = Pullback(fine, image, Signal(_channels(coarse, out_type, embed)))
    kind: Kind = "exact" if step == 1 and point == group else "subgroup"
    return (Law(FieldAction(fine, {"x": x}, output=y), statement, kind),)


def share_centre(grid: Grid, out: Grid, step: int, twice_center: int) -> bool:
    """Whether the places of `out`, as in `planar_laws`, lie symmetric about the centre of an open grid."""
    return all(step * (m - 1) + twice_center == n - 1 for n, m in zip(grid.shape, out.shape))


def limit_laws(grid: Grid, out: Grid, in_type: FieldType, out_type: FieldType, order: float) -> tuple[Law, ...]:
    """Return the law of all turns about the centre of both grids, of polynomials: the error falls at this order.

    None for C_n or D_n that map the lattice to itself, and where `out` is too small to tell what polynomial it samples.
    """
    group = point_group(in_type, out_type)
    if min(out.shape) <= DEGREE or (isinstance(group, Dihedral) and 4 % group.n == 0):
        return ()
    x, y = (
        PolynomialSignal(_channels(group, fields, torch.clone), about_center(shape), DEGREE)
        for fields, shape in ((in_type, grid.shape), (out_type, out.shape))
    )
    statement = f"{group} about the centre, of polynomials of degree {DEGREE}"
    return (Law(FieldAction(group, {"x": x}, output=y), statement, "limit", order=order),)


def about_center(shape: tuple[int, ...]) -> Tensor:
    """Return the places of a grid about its centre, float64 (n, 2)."""
    return Translations(shape).places - (torch.tensor(shape, dtype=torch.float64) - 1) / 2


def _on_lattice(group: Group, square: bool) -> tuple[Dihedral, Embedding]:
    """Return the elements of a group that map the grid to itself, as C_n or D_n, and as elements of the group."""
    if isinstance(group, Dihedral):
        n = gcd(group.n, 4 if square else 2)
        faster = torch.tensor([group.n // n, 1])
        return type(group)(n), lambda g: g * faster
    turns = (Cyclic if isinstance(group, SO) else Dihedral)(4 if square else 2)
    return turns, turns.matrix


def _channels(group: Group, fields: FieldType, embed: Embedding) -> Representation:
    """Return how the channels move under symmetries of a grid, whose elements end in those of its point group."""
    copies = torch.eye(fields.multiplicity, dtype=torch.float64)

    def matrix(g: Tensor) -> Tensor:
        return torch.kron(copies, matrix_of(fields.representation, embed(g[-2:])))

    return Representation(group, fields.size, f"{fields}", matrix)

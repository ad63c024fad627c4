"""Representations: how a vector of channels transforms under a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from graphgdl.groups.group import Group
from graphgdl.groups.permutation import Permutation


@runtime_checkable
class Linear(Protocol):
    """A group whose elements have a linear part: those of isometries of R^d, and turns of a grid."""

    d: int

    def matrix(self, g: Tensor) -> Tensor:
        """Return the linear part of g, float64 (d, d)."""


class Representation:
    r"""A homomorphism from a group to orthogonal matrices.

    .. math:: \rho(g h) = \rho(g) \rho(h), \qquad \rho(g)^\top \rho(g) = 1

    Built by `trivial`, `sign`, `standard`, `frequency`, `regular`, `quotient`, and from others by `direct_sum` and
    `tensor_product`. Two are equal if group, name and size are.

    Args:
        group: the group.
        size: number of channels.
        name: what it is; it says how the matrices follow from the group.
        matrix: g -> float64 (size, size).
        permutes: whether every matrix is a permutation matrix, so that any function may be applied channel by channel.

    Raises:
        ValueError: `size` is not positive.

    Example:
        >>> from graphgdl.groups import Cyclic, direct_sum
        >>> rho = direct_sum([trivial(Cyclic(4)), standard(Cyclic(4))])
        >>> rho
        trivial ⊕ standard of Cyclic(4)
        >>> rho.act(torch.tensor([1, 0]), torch.tensor([[5.0, 1.0, 0.0]])).tolist()
        [[5.0, 0.0, 1.0]]
    """

    def __init__(
        self, group: Group, size: int, name: str, matrix: Callable[[Tensor], Tensor], permutes: bool = False
    ) -> None:
        if size < 1:
            raise ValueError(f"`size` must be a number of channels, at least 1, got {size}")
        self.group, self.size, self.name, self.permutes = group, size, name, permutes
        self._matrix = matrix

    def matrix(self, g: Tensor) -> Tensor:
        """Return the matrix of g, float64 (size, size)."""
        return self._matrix(g).contiguous()  # torch.kron refuses a transposed factor beside a plain one

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """Transform floating x (..., size) along its last axis.

        Raises:
            TypeError: x is not floating.
            ValueError: another number of channels.
        """
        if not x.is_floating_point():
            raise TypeError(f"`x` must be floating to transform by {self}, got {x.dtype}; cast it")
        if x.dim() == 0 or x.size(-1) != self.size:
            raise ValueError(f"`x` must have shape (..., {self.size}) to transform by {self}, got {tuple(x.shape)}")
        return x @ self.matrix(g).T.to(x)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Representation) and (self.name, self.size) == (other.name, other.size)
        return same and isinstance(other, Representation) and self.group == other.group

    def __hash__(self) -> int:
        return hash((self.group, self.name, self.size))

    def __repr__(self) -> str:
        return f"{self.name} of {self.group}"


def trivial(group: Group) -> Representation:
    """Return one channel that does not change: g -> 1."""
    return Representation(group, 1, "trivial", lambda g: torch.ones(1, 1, dtype=torch.float64), permutes=True)


def sign(group: Group) -> Representation:
    """Return one channel that changes sign under reflections, or under odd permutations: g -> det(g).

    Raises:
        TypeError: a group whose elements have no determinant.
    """
    if isinstance(group, Permutation):
        return Representation(group, 1, "sign", lambda g: _parity(group, g).view(1, 1))
    linear = _linear(group)
    return Representation(group, 1, "sign", lambda g: _det(linear.matrix(g)).view(1, 1))


def standard(group: Group) -> Representation:
    """Return the vectors of R^d: g -> its linear part.

    Raises:
        TypeError: a group whose elements have no linear part.
    """
    linear = _linear(group)
    return Representation(group, linear.d, "standard", linear.matrix)


def frequency(group: Group, k: int) -> Representation:
    r"""Return two channels that turn k times as fast as the plane: R(\theta) F^s -> R(k \theta) F^s, F = diag(1, -1).

    Over SO(2) and O(2) these, `trivial` and `sign` are all irreducible representations. Frequency 1 is `standard`.

    Raises:
        TypeError: a group whose elements have no linear part.
        ValueError: the group does not move a plane, or `k` is no positive integer.
    """
    linear = _linear(group)
    if linear.d != 2:
        raise ValueError(f"`group` must move a plane to have frequencies, got {group} in dimension {linear.d}")
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"`k` must be a frequency, an integer of at least 1, got {k}; frequency 0 is `trivial`")

    if k == 1:
        return standard(group)

    def matrix(g: Tensor) -> Tensor:
        moved = linear.matrix(g)
        flip = torch.ones(2, dtype=moved.dtype, device=moved.device)
        flip[1] = _det(moved)
        return torch.linalg.matrix_power(moved * flip, k) * flip

    return Representation(group, 2, f"frequency({k})", matrix)


def _det(matrix: Tensor) -> Tensor:
    return torch.linalg.det(matrix).sign()


def _parity(group: Permutation, g: Tensor) -> Tensor:
    group.inverse(g)  # checks that g is an element
    inversions = (g[:, None] > g).triu(1).sum()
    return 1.0 - 2.0 * (inversions % 2).to(torch.float64)


def _linear(group: Group) -> Linear:
    if not isinstance(group, Linear):
        raise TypeError(f"`group` must move vectors by a matrix, as O(3) does, got {group}")
    return group

"""Representations from representations: direct sums, tensor products, and those of one factor of a direct product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch

from graphgdl.groups.group import Group
from graphgdl.groups.product import DirectProduct
from graphgdl.groups.representation import Representation


def direct_sum(parts: Sequence[Representation]) -> Representation:
    """Return the channels of all parts one after another: g -> block diagonal.

    Raises:
        ValueError: no part, or parts of different groups.
    """
    parts = tuple(parts)
    group = _common_group(parts)
    return Representation(
        group,
        sum(part.size for part in parts),
        " ⊕ ".join(part.name for part in parts),
        lambda g: torch.block_diag(*(part.matrix(g) for part in parts)),
        permutes=all(part.permutes for part in parts),
    )


def tensor_product(parts: Sequence[Representation]) -> Representation:
    """Return the products of one channel of each part, the last part's running fastest: g -> Kronecker product.

    Raises:
        ValueError: no part, or parts of different groups.
    """
    parts = tuple(parts)
    group = _common_group(parts)
    return Representation(
        group,
        math.prod(part.size for part in parts),
        " ⊗ ".join(_name(part, "⊕") for part in parts),
        lambda g: reduce(torch.kron, (part.matrix(g) for part in parts)),
        permutes=all(part.permutes for part in parts),
    )


def inflation(group: DirectProduct, factor: int, representation: Representation) -> Representation:
    """Return a representation of one factor of a direct product as one of the product; the other factors do nothing.

    Raises:
        ValueError: no such factor, or a representation of another group.
    """
    if not 0 <= factor < len(group.factors):
        raise ValueError(f"`factor` must lie in 0 .. {len(group.factors) - 1}, got {factor}")
    if representation.group != group.factors[factor]:
        raise ValueError(f"`representation` must be of {group.factors[factor]}, factor {factor}, got {representation}")
    return Representation(
        group,
        representation.size,
        f"{_name(representation, '⊕⊗')} of factor {factor}",
        lambda g: representation.matrix(group.split(g)[factor]),
        representation.permutes,
    )


def _name(part: Representation, weaker: str) -> str:
    return f"({part.name})" if any(sign in part.name for sign in weaker) else part.name


def _common_group(parts: Sequence[Representation]) -> Group:
    if not parts:
        raise ValueError("`parts` must hold at least one representation, got none")
    for part in parts:
        if part.group != parts[0].group:
            raise ValueError(f"`parts` must be representations of one group, got {parts[0]} and {part}")
    return parts[0].group

r"""Irreducible representations of SO(3) and O(3), in e3nn's basis: how spherical harmonics transform.

.. math:: Y^l(R x) = D^l(R)\, Y^l(x), \qquad
          D^l(R)_{mn} = (2 l + 1) \sum_{a b c d} w^l_{abm}\, D^{l-1}(R)_{ac}\, R_{bd}\, w^l_{cdn}

with the Wigner 3j symbols w of l - 1, 1 and l. The recursion is a polynomial in R: it has no angles, and so loses no digit
where two of them fall together, near the identity and half turns.

Source: Wigner (1959), Group Theory, chapter 17 (coupling); e3nn (basis: Y^1(x) = x in the order x, y, z; Wigner 3j).
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphgdl.groups.group import Group
from graphgdl.groups.representation import Linear, Representation, _linear, sign, standard, trivial


def irrep(group: Group, degree: int, parity: int | None = None) -> Representation:
    """Return the 2 l + 1 channels of degree l: e3nn's `Irrep(l, p)`.

    Args:
        group: moves space: `SO(3)`, `O(3)`, `SE(3)`, `E(3)`, ...
        degree: l.
        parity: p, by which the channels are multiplied under x -> -x; default: (-1)^l, that of spherical harmonics. Over
            rotations alone it makes no difference.

    Raises:
        TypeError: a group whose elements have no linear part.
        ValueError: the group does not move space, `degree` is no natural number, or `parity` is neither 1 nor -1.

    Example:
        >>> from graphgdl.groups import O
        >>> [str(irrep(O(3), 0)), str(irrep(O(3), 1)), str(irrep(O(3), 2)), str(irrep(O(3), 2, parity=-1))]
        ['trivial of O(3)', 'standard of O(3)', '2e of O(3)', '2o of O(3)']
        >>> inversion = -torch.eye(3, dtype=torch.float64)
        >>> irrep(O(3), 2, parity=-1).matrix(inversion).diagonal().round(decimals=12).tolist()
        [-1.0, -1.0, -1.0, -1.0, -1.0]
    """
    linear = _linear(group)
    if linear.d != 3:
        raise ValueError(f"`group` must move space to have degrees, got {group} in dimension {linear.d}")
    if not isinstance(degree, int) or degree < 0:
        raise ValueError(f"`degree` must be an integer of at least 0, got {degree}")
    if parity not in (None, 1, -1):
        raise ValueError(f"`parity` must be 1, -1 or None, got {parity}")
    natural = (-1) ** degree
    odd = parity == -natural  # against the parity of the polynomials, which is that of spherical harmonics
    if degree == 0:
        return sign(group) if odd else trivial(group)
    if degree == 1 and not odd:
        return standard(group)
    name = f"{degree}{'e' if (-natural if odd else natural) == 1 else 'o'}"
    return Representation(group, 2 * degree + 1, name, lambda g: _matrix(linear, degree, odd, g))


def _matrix(linear: Linear, degree: int, odd: bool, g: Tensor) -> Tensor:
    from e3nn.o3 import wigner_3j

    move = linear.matrix(g)
    out = move
    for k in range(2, degree + 1):
        w = wigner_3j(k - 1, 1, k, dtype=torch.float64)
        half = torch.einsum("ac,cdn->adn", out, w)
        out = (2 * k + 1) * torch.einsum("abm,bd,adn->mn", w, move, half)
    return out * torch.linalg.det(move).sign() if odd else out

"""The laws of groups, actions and representations as assertions, and strategies for elements."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from graphgdl.groups import Group, Representation


def elements(group: Group) -> st.SearchStrategy[Tensor]:
    """Random elements: hypothesis draws the seed."""
    return st.integers(0, 2**31).map(lambda seed: group.sample(torch.Generator().manual_seed(seed)))


def close(a: Tensor, b: Tensor, tol: float = 1e-12) -> bool:
    """Equality to rounding of float64; integers and shapes must agree exactly."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a, b) if not a.is_floating_point() else torch.allclose(a, b, rtol=tol, atol=tol)


def assert_axioms(group: Group, g: Tensor, h: Tensor, k: Tensor) -> None:
    one, compose, inverse = group.identity(), group.compose, group.inverse
    assert close(compose(g, one), g), "right identity"
    assert close(compose(one, g), g), "left identity"
    assert close(compose(g, inverse(g)), one), "right inverse"
    assert close(compose(inverse(g), g), one), "left inverse"
    assert close(compose(compose(g, h), k), compose(g, compose(h, k))), "associativity"


def assert_action(action: Any, group: Group, g: Tensor, h: Tensor, x: Tensor) -> None:
    """`action` is anything with `act`."""
    assert close(action.act(group.identity(), x), x), "the identity moves something"
    assert close(action.act(group.compose(g, h), x), action.act(g, action.act(h, x))), "act(gh) is not act(g) act(h)"


def assert_homomorphism(rho: Representation, g: Tensor, h: Tensor) -> None:
    matrix, one = rho.matrix(g), torch.eye(rho.size, dtype=torch.float64)
    assert matrix.dtype == torch.float64
    assert matrix.shape == (rho.size, rho.size)
    assert close(rho.matrix(rho.group.identity()), one), "the identity is not 1"
    assert close(rho.matrix(rho.group.compose(g, h)), matrix @ rho.matrix(h)), "rho(gh) is not rho(g) rho(h)"
    assert close(matrix.T @ matrix, one), "not orthogonal"

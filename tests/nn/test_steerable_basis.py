"""Steerable kernels satisfy their constraint, are all there are, are independent, and have the norm that is stated."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from graphgdl.groups import SO, Cyclic, Dihedral, O, direct_sum, frequency, quotient, regular, sign, standard, trivial
from graphgdl.nn import SteerableBasis

CASES = [
    (Cyclic(1), trivial, trivial),
    (Cyclic(3), regular, standard),
    (Cyclic(4), trivial, regular),
    (Cyclic(8), regular, regular),
    (Dihedral(1), regular, sign),
    (Dihedral(5), regular, lambda g: quotient(g, [torch.tensor([1, 0])])),
    (Dihedral(4), regular, lambda g: direct_sum([trivial(g), sign(g), standard(g)])),
    (SO(2), trivial, lambda g: frequency(g, 2)),
    (SO(2), lambda g: frequency(g, 1), lambda g: frequency(g, 3)),
    (SO(2), lambda g: direct_sum([trivial(g), standard(g), frequency(g, 2)]), standard),
    (O(2), sign, lambda g: frequency(g, 1)),
    (O(2), lambda g: frequency(g, 2), lambda g: direct_sum([sign(g), frequency(g, 2)])),
]
IDS = [f"{group}-{i}" for i, (group, _, _) in enumerate(CASES)]


def basis_of(case, reach=3.0, **options):
    group, source, target = case
    return SteerableBasis(group, source(group), target(group), reach, **options)


def kernels(basis, x):
    """Return every kernel at every point, (b, n, out, in)."""
    return torch.einsum("bpqh,nh->bnpq", basis.coefficients, basis.functions(x))


def points(n=50, seed=0):
    return 2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("reach", [2.5, 3])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_kernel_constraint(case, reach):
    group, source, target = case
    basis = basis_of(case, reach)
    generator, x = torch.Generator().manual_seed(0), points()
    before = kernels(basis, x)
    for _ in range(6):
        g = group.sample(generator)
        want = target(group).matrix(g) @ before @ source(group).matrix(g).T
        torch.testing.assert_close(kernels(basis, group.act(g, x)), want, rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_kernel_is_there_once(case):
    group, source, target = case
    basis = basis_of(case)
    turns = {SO: Cyclic(64), O: Dihedral(64)}.get(type(group), group)
    elements = [turns.matrix(g) for g in turns.elements()] if isinstance(group, O) else group.elements()

    def count(m):  # the characters say how many
        parts = [source(group), target(group), frequency(group, m) if m else trivial(group)]
        traces = torch.stack([torch.stack([part.matrix(g).trace() for g in elements]) for part in parts])
        return round(float(traces.prod(dim=0).mean()))

    rings = ((0, 0), (1, 2), (2, 4))
    want = sum(count(m) for _, highest in rings for m in range(highest + 1))
    assert len(basis.coefficients) == want
    assert torch.linalg.matrix_rank(kernels(basis, points(200)).flatten(1)) == want


@pytest.mark.parametrize(("source", "target"), [*product(range(4), repeat=2)])
def test_frequencies_of_turns_add_and_subtract(source, target):
    """Weiler & Cesa (2019), the SO(2) kernels: |m - n| and m + n, each with its phase."""

    def irrep(k):
        return frequency(SO(2), k) if k else trivial(SO(2))

    basis = SteerableBasis(SO(2), irrep(source), irrep(target), reach=4.0)
    for radius in range(4):
        found = [m for r, m, _ in basis.functions_of if r == radius]
        assert found == sorted(m for m in {abs(source - target), source + target} if m <= 2 * radius)
    each = 1 if source == target == 0 else 2
    assert len(basis.coefficients) == each * len(basis.functions_of)


def test_the_norm_is_one_for_each_channel_of_the_output():
    case = (SO(2), lambda g: frequency(g, 1), lambda g: direct_sum([trivial(g), standard(g)]))
    basis, step = basis_of(case), 0.02
    axis = torch.arange(-3 + step / 2, 3, step, dtype=torch.float64)
    squares = kernels(basis, torch.cartesian_prod(axis, axis)).square().sum(dim=(1, 2, 3)) * step**2
    torch.testing.assert_close(squares, torch.full_like(squares, 3.0), rtol=1e-4, atol=0)


def test_kernels_end_at_their_reach_and_are_continuous_at_the_origin():
    basis = basis_of(CASES[7])
    outside = torch.tensor([[3.0, 0.0], [2.5, 2.0], [-9.0, 1.0]], dtype=torch.float64)
    assert basis.functions(outside).abs().max() == 0
    near = torch.zeros(1, 2, dtype=torch.float64).requires_grad_()
    assert basis.functions(near).abs().sum() < 1e-12  # frequency 2 alone
    assert torch.autograd.grad(basis.functions(near).sum(), near)[0].isfinite().all()


def test_largest_frequency():
    basis = basis_of(CASES[3], max_frequency=1)
    assert [(r, m) for r, m, _ in basis.functions_of] == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]
    with pytest.raises(
        ValueError, match=r"`max_frequency` must allow a kernel from trivial of .* got 1 within radius 3"
    ):
        basis_of(CASES[7], max_frequency=1)

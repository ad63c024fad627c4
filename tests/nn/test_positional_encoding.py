"""Sinusoids are eigenfunctions of the Laplacian of a line: of paths away from their ends, of cycles, of paths."""

from __future__ import annotations

import math

import pytest
import torch
from torch_geometric.utils import get_laplacian, to_dense_adj

from graphgdl.domains.structure import Chain, Grid
from graphgdl.nn import sinusoidal_encoding


def laplacian(structure):
    """D - A, from the edges of the structure."""
    edges, weights = get_laplacian(structure.edge_index, num_nodes=structure.num_nodes, dtype=torch.float64)
    return to_dense_adj(edges, edge_attr=weights, max_num_nodes=structure.num_nodes)[0]


def frequencies(channels, base=10000.0):
    return torch.tensor([base ** (-2 * m / channels) for m in range(channels // 2)], dtype=torch.float64)


def test_by_the_formula():
    code = sinusoidal_encoding(torch.arange(7).double(), 6, base=50.0)
    for t in range(7):
        for m in range(3):
            angle = t / 50 ** (2 * m / 6)
            assert abs(code[t, 2 * m] - math.sin(angle)) < 1e-14
            assert abs(code[t, 2 * m + 1] - math.cos(angle)) < 1e-14


def test_of_the_path_away_from_its_ends():
    n, channels = 40, 16
    code = sinusoidal_encoding(torch.arange(n).double(), channels)
    eigenvalues = (2 - 2 * frequencies(channels).cos()).repeat_interleave(2)
    error = laplacian(Chain(n, bidirectional=True)) @ code - eigenvalues * code
    assert error[1:-1].abs().max() < 1e-10
    assert error[[0, -1]].abs().max() > 1e-2  # an end has one neighbour less


@pytest.mark.parametrize("n", [3, 8, 13])
def test_of_the_cycle(n):
    matrix, place = laplacian(Grid((n,), periodic=True)), torch.arange(n, dtype=torch.float64)
    for k in range(n):
        w = 2 * math.pi * k / n
        for wave in ((w * place).sin(), (w * place).cos()):
            assert (matrix @ wave - (2 - 2 * math.cos(w)) * wave).abs().max() < 1e-10
    between = (2 * math.pi * 0.5 / n * place).cos()  # half a turn does not close
    assert (matrix @ between - (2 - 2 * math.cos(math.pi / n)) * between).abs().max() > 1e-2


@pytest.mark.parametrize("n", [2, 8, 13])
def test_of_the_path(n):
    matrix, place = laplacian(Chain(n, bidirectional=True)), torch.arange(n, dtype=torch.float64)
    waves = torch.stack([(math.pi * k / n * (place + 0.5)).cos() for k in range(n)], dim=1)
    eigenvalues = torch.tensor([2 - 2 * math.cos(math.pi * k / n) for k in range(n)], dtype=torch.float64)
    assert (matrix @ waves - eigenvalues * waves).abs().max() < 1e-10
    assert torch.linalg.matrix_rank(waves) == n  # these are all of them
    assert (torch.linalg.eigvalsh(matrix) - eigenvalues).abs().max() < 1e-10
    shifted = (math.pi / n * place).cos()  # whole places in the place of half ones
    assert (matrix @ shifted - eigenvalues[1] * shifted).abs().max() > 1e-2


def test_a_shift_rotates_each_pair():
    place, shift = torch.arange(9).double(), 2.5
    before, after = (sinusoidal_encoding(p, 8).unflatten(1, (4, 2)) for p in (place, place + shift))
    angle = frequencies(8) * shift
    rotation = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], dim=1).view(4, 2, 2)
    assert (torch.einsum("mab,tmb->tma", rotation, before) - after).abs().max() < 1e-12


def test_dtype():
    assert sinusoidal_encoding(torch.arange(3), 2).dtype == torch.float32
    assert sinusoidal_encoding(torch.arange(3).double(), 2).dtype == torch.float64


def test_errors():
    with pytest.raises(ValueError, match=r"`positions` must have shape \(n,\), got \(2, 3\); flatten it"):
        sinusoidal_encoding(torch.zeros(2, 3), 4)
    for channels in (0, 3):
        with pytest.raises(ValueError, match=f"`channels` must be even and at least 2.*got {channels}"):
            sinusoidal_encoding(torch.arange(3), channels)
    with pytest.raises(ValueError, match=r"`base` must be positive, got 0\.0"):
        sinusoidal_encoding(torch.arange(3), 4, base=0.0)

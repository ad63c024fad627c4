"""Sets, sequences and grids against Kronecker sums and explicit loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.loader import DataLoader

from graphgdl.domains import Chain, Complete, Grid, from_grid, from_sequence, from_set


def axis_adjacency(n: int, ring: bool) -> sp.csr_array:
    a = np.zeros((n, n))
    for i in range(n):
        for j in ((i - 1), (i + 1)):
            if ring:
                j %= n
            if 0 <= j < n and j != i:
                a[i, j] = 1
    return sp.csr_array(a)


def kronecker_sum(shape: tuple[int, ...], periodic: tuple[bool, ...]) -> np.ndarray:
    total = sp.csr_array((int(np.prod(shape)),) * 2)
    for axis, (n, ring) in enumerate(zip(shape, periodic)):
        left, right = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
        total = total + sp.kron(sp.kron(sp.eye_array(left), axis_adjacency(n, ring)), sp.eye_array(right))
    return total.toarray()


@pytest.mark.parametrize("shape", [(5,), (1,), (3, 4), (2, 2), (4, 1, 3), (2, 3, 2, 3)])
@pytest.mark.parametrize("ring", [False, True, "mixed"])
def test_grid_is_the_kronecker_sum_of_its_axes(shape: tuple[int, ...], ring: bool | str) -> None:
    periodic = tuple(i % 2 == 0 for i in range(len(shape))) if ring == "mixed" else (bool(ring),) * len(shape)
    data = from_grid(torch.arange(np.prod(shape)).reshape(shape), periodic=periodic)
    edges = data.structure.edge_index
    dense = np.zeros((data.num_nodes,) * 2)
    np.add.at(dense, tuple(edges.numpy()), 1)
    np.testing.assert_array_equal(dense, kronecker_sum(shape, periodic))
    assert data.x.flatten().tolist() == list(range(data.num_nodes))
    assert "edge_index" not in data


def test_grid_channels() -> None:
    image = torch.arange(2 * 3 * 4.0).view(2, 3, 4)
    first, last = from_grid(image, channels="first"), from_grid(image.permute(1, 2, 0), channels="last")
    assert torch.equal(first.x, last.x)
    assert first.structure == last.structure == Grid((3, 4))
    assert first.x[5].tolist() == [image[0, 1, 1], image[1, 1, 1]]
    assert from_grid([[1, 2], [3, 4]]).x.dtype == torch.float32


def test_set_and_sequence() -> None:
    points = torch.rand(3, 2)
    assert from_set(points).structure == Complete(3)
    assert from_set(points, self_loops=False).structure.num_edges == 6
    assert torch.equal(from_set(points).x, points)
    assert from_sequence([1, 2, 3, 4]).structure == Chain(4)
    assert from_sequence([1, 2, 3, 4]).x.tolist() == [[1.0], [2.0], [3.0], [4.0]]
    assert from_sequence(points, bidirectional=True).structure.edge_index.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]


def test_batches_of_unequal_size() -> None:
    batch = next(iter(DataLoader([from_set(torch.rand(n, 2)) for n in (2, 4, 1)], batch_size=3)))
    assert batch.structure == Complete([0, 2, 6, 7])
    assert batch.x.shape == (7, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_set(torch.zeros(2, 2, 2)), r"`elements` must have shape \(n, c\) or \(n,\), got \(2, 2, 2\)"),
        (lambda: from_sequence(1.0), r"`steps` must have shape \(n, c\) or \(n,\), got \(\)"),
        (lambda: from_grid([1.0], channels="middle"), "`channels` must be 'last', 'first' or None, got 'middle'"),
        (
            lambda: from_grid([1.0], channels="last"),
            r"`signal` must have at least one axis beside its channels.*\(1,\)",
        ),
        (lambda: from_grid([[1.0]], periodic=(True,)), "`periodic` must be one flag or 2"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

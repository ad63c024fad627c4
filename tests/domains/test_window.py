"""Windows on grids: which node each tap reads, and which grid their places are."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from graphgdl.domains import Grid
from graphgdl.domains.window import MODES, Window


def window(size, stride=1, dilation=1, padding=0, mode="zeros"):
    d = len(size)
    return Window(size, (stride,) * d, (dilation,) * d, ((padding, padding),) * d, (mode,) * d)


def beyond(at, n, mode):
    """Read an axis of n nodes at any position, by walking: None where nothing lies."""
    if mode == "circular":
        return list(range(n))[at % n]
    if mode == "replicate":
        return min(max(at, 0), n - 1)
    if mode == "reflect":
        step, place = (1 if at > 0 else -1), 0
        for _ in range(abs(at)):
            if not 0 <= place + step < n:
                step = -step
            place += step
        return place
    return at if 0 <= at < n else None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("stride", "dilation", "padding"), [(1, 1, 0), (2, 1, 1), (1, 2, 2), (3, 2, 3)])
def test_taps_read_where_they_say(mode, stride, dilation, padding):
    shapes, size = [(5, 4), (5, 4), (4, 6)], (2, 3)
    shown = window(size, stride, dilation, padding, mode)
    grid = Grid(shapes, periodic=mode == "circular")
    edges = []
    for tap in product(range(2), range(3)):
        first = place = 0
        for shape in shapes:
            for i in product(*map(range, shown.shape(shape))):
                at = [a * stride - padding + u * dilation for a, u in zip(i, tap)]
                node = [beyond(a, n, mode) for a, n in zip(at, shape)]
                if None not in node:
                    edges.append((tap[0] * 3 + tap[1], first + node[0] * shape[1] + node[1], place))
                place += 1
            first += shape[0] * shape[1]
    taps = shown.taps(grid)
    assert [(s, d) for _, s, d in edges] == list(map(tuple, taps.edge_index.t().tolist()))
    assert taps.counts == tuple(sum(t == u for t, _, _ in edges) for u in range(6))
    assert place == shown.grid(grid).num_nodes


@pytest.mark.parametrize("batch", [1, 3])
def test_a_ring_stays_one_where_the_strides_close_it(batch):
    ptr = 24 * torch.arange(batch + 1)
    torus = Grid((4, 6), periodic=True, ptr=ptr)
    assert window((3, 3), padding=1).grid(torus) == torus
    assert window((2, 2), stride=2).grid(torus) == Grid((2, 3), periodic=True, ptr=6 * torch.arange(batch + 1))
    assert window((3, 3)).grid(torus).periodic == (False, False)  # two places are gone
    assert window((1, 1), stride=3).grid(torus).periodic == (False, True)  # 4 is no multiple of 3
    assert window((2, 2), stride=2).grid(Grid((4, 6), (True, False), True, ptr)) == Grid(
        (2, 3), (True, False), True, 6 * torch.arange(batch + 1)
    )


def test_unequal_grids_share_one_flag():
    grids = Grid([(4,), (5,)], periodic=True)
    assert window((2,), stride=2).grid(grids) == Grid((2,), ptr=[0, 2, 4])
    assert window((1,)).grid(grids) == grids


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"`kernel_size` spans 5 nodes along axis 1, but the grid \(9, 2\) has 4 with"):
        window((3, 3), dilation=2, padding=1).taps(Grid((9, 2)))
    with pytest.raises(ValueError, match="`kernel_size` spans 1 nodes along axis 0"):
        window((1,), padding=1).taps(Grid((0,)))
    with pytest.raises(ValueError, match="`padding` by reflection must be below the size 2 of axis 0, got 2"):
        window((1,), padding=2, mode="reflect").taps(Grid((2,)))

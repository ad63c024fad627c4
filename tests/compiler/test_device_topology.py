"""Rows dealt into lanes: each edge once, short rows together, long rows in pieces; remembered and never stale."""

from __future__ import annotations

import pytest
import torch

from graphgdl.compiler import device_topology
from graphgdl.compiler.device_topology import DeviceTopology, dealt


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    monkeypatch.setattr(device_topology, "LONG", 4)
    monkeypatch.setattr(device_topology, "PIECE", 6)


def graph(n=20, e=200):
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(n - 1, (2, e), generator=generator)
    edge_index[1, ::2] = 3
    edge_index[1, 1:20:2] = 4
    return edge_index


def covered(loops, edge_index, end):
    """Return the edge ids that the lanes of a loop cover, after checking that each lies in its row."""
    own, other = (1, 0) if end == "dst" else (0, 1)
    found = []
    lanes = [*loops.lanes, *([loops.hubs.pieces] if loops.hubs else [])]
    for part in lanes:
        for row, begin, end_ in zip(part.row.tolist(), part.begin.tolist(), part.end.tolist(), strict=True):
            ids = loops.edge[begin:end_].tolist()
            assert all(edge_index[own, i] == row for i in ids)
            assert edge_index[other, ids].tolist() == loops.col[begin:end_].tolist()
            found += ids
    return found


@pytest.mark.parametrize("end", ["src", "dst"])
def test_every_edge_is_in_one_lane(end):
    edge_index = graph()
    loops = DeviceTopology(edge_index, 20, 20).loops(end)
    assert sorted(covered(loops, edge_index, end)) == list(range(200))
    assert all(
        loops.edge[a:b].tolist() == sorted(loops.edge[a:b].tolist())
        for p in loops.lanes
        for a, b in zip(p.begin, p.end)
    )
    rows = [r for part in loops.lanes for r in part.row.tolist()] + (loops.hubs.rows.row.tolist() if loops.hubs else [])
    assert sorted(rows) == list(range(20))


def test_rows_are_short_long_or_in_pieces():
    ends = torch.tensor([0, 1, 5, 10, 10, 40, 42]).int()
    lanes, hubs = dealt(torch.arange(6).int(), ends[:-1], ends[1:])
    assert [(p.long, p.row.tolist()) for p in lanes] == [(False, [0, 3, 5, 1]), (True, [2])]
    assert hubs.rows.row.tolist() == [4]
    (joined,) = hubs.joins.lanes
    assert (joined.begin.tolist(), joined.end.tolist()) == ([0], [5])
    assert list(zip(hubs.pieces.begin.tolist(), hubs.pieces.end.tolist())) == [(k, k + 6) for k in range(10, 40, 6)]


def test_tiles_are_whole_rows_sorted_by_the_other_end_too():
    edge_index = graph()
    tiles = DeviceTopology(edge_index, 20, 20).tiles("dst", 30)
    assert len(tiles) > 3
    assert [t.first for t in tiles[1:]] == [t.last for t in tiles[:-1]]
    for tile in tiles:
        ids = sorted(tile.ids.tolist())
        assert sorted(covered(tile.rows, edge_index, "dst")) == ids
        assert sorted(covered(tile.others, edge_index, "src")) == ids
        assert tile.rows.edge[tile.others.pos.long()].tolist() == tile.others.edge.tolist()


@pytest.mark.parametrize(
    ("edge_index", "message"),
    [
        ([[0, 7], [1, 1]], r"`edge_index`\[0\] \(source\) must hold values in \[0, 3\), got 7"),
        ([[0, 1], [1, -1]], r"`edge_index`\[1\] \(destination\) must hold values in \[0, 4\), got -1"),
    ],
)
def test_indices_out_of_range(edge_index, message):
    with pytest.raises(ValueError, match=message):
        DeviceTopology(torch.tensor(edge_index), 3, 4)


def test_too_many_nodes():
    with pytest.raises(ValueError, match="less than 2\\*\\*31 - 1 edges and nodes"):
        DeviceTopology(torch.zeros(2, 0, dtype=torch.long), 2**31, 3)


def test_remembered_until_the_tensor_changes():
    edge_index = graph()
    first = device_topology.device_topology(edge_index, 20, 20)
    assert device_topology.device_topology(edge_index, 20, 20) is first
    assert device_topology.device_topology(edge_index, 20, 21) is not first
    edge_index[0, 0] = 19
    again = device_topology.device_topology(edge_index, 20, 20)
    assert again is not first
    assert again.loops("src").lanes[0].row.tolist() != []
    assert 0 in covered(again.loops("src"), edge_index, "src")


def test_a_change_after_the_first_sort_does_not_reach_the_second():
    edge_index = graph().int()
    kept = edge_index.clone()
    made = DeviceTopology(edge_index, 20, 20)
    made.loops("dst")
    edge_index.zero_()
    assert sorted(covered(made.loops("src"), kept, "src")) == list(range(200))


def test_inference_tensors_are_sorted_each_time():
    with torch.inference_mode():
        edge_index = graph().clone()
        assert device_topology.device_topology(edge_index, 20, 20) is not device_topology.device_topology(
            edge_index, 20, 20
        )


def test_forgotten_with_the_tensor():
    edge_index = graph()
    device_topology.device_topology(edge_index, 20, 20)
    known = len(device_topology._known)
    del edge_index
    assert len(device_topology._known) == known - 1

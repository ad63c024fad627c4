"""Suites from a folder: facts on the public data, and every way in which a file can be wrong."""

from itertools import combinations, islice

import networkx as nx
import numpy as np
import pytest

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.suites import SUITES, load_suite
from graphgdl.expressivity.suites.brec import PARTS
from graphgdl.expressivity.suites.families import rook, shrikhande

BREC = {
    "Basic": 60,
    "Simple regular": 50,
    "Strongly regular": 50,
    "Extension": 100,
    "CFI": 100,
    "4-vertex condition": 20,
    "Distance regular": 20,
}


@pytest.fixture
def fake_brec(tmp_path):
    """The seven arrays with edgeless graphs of the right orders."""
    folder = tmp_path / "brec" / "raw"
    folder.mkdir(parents=True)
    for part in PARTS:
        low, high = part.orders
        lines = [Graph(low if i else high, []).graph6() for i in range(part.pairs) for _ in range(2)]
        np.save(folder / part.file, np.array(lines))
    return tmp_path


def test_brec_pairs_follow_the_parts(fake_brec):
    suite = load_suite("brec", fake_brec)
    assert suite.category_sizes() == BREC
    assert suite.pair_ids()[[0, 399]].tolist() == [[0, 1], [798, 799]]
    borders = [0, 59, 60, 109, 110, 159, 160, 259, 260, 359, 360, 379, 380, 399]
    assert [suite.category_of(i) for i in borders] == [name for name in BREC for _ in range(2)]


@pytest.mark.parametrize("place", ["brec/raw", "brec", "raw", "."])
def test_brec_is_found_where_users_keep_it(fake_brec, tmp_path, place):
    target = tmp_path / "elsewhere" / place
    target.parent.mkdir(parents=True, exist_ok=True)
    (fake_brec / "brec" / "raw").rename(target)
    assert load_suite("brec", tmp_path / "elsewhere").num_pairs == 400


def test_brec_from_the_pairs_file(fake_brec, tmp_path):
    arrays = load_suite("brec", fake_brec)
    (tmp_path / "brec_v3_pairs.g6").write_text("".join(g.graph6() + "\n" for g in arrays.graphs))
    for part in PARTS:
        (fake_brec / "brec" / "raw" / part.file).unlink()
    assert load_suite("brec", tmp_path).graphs == arrays.graphs
    (tmp_path / "brec_v3_pairs.g6").write_text("".join(g.graph6() + "\n" for g in arrays.graphs[:-2]))
    with pytest.raises(ValueError, match="expected 400 pairs, got 399"):
        load_suite("brec", tmp_path)


def test_brec_with_extension_and_cfi_swapped_is_refused(fake_brec):
    raw = fake_brec / "brec" / "raw"
    (raw / "cfi.npy").rename(raw / "x.npy")
    (raw / "extension.npy").rename(raw / "cfi.npy")
    (raw / "x.npy").rename(raw / "extension.npy")
    message = r"Extension pairs 160..259 must have 10 to 19 vertices, got 18 to 198; .* Extension and CFI swapped\?"
    with pytest.raises(ValueError, match=message):
        load_suite("brec", fake_brec)


def test_brec_arrays_that_are_wrong(fake_brec):
    path = fake_brec / "brec" / "raw" / "str.npy"
    lines = np.load(path)

    def refused(message):
        with pytest.raises(ValueError, match=message):
            load_suite("brec", fake_brec)

    np.save(path, lines[:-1])
    refused(r"str.npy: expected 100 graphs, got 99")
    np.save(path, np.where(np.arange(100) == 7, "O???", lines))
    refused(r"str.npy, entry 7: graph6: order 16 needs 20 bytes of adjacency, got 3")
    np.save(path, np.arange(100))
    refused("str.npy: expected a numpy array of graph6 strings, got dtype int64")
    np.save(path, lines.astype(object))
    refused("str.npy: expected a numpy array of graph6 strings, got something else")
    path.write_bytes(b"not an array")
    refused("str.npy: expected a numpy array of graph6 strings, got something else")
    path.write_bytes(b"")
    refused("str.npy: expected a numpy array of graph6 strings, got something else")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"suite brec: expected brec/raw or brec or raw or . below"):
        load_suite("brec", fake_brec)


@pytest.mark.data
def test_brec_on_the_published_arrays(data_root, tmp_path):
    suite = load_suite("brec", data_root)
    lines = (data_root / "brec" / "brec_v3_pairs.g6").read_text().split()
    assert [graph.graph6() for graph in suite.graphs] == lines
    assert suite.category_sizes() == BREC
    assert max(graph.n for graph in suite.graphs) == 198


@pytest.mark.data
def test_graph8c_holds_every_connected_graph_on_eight_vertices(data_root):
    suite = load_suite("graph8c", data_root)
    assert len(suite.graphs) == 11117
    assert suite.num_pairs == 61_788_286
    degrees = {tuple(sorted(graph.degrees().tolist())) for graph in suite.graphs}
    assert len(degrees) == sum(_has_connected_realisation(s) for s in _degree_sequences(8))


def _degree_sequences(n):
    def extend(prefix):
        if len(prefix) == n:
            yield tuple(prefix)
            return
        for d in range(prefix[-1] if prefix else 1, n):
            yield from extend([*prefix, d])

    return extend([])


def _has_connected_realisation(degrees):
    """A graphic sequence without zeros has a connected realisation exactly if it has at least n - 1 edges."""
    return sum(degrees) >= 2 * (len(degrees) - 1) and nx.is_graphical(degrees)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["G?????"], "line 1: expected a connected graph"),
        (["G~~~~{", "F~~~w"], "line 2: expected 8 vertices, got 7"),
        (["G~~~~{", "G~~~~{"], "expected 11117 different graphs, got 2 lines, 1 different"),
        (["G~~~~{", "G~~~~"], "graph8c.g6, line 2: graph6: order 8 needs 5 bytes of adjacency, got 4"),
        (["G~~~~{", ""], None),
        ([], "graph8c.g6: expected graph6 lines, got an empty file"),
    ],
)
def test_graph8c_that_is_wrong(tmp_path, lines, message):
    (tmp_path / "graph8c.g6").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message or "expected 11117"):
        load_suite("graph8c", tmp_path)


def write_srg(root, *graphs, header=False):
    (root / "sr401224.g6").write_text(">>graph6<<\n" * header + "".join(g.graph6() + "\n" for g in graphs))


def test_a_strongly_regular_file_is_checked(tmp_path, monkeypatch):
    from graphgdl.expressivity.suites import registry

    info = registry._srg("mine", "sr401224.g6", (16, 6, 2, 2), 2)
    monkeypatch.setitem(SUITES, "mine", info)
    for header in (False, True):
        write_srg(tmp_path, rook(4), shrikhande(), header=header)
        suite = load_suite("mine", tmp_path)
        assert suite.graphs == (rook(4), shrikhande())
        assert suite.facts == {"srg": (16, 6, 2, 2)}
    write_srg(tmp_path, rook(4), rook(4))
    with pytest.raises(ValueError, match=r"sr401224.g6: expected 2 different graphs, got 2, 1 different"):
        load_suite("mine", tmp_path)
    write_srg(tmp_path, rook(4), Graph(16, rook(4).edges[1:]))
    with pytest.raises(ValueError, match=r"sr401224.g6, graph 2: expected srg\(16, 6, 2, 2\), got no strongly regular"):
        load_suite("mine", tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(("name", "count"), [("sr29", 41), ("sr35", 227)])
def test_strongly_regular_files(data_root, name, count):
    suite = load_suite(name, data_root)
    assert len(suite.graphs) == count
    g = nx.from_graph6_bytes(suite.graphs[-1].graph6().encode())
    assert nx.is_strongly_regular(g)


def write_exp(path, **changes):
    arrays = {
        "num_nodes": np.full(1200, 3),
        "num_arcs": np.full(1200, 4),
        "edge_index": np.tile([[0, 1, 1, 2], [1, 0, 2, 1]], 1200),
        "y": np.arange(1200) % 2,
    }
    np.savez(path, **{name: a for name, a in (arrays | changes).items() if a is not None})


def test_exp_reads_both_directions_of_every_graph(tmp_path):
    write_exp(tmp_path / "EXP.npz")
    suite = load_suite("exp", tmp_path)
    assert suite.num_pairs == 600
    assert suite.pair(599) == (1198, 1199)
    assert {graph.graph6() for graph in suite.graphs} == {"Bg"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, "expected an npz file with num_nodes, num_arcs, edge_index, y, got something else"),
        ({"y": np.zeros(1200)}, "pair 0: one formula must be satisfiable and the other not"),
        ({"y": np.zeros(7)}, r"`num_nodes`, `num_arcs`, `y` must have shape \(1200,\)"),
        ({"edge_index": np.zeros((2, 5))}, r"`edge_index` must have shape \(2, 4800\), got \(2, 5\)"),
        ({"edge_index": np.tile([[0, 1, 1, 2], [1, 0, 3, 1]], 1200)}, "graph 0: `edges` must lie in 0..2, got 0..3"),
        (
            {"edge_index": np.tile([[0, 1, 1, 2], [1, 0, 2, 0]], 1200)},
            "graph 0: expected both directions of every edge",
        ),
        ({"num_nodes": np.where(np.arange(1200) == 9, 4, 3)}, "same number of vertices, pair 4 has 3 and 4"),
    ],
)
def test_exp_that_is_wrong(tmp_path, changes, message):
    write_exp(tmp_path / "EXP.npz", **changes)
    with pytest.raises(ValueError, match=message):
        load_suite("exp", tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"plain text"])
def test_exp_that_is_no_archive(tmp_path, content):
    (tmp_path / "EXP.npz").write_bytes(content)
    with pytest.raises(ValueError, match="expected an npz file with"):
        load_suite("exp", tmp_path)


def test_exp_as_a_single_array_is_refused(tmp_path):
    with open(tmp_path / "EXP.npz", "wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(ValueError, match="expected an npz file with"):
        load_suite("exp", tmp_path)


@pytest.mark.data
def test_exp_without_labels_is_still_equal_for_one_wl_and_parted_by_two_fwl(data_root):
    from graphgdl.expressivity.oracles import ORACLES

    suite = load_suite("exp", data_root)
    pairs = [(suite.graphs[a], suite.graphs[b]) for a, b in suite.pair_ids().tolist()]
    assert not any(ORACLES["1-wl"].separates(g, h) for g, h in pairs)
    assert all(ORACLES["2-fwl"].separates(g, h) for g, h in islice(pairs, 0, None, 20))


def test_a_users_own_pairs(tmp_path):
    path = tmp_path / "mine.g6"
    path.write_bytes(
        nx.to_graph6_bytes(nx.cycle_graph(6)) + nx.to_graph6_bytes(nx.circulant_graph(6, [2]), header=False)
    )
    suite = load_suite(str(path))
    assert (suite.name, suite.num_pairs, suite.pair(0)) == ("mine.g6", 1, (0, 1))
    assert suite.graphs == (Graph.from_networkx(nx.cycle_graph(6)), Graph.from_networkx(nx.circulant_graph(6, [2])))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Bw\nBg\nBw\n", "mine.g6: expected two lines per pair, got 3 graphs"),
        ("Bw\nBg\nBw\nCF\n", "lines 3 and 4: the graphs of a pair must have the same number of vertices, got 3 and 4"),
        (">>graph6<<\nBw\nCF\n", "lines 2 and 3: the graphs of a pair must have the same number of vertices"),
        (">>graph6<<Bw\nCF\n", "lines 1 and 2: the graphs of a pair must have the same number of vertices"),
        ("Bw\nB\n", "mine.g6, line 2: graph6: order 3 needs 1 bytes of adjacency, got 0"),
        ("Bw\n\nBg\n", "mine.g6, line 2: graph6: expected a graph, got an empty line"),
        (">>graph6<<\nBw\nB!\n", "mine.g6, line 3: graph6: bytes must lie in 63..126, got 33 at position 1"),
        ("", "mine.g6: expected graph6 lines, got an empty file"),
        (">>graph6<<\n", "mine.g6: expected graph6 lines, got an empty file"),
    ],
)
def test_a_users_pairs_that_are_wrong(tmp_path, text, message):
    (tmp_path / "mine.g6").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_suite(tmp_path / "mine.g6")


def test_names_and_places_that_are_not_there(tmp_path):
    with pytest.raises(
        ValueError, match=r"unknown suite 'brek'; choose one of csl, .*brec.* or the path of a .g6 file"
    ):
        load_suite("brek")
    with pytest.raises(FileNotFoundError, match=r"none.g6: expected a graph6 file, found none"):
        load_suite(tmp_path / "none.g6")
    with pytest.raises(ValueError, match=r"suite exp is read from a folder: pass its `root`, which holds exp/EXP.npz"):
        load_suite("exp")
    with pytest.raises(FileNotFoundError, match=r"suite sr29: expected sr_graphs/sr291467.g6 or sr291467.g6 below"):
        load_suite("sr29", tmp_path)


@pytest.mark.data
def test_small_connected_graphs_are_those_of_the_published_lists(data_root):
    atlas = load_suite("atlas").graphs
    for n in (2, 3, 4, 5):
        lines = (data_root / "graph8c" / f"graph{n}c.g6").read_bytes().split()
        ours = [nx.from_numpy_array(g.adjacency()) for g in atlas if g.n == n and g.is_connected()]
        theirs = [nx.from_graph6_bytes(line) for line in lines]
        assert len(ours) == len(theirs)
        assert all(any(nx.is_isomorphic(g, h) for h in theirs) for g in ours)
        assert not any(nx.is_isomorphic(g, h) for g, h in combinations(theirs, 2))

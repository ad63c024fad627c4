"""`graphgdl verify`: the table, the rows, the exit code, and a user's modules."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import graphgdl.cli.verify as command
from graphgdl.cli.main import app

KEYS = [
    *("module", "law", "kind", "invariant", "float64", "float32", "order", "union", "twin", "failures", "holds"),
]
MODULES = '''
import torch
from torch import nn


class Numbered(nn.Module):
    """Adds the number of each node."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.lin = nn.Linear(in_channels, out_channels)

    def forward(self, x, edge_index):
        return self.lin(x) + 0.01 * torch.arange(len(x), dtype=x.dtype)[:, None]


class Distances(nn.Module):
    def forward(self, pos, edge_index):
        src, dst = edge_index
        gap = (pos[src] - pos[dst]).square().sum(-1, keepdim=True)
        return torch.zeros(len(pos), 1, dtype=pos.dtype).index_add(0, dst, gap)


class Move(Distances):
    def forward(self, pos, edge_index):
        src, dst = edge_index
        return pos + torch.zeros_like(pos).index_add(0, dst, pos[src] - pos[dst])


class Coordinate(nn.Module):
    def forward(self, pos, edge_index):
        return pos[:, :1]


class Blind(nn.Module):
    def forward(self, x, pos):
        return x.sum(dim=0, keepdim=True)


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(5, 2)

    def forward(self, x):
        return self.lin(x)


class Broken(nn.Module):
    def __init__(self):
        raise RuntimeError("no weights here")


class Picky(nn.Module):
    def __init__(self, width):
        super().__init__()
'''


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "my_laws.py").write_text(MODULES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda *args: CliRunner().invoke(app, ["verify", *map(str, args)])


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_layers_by_name_with_their_variants(run, tmp_path):
    result = run("GridConv", "GCNConv, weighted", "gin", "--json", "rows.jsonl")
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "rows.jsonl")
    assert [row["module"] for row in found] == [
        *("GridConv", "GridConv, stride 2", "GridConv, on a cylinder", "GCNConv, weighted", "gin")
    ]
    assert all(list(row) == KEYS for row in found)
    assert all(row["holds"] and row["float64"] < 1e-10 < row["twin"] for row in found)
    assert found[1]["kind"] == "subgroup"
    assert "translations by multiples of 2x2" in result.output
    assert "5 laws of 3 layers and models: 4 exact, 1 subgroup, 0 limit, 0 distribution" in result.output


def test_without_a_name_everything_in_the_package(run, monkeypatch):
    only = {"PairNorm": command.public()["PairNorm"]}
    monkeypatch.setattr(command, "public", lambda: only)
    result = run("--dtype", "float64")
    assert result.exit_code == 0
    assert "1 laws of 1 layers and models" in result.output


def test_a_law_that_fails_is_named_and_the_exit_code_is_1(run, tmp_path):
    result = run("PairNorm", "my_laws:Numbered", "--json", "rows.jsonl")
    assert result.exit_code == 1
    assert "my_laws:Numbered, permutations of the nodes: the law fails in float64: error" in result.output
    good, bad = rows(tmp_path / "rows.jsonl")
    assert good["holds"]
    assert not bad["holds"]
    assert bad["float64"] > 1e-4


@pytest.mark.parametrize(
    ("module", "group", "options", "code", "law"),
    [
        ("Distances", "E(3)", [], 0, "E(3) on the positions: invariance"),
        ("Distances", "D4", [], 0, "on the positions: invariance"),
        ("Move", "E(2)", [], 0, "E(2) on the positions: output as points"),
        ("Move", "SO3", [], 0, "SO(3) on the positions: output as vectors"),
        ("Move", "SE(3)", ["--output", "vectors"], 1, "output as vectors"),
        ("Move", "O(3)", ["--output", "invariant"], 1, "O(3) on the positions: invariance"),
        ("Coordinate", "SO(2)", [], 1, "SO(2) on the positions: invariance"),
        ("Blind", "E(3)", [], 1, "its output does not vary with `pos`, which the group moves"),
        ("Distances", "permutation", [], 0, "permutations of the nodes"),
    ],
)
def test_groups_on_positions(run, module, group, options, code, law):
    result = run(f"my_laws:{module}", "--group", group, *options)
    assert (result.exit_code, law in result.output) == (code, True), result.output


def test_a_dtype_alone(run, tmp_path):
    assert run("PairNorm", "--dtype", "float32", "--json", "rows.jsonl").exit_code == 0
    (row,) = rows(tmp_path / "rows.jsonl")
    assert row["float64"] is None
    assert row["float32"] < 1e-4


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["Nope"], "`layer` must be module:Class or one of GCNConv, SAGEConv, "),
        (["gatConv"], "got 'gatConv'; did you mean GATConv or "),
        (
            ["my_laws:Wide"],
            "my_laws:Wide: mat1 and mat2 shapes cannot be multiplied (7x4 and 5x2); its input was Data(x=",
        ),
        (["my_laws:Broken"], "my_laws:Broken: no weights here"),
        (["no_such:Class"], "there is no module 'no_such'"),
        (["my_laws:Nope"], "the module 'my_laws' has no attribute 'Nope'"),
        (
            ["my_laws:Picky"],
            "`module` Picky must be callable as Picky(in_channels=4, out_channels=6) or Picky(), but it",
        ),
        (
            ["PairNorm", "--group", "C0"],
            "`group` must be permutation, or one such as C4, D4, SO(2), O(3), SE(3), E(3), got",
        ),
        (["PairNorm", "--group", "E(3)"], "`x` must have the field `pos`"),
        (["my_laws:Move", "--group", "E(3)", "--output", "scalars"], "`output` must be one of ('auto', 'invariant', "),
        (["--dtype", "half"], "`--dtype` must be one of float64, float32, both, got 'half'"),
        (["PairNorm", "--json", "no/such/rows.jsonl"], "does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, args, text):
    result = run(*args)
    assert result.exit_code == 2
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_interrupt(run, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_verify", interrupted)
    result = run("PairNorm")
    assert (result.exit_code, result.stderr.strip()) == (130, "Interrupted; nothing was written.")

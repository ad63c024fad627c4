from typer.testing import CliRunner

from graphgdl.cli.main import app

LAYERS = "GCNConv SAGEConv GraphConv GINConv GINEConv GATConv GATv2Conv TransformerConv NNConv EdgeConv"


def test_every_layer_is_compiled_into_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHGDL_CACHE", str(tmp_path))
    result = CliRunner().invoke(app, ["warmup", "--channels", "26", "--heads", "2"])
    assert result.exit_code == 0
    rows = [line for line in result.output.splitlines() if "float32" in line]
    assert [row.split()[1] for row in rows] == LAYERS.split()
    assert all("compiled" in row for row in rows)
    assert list(tmp_path.glob("*.o"))
    assert list(tmp_path.glob("*.proved"))


def test_channels_that_heads_do_not_divide():
    result = CliRunner().invoke(app, ["warmup", "--channels", "7"])
    assert result.exit_code == 2
    assert "positive multiple of `--heads` (4), got 7" in " ".join(result.output.replace("│", " ").split())

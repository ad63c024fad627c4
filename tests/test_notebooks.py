"""Each notebook is its percent script, executed: same cells, every output there, no error among them."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_is_its_script_executed(script: Path) -> None:
    jupytext = pytest.importorskip("jupytext", reason="jupytext is in the extra `notebooks`")
    written, executed = jupytext.read(script), jupytext.read(script.with_suffix(".ipynb"))
    assert [(c.cell_type, c.source) for c in written.cells] == [(c.cell_type, c.source) for c in executed.cells]
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("assert " in cell.source for cell in code)


def test_there_are_notebooks() -> None:
    assert SCRIPTS

"""The experiment on rotated digits runs from end to end on invented images, resumes, repeats itself, and is fair."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent.parent / "benchmarks" / "rotated_digits"
MODULES = ("digits", "networks", "figure", "run")
TINY = {"samples": (4,), "seeds": 1, "steps": 2, "train": 20, "test": 8}


@pytest.fixture
def run(monkeypatch):
    """The script as a module, with little to do; its siblings are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    import run as script

    monkeypatch.setattr(script, "QUICK", TINY)
    yield script
    for name in MODULES:
        sys.modules.pop(name, None)
        if before[name] is not None:
            sys.modules[name] = before[name]


@pytest.fixture
def root(tmp_path):
    """A folder with 40 images of noise in the files of MNIST."""
    (tmp_path / "mnist").mkdir()
    pixels = torch.randint(256, (40 * 28 * 28,), generator=torch.Generator().manual_seed(0)).tolist()
    (tmp_path / "mnist/t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + bytes(pixels)))
    (tmp_path / "mnist/t10k-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(bytes(8) + bytes(i % 10 for i in range(40)))
    )
    return tmp_path


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_runs_resumes_and_repeats_itself(run, root, capsys):
    out = root / "rows.jsonl"
    arguments = ["--quick", "--root", str(root), "--out", str(out)]
    run.main(arguments)
    rows = rows_of(out)
    assert [(r["network"], r["samples"]) for r in rows] == [(name, 4) for name in run.NETWORKS]
    assert "6 of 6 runs to go, " in capsys.readouterr().out
    assert out.with_suffix(".png").stat().st_size > 5000

    out.write_text("".join(json.dumps(row) + "\n" for row in rows[:5]), encoding="utf-8")
    run.main(arguments)
    printed = capsys.readouterr().out
    assert "1 of 6 runs to go" in printed
    assert "| CNN | 11134 |" in printed
    told = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rows_of(out)] == told


def test_missing_data_is_refused_by_name(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run.main(["--root", str(tmp_path)])
    assert "`--root` must name a folder with mnist/, got" in capsys.readouterr().err


def test_a_quarter_turn_of_the_digits_is_that_of_the_grid(run):
    images = torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(0))
    straight = run.digits.turned(images, torch.zeros(3)).view(3, 21, 21)
    quarter = run.digits.turned(images, torch.full((3,), torch.pi / 2)).view(3, 21, 21)
    turns = [(straight.rot90(k, (1, 2)) - quarter).abs().max() for k in (1, 3)]
    assert min(turns) < 1e-5 < max(turns)


def test_networks_are_of_equal_size_and_invariant_as_they_should(run):
    sizes = []
    for name, network in run.NETWORKS.items():
        torch.manual_seed(0)
        net = network().double().eval()
        sizes.append(sum(p.numel() for p in net.parameters()))
        images = torch.rand(2, 21, 21, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        logits = net(*run.signal(images.flatten(1)))
        turned = net(*run.signal(images.rot90(1, (1, 2)).flatten(1)))
        error = (turned - logits).abs().max() / logits.abs().max()
        assert (error < 1e-12) == ("CNN" not in name)
        assert logits.std(dim=0).max() > 1e-6
    assert max(sizes) < 1.1 * min(sizes)


def test_only_the_turned_networks_see_new_angles(run, root):
    seen = []
    original, run.digits.turned = (
        run.digits.turned,
        lambda images, angles: seen.append(angles) or original(images, angles),
    )
    try:
        for name in ("CNN", "CNN, turned"):
            run.trained(TINY, root, (name, 4, 0))
    finally:
        run.digits.turned = original
    assert len(seen) == 2 + 2 + TINY["steps"]
    assert all(torch.equal(a, b) for a, b in zip(seen[:2], seen[2:4]))

"""`graphgdl verify` has an example of every public layer and model, and every law that they state is proved."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

from graphgdl.cli.verify import base, public, summary
from graphgdl.nn import Lowered
from graphgdl.testing import laws_of, verify
from graphgdl.testing.equivariance import TOLERANCE
from graphgdl.testing.examples import EXAMPLES

PUBLIC = public()
LAWLESS = {"GridFlatten"}  # it writes the places into channels: no symmetry is left
README = Path(__file__).parents[2] / "README.md"


def layers(room: str) -> set[str]:
    """Names of the modules and readouts that a room exports."""
    found = importlib.import_module(room)
    classes = {name for name in found.__all__ if inspect.isclass(getattr(found, name))}
    modules = {name for name in classes if issubclass(getattr(found, name), torch.nn.Module)}
    return modules - {Lowered.__name__} | {name for name in found.__all__ if name.startswith("global_")}


def first(made):  # type: ignore[no-untyped-def]
    """The module or input of an example, of a limit the coarsest."""
    return made[0] if isinstance(made, list) else made


def test_every_layer_has_an_example() -> None:
    missing = (layers("graphgdl.nn") | layers("graphgdl.models")) - {base(name) for name in EXAMPLES} - LAWLESS
    assert not missing, f"add an example to graphgdl/testing/examples.py for {sorted(missing)}"


def test_every_layer_of_our_own_states_its_laws() -> None:
    for name in PUBLIC:
        module = first(PUBLIC[name].make()[0])
        ours = type(module).__module__.startswith("graphgdl.") and not name.startswith("global_")
        assert hasattr(module, "laws") or not ours, name


@pytest.mark.parametrize("name", PUBLIC)
def test_every_law_is_proved(name: str) -> None:
    module, data = PUBLIC[name].make()
    for verdict in verify(module, data):
        assert verdict.holds, verdict.failures
        if verdict.kind in ("exact", "subgroup"):
            assert verdict.float64 < TOLERANCE[torch.float64] == 1e-10


def test_an_example_is_the_same_each_time() -> None:
    (first, x), (second, y) = EXAMPLES["GCNConv"].make(), EXAMPLES["GCNConv"].make()
    assert torch.equal(x.x, y.x)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
    assert not torch.equal(x.x, EXAMPLES["GCNConv"].make(1)[1].x)


def test_readme_counts_the_laws() -> None:
    kinds = []
    for name, example in PUBLIC.items():
        module, data = map(first, example.make())
        kinds += [(name, law.kind) for law in laws_of(module, data)]
    text = re.sub(r"\s+", " ", README.read_text(encoding="utf-8"))
    assert summary(kinds) in text, f"README.md is to say: {summary(kinds)}"

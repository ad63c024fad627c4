"""What importing graphgdl.nn costs, and that the compiled extensions of PyG are there to be tested against."""

from __future__ import annotations

import subprocess
import sys

import torch_geometric.typing

IMPORT = """
import sys, time
import torch, torch_geometric.nn
heavy = ("numba", "rdkit", "matplotlib", "networkx")
for name in [name for name in sys.modules if name.split(".")[0] in heavy]:
    del sys.modules[name]  # PyG brings some of them where they are installed; who asks for them again?
start = time.process_time()
import graphgdl.nn
seconds = time.process_time() - start  # of this process: a busy machine is no bug
print(seconds, ",".join(name for name in heavy if name in sys.modules))
"""


def test_import_adds_less_than_a_second():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", IMPORT], capture_output=True, text=True, check=True)
    seconds, heavy = done.stdout.rstrip("\n").split(" ")
    assert float(seconds) < 1.0
    assert heavy == ""


def test_the_extensions_are_there():
    assert torch_geometric.typing.WITH_TORCH_SPARSE
    assert torch_geometric.typing.WITH_TORCH_SCATTER

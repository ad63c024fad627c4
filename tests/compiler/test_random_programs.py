"""Random loop programs: the compiled kernels, the interpreter in torch, and a dense oracle give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dense_oracle import dense
from hypothesis import given, settings
from loop_programs import RandomProgram, programs

from graphgdl.compiler import blocks, execute, kernel
from graphgdl.compiler.interpret import Edges, interpret
from graphgdl.compiler.topology import topology

UNIT = {"f32": 2.0**-23, "f64": 2.0**-52}


@pytest.fixture(autouse=True, scope="module")
def small_tiles():
    """Tiles and blocks of a few edges, parts of a few rows: the graphs of these tests are small. New memory holds nan."""
    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(blocks, "TILE_BYTES", 1)
        patcher.setattr(blocks, "TILE_EDGES", 15)
        patcher.setattr(blocks, "BLOCK_BYTES", 1)
        patcher.setattr(blocks, "BLOCK_EDGES", 3)
        patcher.setattr(kernel, "PART_WORK", 200)
        torch.use_deterministic_algorithms(True)
        yield
        torch.use_deterministic_algorithms(False)


def edges(g):
    return Edges(g.src, g.dst, g.num_src, g.num_dst)


def run(r: RandomProgram) -> list[torch.Tensor]:
    """Compile and run."""
    p = r.program
    # a product per edge lives in tiles: what leaves the program is a copy
    outputs = [p.node("stop", (o,), None, "E", o.shape, o.dtype) if o.space == "E" else o for o in r.outputs]
    compiled = execute.Executable(p.inputs, outputs)
    return compiled(topology(r.graph.edge_index, r.graph.num_src, r.graph.num_dst), [r.values[i] for i in p.inputs])


def assert_close(found, expected, r: RandomProgram, what: str) -> None:
    for node, a, b in zip(r.outputs, found, expected, strict=True):
        a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
        assert a.shape == b.shape, f"{what}: {node}"
        fact = r.facts[node]
        allowed = UNIT[r.dtype] * (0 if fact.exact else 4 * fact.error + 4)
        assert np.isfinite(b).all(), f"{what}: {node} is not finite: the generator of programs is wrong"
        assert (abs(a - b) <= allowed).all(), f"{what}: {node} on {r.graph}: {abs(a - b).max()} > {allowed}"


@settings(max_examples=150)
@given(programs())
def test_interpreter_equals_dense(r):
    assert_close(interpret(r.outputs, r.values, edges(r.graph)), dense(r.outputs, r.values, r.graph), r, "interpreter")


@settings(max_examples=60)
@given(programs())
def test_compiled_equals_interpreter(r):
    assert_close(run(r), interpret(r.outputs, r.values, edges(r.graph)), r, "compiled")


@pytest.mark.slow
@settings(max_examples=2000)
@given(programs(most=14))
def test_compiled_equals_interpreter_for_many(r):
    assert_close(run(r), interpret(r.outputs, r.values, edges(r.graph)), r, "compiled")

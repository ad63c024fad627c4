"""The device's loops against the message path, a dense oracle and the interpreter; run by `test_triton` (see there)."""

from __future__ import annotations

import copy
import os
import re

import layer_programs
import numpy as np
import pytest
import torch
from dense_oracle import dense
from hypothesis import given, settings
from layer_programs import Compiled, derivatives, inputs, layer
from loop_programs import programs
from test_random_programs import assert_close

from graphgdl.compiler import device_execute, device_topology, triton_launch
from graphgdl.compiler.derive import in_tiles
from graphgdl.compiler.device_execute import DeviceExecutable
from graphgdl.compiler.interpret import Edges, interpret, uniform
from graphgdl.compiler.ir import Program

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
# lanes without an edge compute with zeros, and are dropped
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-4}


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """Long rows from 5 edges, rows of more than 12 in pieces, tiles of about 20 edges."""
    monkeypatch.setattr(device_topology, "LONG", 4)
    monkeypatch.setattr(device_topology, "PIECE", 6)
    monkeypatch.setattr(device_execute, "TILE_BYTES", 1)
    monkeypatch.setattr(device_execute, "TILE_EDGES", 20)


@pytest.fixture(autouse=True)
def checked_memory(monkeypatch):
    """Under the interpreter, each address that a kernel reads or writes must lie in one of its tensors."""
    if DEVICE != "cpu":
        return
    from triton.runtime import interpreter

    spans: list[tuple[int, int]] = []
    call, load, store = (
        interpreter.GridExecutor.__call__,
        interpreter.InterpreterBuilder.create_masked_load,
        interpreter.InterpreterBuilder.create_masked_store,
    )

    def checked_call(self, *args, **kwargs):
        tensors = [a for a in [*args, *kwargs.values()] if isinstance(a, torch.Tensor)]
        spans[:] = [(t.data_ptr(), t.data_ptr() + t.numel() * t.element_size()) for t in tensors]
        return call(self, *args, **kwargs)

    def check(pointers, mask) -> None:
        data = np.broadcast_arrays(pointers.data, mask.data)[0][mask.data]
        if data.size:
            assert any(a <= data.min() and data.max() < b for a, b in spans), "a kernel leaves its arrays"

    def checked_load(self, pointers, mask, *args):
        check(pointers, mask)
        return load(self, pointers, mask, *args)

    def checked_store(self, pointers, value, mask, *args):
        check(pointers, mask)
        return store(self, pointers, value, mask, *args)

    monkeypatch.setattr(interpreter.GridExecutor, "__call__", checked_call)
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_masked_load", checked_load)
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_masked_store", checked_store)


def hub_graph(n: int, e: int) -> torch.Tensor:
    """Unsorted edges, two nodes with many, the last two nodes without any."""
    generator = torch.Generator().manual_seed(1)
    edge_index = torch.randint(n - 2, (2, e), generator=generator)
    edge_index[1, :14] = 2
    edge_index[0, 14:28] = 1
    return edge_index[:, torch.randperm(e, generator=generator)].to(DEVICE)


def check_layer(name: str, c: int, order: int, dtype: torch.dtype = torch.float64, inline: int = 0) -> None:
    n, e = 9, 30
    conv, shapes = layer(name, c)
    conv = conv.to(DEVICE, dtype)
    compiled = copy.deepcopy(conv)
    Compiled(compiled, device_topology.device_topology, DeviceExecutable, inline)
    values = {k: v.to(DEVICE).requires_grad_() for k, v in inputs(shapes, n, e, dtype).items()}
    edge_index = hub_graph(n, e)
    expected = derivatives(conv, values, edge_index, order)
    found = derivatives(compiled, values, edge_index, order)
    for level, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        scale = max(t.abs().max().item() for t in theirs)
        assert scale > 0
        for number, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            error = (a - b).abs().max().item()
            assert error <= TOLERANCE[dtype] * scale, f"order {level}, result {number}: {error} of {scale}"


@pytest.mark.parametrize("name", layer_programs.NAMES)
def test_value_and_gradient(name):
    check_layer(name, 3, 1)


@pytest.mark.parametrize(
    "name", ["GraphConv", "SAGEConv max", "GATConv", "TransformerConv", "EdgeConv", "PaiNN", "user"]
)
def test_second_derivative(name):
    check_layer(name, 3, 2)


@pytest.mark.parametrize(
    ("name", "c"), [("GATConv", 1), ("EGNN", 1), ("SAGEConv max", 33), ("GATv2Conv", 33), ("PaiNN", 33)]
)
def test_gradient_at_odd_sizes(name, c):
    check_layer(name, c, 1)


@pytest.mark.parametrize("name", ["EdgeConv", "EGNN", "CFConv", "PaiNN", "GATv2Conv"])
def test_small_products_inside_the_loops(name):
    check_layer(name, 5, 1, inline=200)


@pytest.mark.slow
@pytest.mark.parametrize("c", [3, 32, 33, 64, 123])
@pytest.mark.parametrize("name", layer_programs.NAMES)
def test_second_derivative_at_more_sizes(name, c):
    check_layer(name, c, 2)


@pytest.mark.parametrize("name", ["GraphConv", "SAGEConv max", "GATConv", "EdgeConv"])
def test_single_precision(name):
    check_layer(name, 32, 1, torch.float32)


@settings(max_examples=25)
@given(programs())
def test_random_programs(r):
    check_program(r)


@pytest.mark.slow
@settings(max_examples=500)
@given(programs(most=14))
def test_many_random_programs(r):
    check_program(r)


def check_program(r) -> None:
    p = r.program
    outputs = [p.node("stop", (o,), None, "E", o.shape, o.dtype) if in_tiles(o) else o for o in r.outputs]
    graph = device_topology.device_topology(r.graph.edge_index.to(DEVICE), r.graph.num_src, r.graph.num_dst)
    found = DeviceExecutable(p.inputs, outputs)(graph, [r.values[i].to(DEVICE) for i in p.inputs])
    assert_close([f.cpu() for f in found], dense(r.outputs, r.values, r.graph), r, "device")


def run(program: Program, outputs, values, edge_index, n: int) -> list[torch.Tensor]:
    made = DeviceExecutable(program.inputs, outputs)
    graph = device_topology.device_topology(edge_index, n, n)
    return [t.cpu() for t in made(graph, [v.to(DEVICE) for v in values])]


def edges(edge_index: torch.Tensor, n: int) -> Edges:
    return Edges(*edge_index.cpu(), n, n)


def test_dropout_draws_the_same_numbers_bit_by_bit():
    p = Program()
    seed = p.input("seed", "C", (), "i64")
    root = p.node("stop", (p.rand(seed, 3, "E", (5, 7), "f32"),), None, "E", (5, 7), "f32")
    number = -(2**62) + 123456789
    (found,) = run(p, [root], [torch.tensor(number)], hub_graph(9, 41), 9)
    assert torch.equal(found, uniform(torch.tensor(number), 3, 41, (5, 7), torch.float32))


@pytest.mark.parametrize("special", [float("nan"), float("-inf")])
def test_greatest_of_ties_and_special_numbers(special):
    """The first of equal numbers wins; NaN wins over numbers; -inf is a number."""
    p = Program()
    x = p.input("x", "E", (3,), "f32")
    outputs = [p.rmax(x, "dst", "N"), p.rarg(x, "dst", "N"), p.rarg(x, "src", "N")]
    edge_index = hub_graph(9, 41)
    value = torch.randint(0, 3, (41, 3), generator=torch.Generator().manual_seed(2)).float()
    value[4:20:3, 1] = special
    value[:, 2] = -float("inf")
    found = run(p, outputs, [value], edge_index, 9)
    expected = interpret(outputs, {x: value}, edges(edge_index, 9))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_inputs_are_summed_in_single_precision(half):
    p = Program()
    x, w = p.input("x", "N", (33,), "f32"), p.input("w", "C", (33,), "f32")
    root = p.reduce(p.pw("exp", p.pw("mul", p.gather(x, "src"), w)), "dst", "N")
    edge_index = hub_graph(9, 41)
    values = [torch.randn(9, 33, generator=torch.Generator().manual_seed(k)).to(half) for k in range(2)]
    values[1] = values[1][0].contiguous()
    (found,) = run(p, [root], values, edge_index, 9)
    single = {x: values[0].double(), w: values[1].double()}
    torch.testing.assert_close(found.double(), interpret([root], single, edges(edge_index, 9))[0], rtol=1e-5, atol=1e-5)


FUNCTIONS = ["exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh"]
FUNCTIONS += ["cosh", "tanh", "sigmoid", "erf", "abs", "sign", "floor", "neg"]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_functions(dtype):
    """Within 4 units in the last place of 1, or of the result, of torch's own in float64."""
    p = Program()
    x = p.input("x", "E", (), dtype)
    y = p.pw("sub", p.const(1.0, dtype), x)
    outputs = [p.pw("mul", p.pw(f, x), p.const(2.0, dtype)) for f in FUNCTIONS]
    outputs += [p.pw("mul", p.pw(f, x, y), p.const(2.0, dtype)) for f in ("pow", "atan2", "maximum", "minimum", "div")]
    values = torch.linspace(0.01, 0.97, 64, dtype=torch.float64).to(torch.float32 if dtype == "f32" else torch.float64)
    edge_index = torch.zeros(2, 64, dtype=torch.long, device=DEVICE)
    found = run(p, outputs, [values], edge_index, 1)
    q = Program()
    z = q.input("x", "E", (), "f64")
    w = q.pw("sub", q.const(1.0, "f64"), z)
    exact = [q.pw("mul", q.pw(f, z), q.const(2.0, "f64")) for f in FUNCTIONS]
    exact += [q.pw("mul", q.pw(f, z, w), q.const(2.0, "f64")) for f in ("pow", "atan2", "maximum", "minimum", "div")]
    expected = interpret(exact, {z: values.double()}, edges(edge_index, 1))
    unit = 2.0**-23 if dtype == "f32" else 2.0**-52
    for node, a, b in zip(outputs, found, expected, strict=True):
        error = ((a.double() - b).abs() / b.abs().clamp(min=1)).max().item()
        assert error <= 8 * unit, f"{node.args[0].op}: {error / unit} units"


def test_views_that_cut_axes():
    """(4, 6) as (24,), (2, 12), (8, 3), transposed, sliced with steps, joined out of order."""
    p = Program()
    x = p.input("x", "E", (4, 6), "f64")
    a = p.view(p.pw("exp", p.view(x, (24,))), (8, 3))
    b = p.view(p.permute(p.view(p.pw("sin", x), (2, 12)), (1, 0)), (8, 3))
    c = p.cat([p.take(p.pw("add", a, b), 1, [2, 0]), p.pw("mul", a, p.sum(b, [0], keepdim=True))], 1)
    d = p.take(p.take(c, 1, [4, 1, 1, 3, 0]), 0, range(7, 0, -2))
    outputs = [
        p.reduce(c, "dst", "N"),
        p.rmax(d, "src", "N"),
        p.total(p.amax(c, [1])),
        p.reduce(p.sum(d, [1]), "dst", "N"),
    ]
    value = torch.randn(41, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    edge_index = hub_graph(9, 41)
    found = run(p, outputs, [value], edge_index, 9)
    expected = interpret(outputs, {x: value}, edges(edge_index, 9))
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-12, atol=1e-12)


def test_the_same_bits_in_each_run():
    p = Program()
    x, w = p.input("x", "N", (33,), "f32"), p.input("w", "E", (1,), "f32")
    message = p.pw("mul", p.gather(x, "src"), w)
    outputs = [p.reduce(message, "dst", "N"), p.reduce(p.pw("exp", message), "src", "N"), p.total(message)]
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(50, 33, generator=generator), torch.randn(400, 1, generator=generator)]
    edge_index = hub_graph(50, 400)
    first = run(p, outputs, values, edge_index, 50)
    assert all(t.isfinite().all() for t in first)
    for _ in range(2):
        again = run(p, outputs, values, edge_index.clone(), 50)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(("n", "e"), [(0, 0), (5, 0), (1, 1)])
def test_graphs_of_almost_nothing(n, e):
    p = Program()
    x = p.input("x", "N", (3,), "f32")
    message = p.pw("exp", p.gather(x, "src"))
    outputs = [
        p.reduce(message, "dst", "N"),
        p.rmax(message, "dst", "N"),
        p.rarg(message, "dst", "N"),
        p.total(message),
    ]
    edge_index = torch.zeros(2, e, dtype=torch.long, device=DEVICE)
    found = run(p, outputs, [torch.ones(n, 3)], edge_index, n)
    expected = interpret(outputs, {x: torch.ones(n, 3)}, edges(edge_index, n))
    for f, g in zip(found, expected, strict=True):
        torch.testing.assert_close(f, g)


MUTANTS = {
    "lanes without an edge are counted": (r"tl\.where\(m, (\w+), 0\)", r"\1"),
    "padding is counted in sums over features": (r"tl\.where\(b\d+, (\w+), 0\)", r"\1"),
    "padding is counted in maxima over features": (r"tl\.where\(b\d+, (\w+), float\('-inf'\)\)", r"\1"),
    "a row without edges is -inf": (r"tl\.where\(begin_ < end_, (\w+), 0\)", r"\1"),
    "the mask of the padding is dropped": (r" & b\d+", ""),
    "the mask of the lanes is dropped": (r", mask=live[^)]*\)", ")"),
    "edge and neighbour are mistaken": (r"tl\.load\(col \+ q", "tl.load(edge + q"),
    "the last turn is dropped": (r"range\(0, most,", "range(0, most - 1,"),
    "turns overlap": (r"q = begin_ \+ k \+ turn", "q = begin_ + k // 2 + turn"),
    "the parts of a concatenation are exchanged": (r"tl\.where\((v\d+), (v\d+), (v\d+)\)", r"tl.where(\1, \3, \2)"),
    "the first of equal edges loses": (
        r"device\.later\((\w+), (\w+), (\w+), (\w+), m\)",
        r"device.later(\1, \2, \3, -\4, m)",
    ),
    "a step of a slice is lost": (r"\(a(\d+) \* -1", r"(a\1 * 1"),
    "a row is another row": (r"row_ = tl\.load\(row \+ lane", "row_ = tl.load(row + lane - lane % 2"),
}


def mutated_program():
    p = Program()
    x, y = p.input("x", "E", (3, 5), "f64"), p.input("y", "N", (3, 5), "f64")
    z = p.pw("exp", p.pw("add", x, p.gather(y, "src")))
    turned = p.take(p.cat([z, p.pw("sin", x)], 1), 1, range(9, -1, -1))
    wide = p.pw("mul", p.sum(turned, [1], keepdim=True), p.pw("add", x, p.gather(y, "dst")))
    outputs = [
        p.reduce(wide, "dst", "N"),
        p.rmax(p.pw("neg", z), "dst", "N"),
        p.total(z),
        p.node("stop", (turned,), None, "E", (3, 10), "f64"),
    ]
    outputs += [p.rarg(p.pw("floor", x), "dst", "N"), p.reduce(p.amax(p.pw("neg", z), [0]), "src", "N")]
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(30, 3, 5, generator=generator).double(), torch.randn(9, 3, 5, generator=generator).double()]
    return p, outputs, values


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_die(mutant, monkeypatch):
    """A change of the printed text shows in the results, or leaves the arrays."""
    if DEVICE != "cpu":
        pytest.skip("a mutant may write anywhere")
    original, changed = triton_launch.compiled, 0

    def compiled(text: str):
        nonlocal changed
        text, count = re.subn(*MUTANTS[mutant], text)
        changed += count
        return original(text)

    p, outputs, values = mutated_program()
    edge_index = hub_graph(9, 30)
    expected = interpret(outputs, dict(zip(p.inputs, values, strict=True)), edges(edge_index, 9))
    for a, b in zip(run(p, outputs, values, edge_index, 9), expected, strict=True):
        torch.testing.assert_close(a, b)
    monkeypatch.setattr(triton_launch, "compiled", compiled)
    try:
        found = run(p, outputs, values, edge_index, 9)
        survives = all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
    except Exception as error:
        survives = not re.search("leaves its arrays|out of bounds", str(error))
    assert not survives
    assert changed

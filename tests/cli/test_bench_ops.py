import json
import math
import os
import sys
from dataclasses import replace

import pytest
import torch
import torch_geometric.nn as pyg
from quick_bench import QUIET, TINY, quick  # noqa: F401 - a fixture of this module
from rich.console import Console

import graphgdl
from graphgdl.cli.bench.hot_path import job, layers, messages, regression, report, row, sums
from graphgdl.cli.bench.hot_path.check import deviation
from graphgdl.cli.bench.hot_path.graphs import GRAPHS, build_graph
from graphgdl.cli.bench.hot_path.problem import FORCES, FORWARD, OURS, TRAINING, Problem, Result, Side
from graphgdl.nn import explain_lowering

# steps


def test_force_step_is_the_derivative_of_the_loss():
    graph = build_graph("random-20k", TINY)
    problem = layers.layer_problem("EGNN", graph, 4)
    side = problem.sides[layers.TENSOR]
    problem.prepare(FORCES)
    assert problem.pos.requires_grad
    assert [t.requires_grad for t in problem.inputs] == [t is problem.pos for t in problem.inputs]
    (loss, slope), grads = problem.step(FORCES, side)
    assert torch.count_nonzero(slope)
    weight = side.parameters[0]
    flat = weight.data.view(-1)
    for entry in (0, 5):
        kept, ends = float(flat[entry]), []
        for step in (1e-3, -1e-3):
            flat[entry] = kept + step
            ends.append(float(problem.step(FORCES, side).values[0]))
        flat[entry] = kept
        assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(
            float(grads[0].view(-1)[entry]), rel=2e-2, abs=1e-3 * float(loss)
        )


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.parametrize("name", [*layers.LAYERS, *sums.SUMS])
def test_every_side_agrees_and_is_measured(name):
    graph = build_graph("random-20k", TINY)
    make = layers.layer_problem if name in layers.LAYERS else sums.sum_problem
    problem = make(name, graph, 16)
    found = row.measure(problem, repeats=3, budget=0.0)
    assert {(r.work, r.side) for r in found} == {(work, side) for work in problem.works for side in problem.sides}
    assert (FORCES in problem.works) == (name in ("PaiNN", "EGNN", "CFConv"))
    for r in found:
        if (
            name in layers.LAYERS
            and layers.LAYERS[name].user
            and r.side == OURS
            and not hasattr(graphgdl, "accelerate")
        ):
            assert (r.status, r.reason) == ("skipped", "this version has no graphgdl.accelerate")
            continue
        assert r.status == "ok", r
        assert r.error <= 1e-4
        assert 0 < r.min_ms <= r.q1_ms <= r.median_ms <= r.q3_ms
        assert r.rounds >= 3
        assert r.peak_mib >= 0
        assert (r.copy_share is None) == (r.gather_share is None) == (r.work == FORCES)
        assert r.busy_ms == r.median_ms  # of the CPU; a GPU may be idle
        if r.copy_share is not None:
            assert r.copy_share * r.copy_gb_s == pytest.approx(r.gather_share * r.gather_gb_s)
            assert r.copy_share * r.copy_gb_s * 1e6 * r.busy_ms == pytest.approx(r.floor_mib * 2**20)
        if r.side == OURS:
            ours = r.median_ms
            peers = {p.side: p for p in found if p.work == r.work and p.side != OURS and p.status == "ok"}
            assert r.ratio_best == pytest.approx(min(p.median_ms for p in peers.values()) / ours)
            assert r.ratio_plain == pytest.approx(peers[problem.plain].median_ms / ours)
            assert (r.new_edges_ms is not None) == (r.work == FORWARD)
            assert peers[r.best_peer].median_ms == min(p.median_ms for p in peers.values())


def test_ours_has_the_peers_parameters_and_none_is_zero():
    problem = layers.layer_problem("GATConv", build_graph("molecules", 0.02), 16)
    ours, theirs = problem.sides[OURS].parameters, problem.sides[layers.TENSOR].parameters
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs):
        assert a is not b
        assert torch.equal(a, b)
        assert torch.count_nonzero(a) == a.numel()
    assert problem.sides[OURS].lowering().startswith(("fused", "compiled"))


@pytest.mark.parametrize("name", sums.SUMS)
def test_the_sum_on_a_gpu_is_a_compiled_message(name):
    graph = build_graph("power-law", TINY)
    problem = sums.sum_problem(name, graph, 16)
    x, w = (*problem.inputs, None)[:2]
    compiled, peer = sums._compiled(graph), sums._gather_and_add(graph)
    torch.testing.assert_close(compiled(x, w, None), peer(x, w, None))
    (row,) = explain_lowering(compiled.__closure__[1].cell_contents, x, w, graph.edge_index)
    assert row.ran == "compiled"


def test_user_layers_go_through_accelerate(monkeypatch):
    given = []

    def accelerate(model):
        given.append(model)
        return model

    monkeypatch.setattr(graphgdl, "accelerate", accelerate, raising=False)
    problem = layers.layer_problem("PNA", build_graph("molecules", 0.02), 8)
    found = row.measure(problem, repeats=3, budget=0.0)
    assert [type(model) for model in given] == [messages.PNALike]
    assert given[0].pre.weight is not problem.sides[layers.TENSOR].parameters[0]
    assert {r.status for r in found} == {"ok"}
    assert explain_lowering(given[0], *problem.inputs, problem.graph.edge_index)[0].ran in next(
        r.lowering for r in found if r.side == OURS
    )


# what a wrong, broken or too large side becomes


def _broken(problem, change):
    right = problem.sides[problem.plain]
    return Side(lambda edges=None: change(right.run(edges)), right.parameters)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda outs: tuple(out * (1 + 1e-3) for out in outs), "wrong"),
        (lambda outs: tuple(out * (1 + 1e-6) for out in outs), "ok"),
        (lambda outs: tuple(out.detach() + 0 * out for out in outs), "wrong"),  # right value, no gradient
        (lambda outs: tuple(torch.cat([out[:-1], out[-1:] * torch.nan]) for out in outs), "wrong"),
        (lambda outs: tuple(out[:-1] for out in outs), "failed"),  # the gradient's shape is another one
    ],
)
@pytest.mark.parametrize("name", ["GraphConv", "EdgeConv"])
def test_a_wrong_side_has_no_time(name, change, status):
    problem = layers.layer_problem(name, build_graph("molecules", 0.05), 8)
    problem.sides = {OURS: _broken(problem, change), layers.TENSOR: problem.sides[layers.TENSOR]}
    problem.works = (TRAINING,)
    ours, peer = row.measure(problem, repeats=3, budget=0.0)
    assert (ours.side, ours.status) == (OURS, status)
    assert (ours.median_ms is None) == (status != "ok")
    assert peer.status == "ok"
    assert peer.median_ms
    if status == "wrong":
        assert "wrong by" in ours.reason
        assert job.failures([ours, peer]) == [f"{name} on molecules, {TRAINING}, graphgdl: {ours.reason}"]


def test_a_failing_peer_is_no_failure_but_ours_is():
    problem = layers.layer_problem("GraphConv", build_graph("molecules", 0.02), 8)

    def fail(edges=None):
        raise RuntimeError("no kernel\nmore lines")

    problem.sides |= {OURS: Side(fail), layers.EDGE_INDEX: Side(fail)}
    found = {r.side: r for r in row.measure(problem, repeats=3, budget=0.0) if r.work == FORWARD}
    assert found[OURS].reason == found[layers.EDGE_INDEX].reason == "RuntimeError: no kernel"
    assert found[layers.TENSOR].status == "ok"
    assert job.failures(list(found.values())) == [
        f"GraphConv on molecules, {FORWARD}, graphgdl: RuntimeError: no kernel"
    ]
    assert job.notes(list(found.values())) == [
        "no time for PyG EdgeIndex: RuntimeError: no kernel: GraphConv on molecules"
    ]
    slow = [replace(found[layers.TENSOR], side=OURS, graph=name, lowering="message (not x: y)") for name in ("a", "b")]
    assert job.notes([*slow, slow[0]]) == ["ran message (not x: y): GraphConv on a, GraphConv on b"]
    problem.sides[layers.TENSOR] = Side(fail)
    found = row.measure(problem, repeats=3, budget=0.0)
    assert {r.status for r in found} == {"skipped"}
    assert "no result to check against, PyG tensor failed: RuntimeError: no kernel" in found[0].reason


def test_without_the_extensions_their_rows_say_so(monkeypatch):
    def absent(**kwargs):
        raise ImportError("'SparseTensor' requires 'torch-sparse'")

    monkeypatch.setattr("torch_geometric.typing.SparseTensor", absent)
    monkeypatch.setitem(sys.modules, "torch_scatter", None)
    monkeypatch.setitem(sys.modules, "torch_sparse", None)
    graph = build_graph("molecules", 0.02)
    layer, op = layers.layer_problem("SAGEConv", graph, 8), sums.sum_problem("sum", graph, 8)
    remedy = "pip install --no-build-isolation graphgdl[pyg-ext]"
    absent_sides = [layer.sides[layers.SPARSE_TENSOR], op.sides["torch_scatter"], op.sides["torch_sparse"]]
    for reason, name in zip(absent_sides, ("torch-sparse", "torch_scatter", "torch_sparse")):
        assert name in reason
        assert remedy in reason
    found = row.measure(layer, repeats=3, budget=0.0)
    assert [r.reason for r in found if r.status == "skipped"] == [layer.sides[layers.SPARSE_TENSOR]] * 2
    assert {r.status for r in found if r.side != layers.SPARSE_TENSOR} == {"ok"}


def test_a_peer_that_needs_too_much_memory_is_not_started(monkeypatch):
    monkeypatch.setattr(job, "available_bytes", lambda device: 2**20)
    monkeypatch.setattr(job, "_PILOT", 0.2)
    wanted = job.Job(("EdgeConv",), ("random-20k",), channels=64, scale=0.05)
    (found,) = job.run_job(wanted, lambda text: None, lambda label, share: None)
    assert {r.status for r in found} == {"skipped"}
    assert "PyG needs about" in found[0].reason
    assert "0.0 GiB are free" in found[0].reason


def test_deviation():
    big, noise = torch.tensor([100.0, -3.0]), torch.tensor([1e-7])
    right = Result([big], [big, noise])
    assert deviation(right, right) == (0.0, 1e-4)
    assert deviation(Result([big], [big, -noise]), right)[0] < 1e-4  # zero but for rounding
    assert deviation(Result([big], [big + torch.tensor([0.0, 0.5]), noise]), right)[0] == pytest.approx(0.005)
    assert deviation(Result([big * 1.01], [big, noise]), right)[0] == pytest.approx(0.01, rel=1e-3)
    assert deviation(Result([big], [big * torch.nan, noise]), right)[0] == math.inf
    assert deviation(Result([big], [big[:1], noise]), right)[0] == math.inf
    with pytest.raises(ValueError, match="argument 2 is longer"):
        deviation(Result([big], [big]), right)
    one_tie = torch.ones(1_000_000)
    one_tie[7] = 0.0
    result, expected = Result([big], [one_tie]), Result([big], [torch.ones(1_000_000)])
    assert deviation(result, expected)[0] == 1.0
    error, tolerance = deviation(result, expected, kinks=True)
    assert error == pytest.approx(0.001)
    assert error < tolerance
    assert deviation(Result([big], [0 * one_tie]), expected, kinks=True)[0] == 1.0
    assert deviation(Result([big], [one_tie * torch.inf]), expected, kinks=True)[0] == math.inf
    assert deviation(Result([big * 2], [one_tie]), expected, kinks=True)[0] > 1e-4


# the job


def test_missing_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"`device` is cuda, but .*take --device cpu"):
        job.Job(device="cuda")


def test_selection():
    assert job.Job().graphs == ("random-20k", "molecules")
    assert job.Job(cases=("all",)).cases == (*layers.LAYERS, *sums.SUMS)
    assert {*job.Job().cases} < {*layers.LAYERS, *sums.SUMS}
    assert job.Job(graphs=("grid", "all")).graphs == tuple(GRAPHS)


def test_predicted_time_follows_the_rounds():
    wanted = job.Job(("sum",), repeats=7, budget=6.0)

    def predicted(seconds):
        return job.predicted_seconds(wanted, {"sum": {FORWARD: job.Cost(seconds, 0.0)}}, "sum", 1_000) - job._STEP

    assert predicted(1e-6) == pytest.approx(4 * 1e-3 * (7 + 3))  # four sides, seven rounds and three calls before them
    assert predicted(1e-3) == pytest.approx(4 * 1.0 * (3 + 3))  # long: three rounds
    assert predicted(3e-4) == pytest.approx(4 * 0.3 * (5 + 3))  # as many as fit into six seconds


def test_pilot_measures_time_and_memory_of_every_step(monkeypatch):
    monkeypatch.setattr(job, "_PILOT", TINY)
    costs = job.pilot(job.Job(("EGNN",), channels=64))["EGNN"]
    assert set(costs) == {FORWARD, TRAINING, FORCES}
    assert all(cost.seconds > 0 for cost in costs.values())
    assert costs[FORWARD].bytes < costs[FORCES].bytes
    assert costs[FORCES].bytes > 4 * 64  # more than one row of an edge


# comparing, the table


def _row(**fields):
    blank = row.Row("GCNConv", "layer", "grid", 9, 24, 64, "float32", "cpu", FORWARD, OURS)
    return replace(blank, **fields)


def test_changes():
    old = [_row(median_ms=2.0, ratio_plain=6.0, memory_plain=0.2), _row(work=TRAINING, median_ms=1.0, ratio_plain=2.0)]
    new = [
        _row(median_ms=3.0, ratio_plain=4.0, memory_plain=0.1),
        _row(work=TRAINING, status="failed", reason="no kernel"),
        _row(case="GATConv", median_ms=1.0, ratio_plain=1.0),
    ]
    slower, lost = regression.changes([r.as_json({}) for r in new], [r.as_json({}) for r in old])
    assert (slower.relative, slower.absolute, slower.memory) == (1.5, 1.5, 0.5)
    assert slower.is_worse(0.4)
    assert not slower.is_worse(0.6)
    assert str(slower) == "GCNConv on grid, forward: time against the plain peer x 1.50, time x 1.50, memory x 0.50"
    assert lost.is_worse(100)
    assert str(lost) == "GCNConv on grid, forward+backward: no time any more: no kernel"
    with pytest.raises(ValueError, match="no timed row in common"):
        regression.changes([new[2].as_json({})], [old[0].as_json({})])
    assert regression.differences({"torch": "2", "load": 1.0, "cpu": "a"}, {"torch": "1", "load": 2.0, "cpu": "a"}) == [
        "torch: 1 then, 2 now"
    ]


def test_reading_an_earlier_run(tmp_path):
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps(_row().as_json({})) + "\nnot json\n")
    with pytest.raises(ValueError, match=r"old.jsonl, line 2: expected a row .* without a JSON object"):
        regression.read_rows(path)
    path.write_text('{"case": "GCNConv"}\n')
    with pytest.raises(ValueError, match=r"line 1: .* without graph"):
        regression.read_rows(path)


@pytest.mark.parametrize("width", [60, 100, 300])
def test_no_number_is_cut_on_any_terminal(width):
    ours = _row(median_ms=12.345, q1_ms=11.0, q3_ms=1234.5, ratio_best=5.4321, peak_mib=33.3, best_peer="PyG tensor")
    peer = _row(side="PyG tensor", median_ms=67.06, peak_mib=333.3)
    lost = _row(work=TRAINING, status="skipped", reason="why")
    console = Console(width=width, force_terminal=True, record=True, color_system=None)
    report.print_report([ours, peer, lost], console)
    text = console.export_text()
    for word in ("12.35", "11.00 - 1234", "67.06", "5.43", "33.3", "333", "skipped", "layers on grid", "graphgdl"):
        assert word in text
    assert "…" not in text


def test_environment_is_where_it_ran(monkeypatch):
    from graphgdl.cli.bench.hot_path.environment import environment

    facts = environment()
    assert facts["threads"] == torch.get_num_threads()
    assert facts["cores"] == os.cpu_count()
    assert facts["torch_geometric"]
    assert facts["cpu"]


def test_plot_needs_a_time(tmp_path):
    from graphgdl.cli.bench.hot_path.plot import write_plot

    with pytest.raises(ValueError, match="`--plot`: nothing to draw"):
        write_plot(tmp_path / "figure.png", [_row(status="skipped")])
    assert not list(tmp_path.iterdir())


def test_peers_are_pygs_own_layers():
    problem = layers.layer_problem("GINEConv", build_graph("molecules", 0.02), 8)
    assert isinstance(problem, Problem)
    layer = layers.LAYERS["GINEConv"].build(pyg, 8)
    assert type(layer) is pyg.GINEConv
    assert list(problem.sides) == [OURS, layers.TENSOR, layers.EDGE_INDEX, layers.SPARSE_TENSOR]

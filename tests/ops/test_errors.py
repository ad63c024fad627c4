"""Every refusal, by its message: the argument, what was expected, what came."""

import re

import pytest
import torch

from graphgdl import ops
from graphgdl.ops import edge_dot, gather_scatter, segment_expand, segment_reduce, segment_softmax

X = torch.ones(3, 2)
EDGES = torch.tensor([[0, 1], [1, 2]])
INDEX = torch.tensor([0, 1, 1])


def refused(error, message, function, *args, **options):
    with pytest.raises(error, match=re.escape(message)):
        function(*args, **options)


@pytest.mark.parametrize(
    ("edge_index", "error", "message"),
    [
        ([[0], [1]], TypeError, "`edge_index` must be a tensor, got list"),
        (EDGES.float(), TypeError, "`edge_index` must be int64 or int32, got torch.float32"),
        (EDGES.to(torch.int16), TypeError, "`edge_index` must be int64 or int32, got torch.int16"),
        (
            torch.zeros(4, 2, dtype=torch.long),
            ValueError,
            "`edge_index` must have shape (2, e), got (4, 2); transpose it?",
        ),
        (torch.zeros(3, 4, dtype=torch.long), ValueError, "`edge_index` must have shape (2, e), got (3, 4)"),
        (INDEX, ValueError, "`edge_index` must have shape (2, e), got (3,)"),
        (torch.tensor([[0, 3], [1, 2]]), ValueError, "`edge_index`[0] (source) must hold values in [0, 3), got 3"),
        (torch.tensor([[0, 1], [1, 7]]), ValueError, "`edge_index`[1] (destination) must hold values in [0, 3), got 7"),
        (torch.tensor([[0, -1], [1, 2]]), ValueError, "`edge_index`[0] (source) must hold values in [0, 3), got -1"),
        (
            torch.tensor([[0, 1], [-5, 2]]),
            ValueError,
            "`edge_index`[1] (destination) must hold values in [0, 3), got -5",
        ),
    ],
)
def test_edge_index(edge_index, error, message):
    for reduce in ("sum", "mean", "max", "min"):
        refused(error, message, gather_scatter, X, edge_index, reduce=reduce)
    refused(error, message, edge_dot, X, X, edge_index)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ([0, 1, 1], TypeError, "`index` must be a tensor, got list"),
        (INDEX.double(), TypeError, "`index` must be int64 or int32, got torch.float64"),
        (torch.zeros(3, 3, dtype=torch.long), ValueError, "`index` must have shape (e,) or (2, e), got (3, 3)"),
        (
            torch.zeros(3, 2, dtype=torch.long),
            ValueError,
            "`index` must have shape (e,) or (2, e), got (3, 2); transpose it?",
        ),
        (torch.tensor([0, 1, 2]), ValueError, "`index` must hold values in [0, 2), got 2"),
        (torch.tensor([0, 1, -1]), ValueError, "`index` must hold values in [0, 2), got -1"),
        (
            torch.tensor([[9, 9, 9], [0, 4, 1]]),
            ValueError,
            "`edge_index`[1] (destination) must hold values in [0, 2), got 4",
        ),
    ],
)
def test_index(index, error, message):
    for reduce in ("sum", "mean", "max", "min"):
        refused(error, message, segment_reduce, torch.ones(3), index, 2, reduce)
    refused(error, message, segment_softmax, torch.ones(3), index, 2)
    refused(error, message, segment_expand, torch.ones(2), index)


def test_values():
    refused(TypeError, "`x` must be a tensor, got list", gather_scatter, [[1.0]], EDGES)
    refused(ValueError, "`x` must have shape (n, c) or (n, h, c), got (3,)", gather_scatter, torch.ones(3), EDGES)
    refused(TypeError, "`x` must be real, got torch.complex64", gather_scatter, X.to(torch.complex64), EDGES)
    refused(TypeError, "`x` must be real, got torch.bool", gather_scatter, X.bool(), EDGES)
    refused(TypeError, "`x` must be floating point, got torch.int64", gather_scatter, X.long(), EDGES, reduce="mean")
    refused(
        TypeError, "`x` must be floating point, got torch.int64", gather_scatter, X.long(), EDGES, None, torch.ones(2)
    )
    refused(TypeError, "`x` must be floating point, got torch.int64", edge_dot, X.long(), X, EDGES)
    refused(TypeError, "`src` must be floating point, got torch.int64", segment_softmax, INDEX, INDEX, 2)
    refused(TypeError, "`y` must be a tensor, got float", segment_expand, 1.0, INDEX)
    refused(ValueError, "`y` must have shape (n, ...), got ()", segment_expand, torch.tensor(1.0), INDEX)
    refused(ValueError, "`x` and `y` must agree in all but the first", edge_dot, X, torch.ones(3, 4), EDGES)
    for src in (torch.ones(2), torch.tensor(1.0)):
        refused(ValueError, "`src` must have shape (e, ...) with e = 3", segment_reduce, src, INDEX, 2)


def test_weight():
    refused(TypeError, "`weight` must be a tensor, got list", gather_scatter, X, EDGES, None, [1.0, 2.0])
    refused(TypeError, "`weight` must be floating point", gather_scatter, X, EDGES, None, torch.ones(2).long())
    for shape in ((3,), (2, 1), ()):
        message = f"`weight` must have shape (e,) = (2,), got {shape}; one weight for each edge"
        refused(ValueError, message, gather_scatter, X, EDGES, None, torch.ones(shape))
    message = "`weight` must have shape (e,) = (2,) or (e, h) = (2, 4), got (2, 1)"
    refused(ValueError, message, gather_scatter, torch.ones(3, 4, 2), EDGES, None, torch.ones(2, 1))


def test_reduce_and_counts():
    message = "`reduce` must be one of 'sum', 'mean', 'max', 'min', got 'median'"
    refused(ValueError, message, gather_scatter, X, EDGES, reduce="median")
    refused(ValueError, message, segment_reduce, X, INDEX, 2, "median")
    refused(ValueError, "`num_dst` must be at least 0, got -1", gather_scatter, X, EDGES, -1)
    refused(TypeError, "`num_dst` must be an integer, got Tensor", gather_scatter, X, EDGES, torch.tensor(3))
    refused(TypeError, "`num_segments` must be an integer, got NoneType", segment_softmax, torch.ones(3), INDEX, None)


def test_end():
    refused(ValueError, "`end` must be 'dst' or 'src', got 'source'", segment_expand, X, EDGES, "source")
    refused(ValueError, "`index` must have shape (2, e) for `end` 'src', got (3,)", segment_expand, X, INDEX, "src")
    message = "`edge_index`[0] (source) must hold values in [0, 1), got 1"
    refused(ValueError, message, segment_expand, X[:1], EDGES, "src")


def test_range_is_checked_for_the_number_of_rows_of_each_call():
    gather_scatter(X, EDGES)
    refused(ValueError, "must hold values in [0, 2), got 2", gather_scatter, X, EDGES, 2)
    refused(ValueError, "must hold values in [0, 1), got 1", gather_scatter, X[:1], EDGES, 3)


@pytest.mark.parametrize("name", ["weighted_sum", "edge_dot", "segment_sum", "segment_softmax", "segment_expand"])
def test_device_without_a_kernel_is_named(name):
    for key in ("CUDA", "MPS", "XPU"):
        assert torch._C._dispatch_has_computed_kernel_for_dispatch_key(f"graphgdl::{name}", key)
    from graphgdl.ops.registration import _no_kernel

    class OnDevice(torch.Tensor):
        device = torch.device("cuda")

    message = f"has no kernel of `{name}` for the device(s) cuda; move every tensor to the CPU"
    refused(NotImplementedError, message, _no_kernel(name), torch.ones(1).as_subclass(OnDevice))


def test_available_backends(monkeypatch):
    assert ops.available_backends()["cpu"] is None
    assert ops.available_backends()["cuda"]
    monkeypatch.setattr("graphgdl.ops.backends.find_spec", lambda name: None)
    assert ops.available_backends()["cpu"] == "llvmlite is not installed: pip install llvmlite"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert ops.available_backends()["cuda"] == "this version has no CUDA kernels"

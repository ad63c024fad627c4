"""Each layer is one graph of torch.compile, at its first call, or listed with what breaks it; drop-ins: `test_ecosystem`."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from layer_cases import CASES

from graphgdl import nn
from graphgdl.testing.equivariance import prepared, tensors
from graphgdl.testing.examples import EXAMPLES

RAGGED = "sets of unequal size are sorted into blocks, whose shapes are numbers in `ptr`"
KERNEL = "torch's recurrent kernels, which torch.compile does not trace, on blocks whose shapes are numbers in `ptr`"
DENSE = "PyG's `to_dense_batch` and `to_dense_adj` make tensors whose shapes are numbers in `batch`"
BREAKS = {
    "ChainRNN": KERNEL,
    "ChainGRU": KERNEL,
    "ChainLSTM": KERNEL,
    "DotProductAttention": RAGGED,
    "TransformerEncoderLayer": RAGGED,
    "MultiheadAttentionBlock": RAGGED,
    "SetAttentionBlock": RAGGED,
    "InducedSetAttentionBlock": RAGGED,
    "PoolingByMultiheadAttention": RAGGED,
    "JanossyPooling": "how many tuples there are, is a number in `ptr`",
    "GridNetwork": "on a ring its forward is watched, call by call",
    "HeavyEdgePool": "how many pairs the matching finds, depends on the edges",
    "DiffPool": DENSE,
    "MinCutPool": DENSE,
}
DROP_IN = {case.title for case in CASES}
OURS = {name for name, kind in vars(nn).items() if inspect.isclass(kind) and kind.__module__.startswith("graphgdl.")}
WHOLE = [name for name in EXAMPLES if name in OURS - DROP_IN - BREAKS.keys()]


def compiled(name):
    """The output of the compiled layer, and of a twin that is not."""
    torch.compiler.reset()
    layer, data = prepared(*EXAMPLES[name].make(), torch.float64)
    twin, given = copy.deepcopy(layer), data.to_dict()
    given["data"] = given.get("x")  # a coarsening stands within a `Blueprint`, which takes features and structure
    given["edge_index"] = given["structure"] = given.get("edge_index", given.get("structure"))
    given = {name: given[name] for name in inspect.signature(layer.forward).parameters if name in given}
    fast = torch.compile(layer, fullgraph=True, backend="eager")
    return tensors(fast(**given)), tensors(twin(**given))


@pytest.mark.parametrize("name", WHOLE)
def test_a_layer_is_one_graph(name):
    for fast, plain in zip(*compiled(name), strict=True):
        torch.testing.assert_close(fast, plain)


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_listed_breaks(name):
    """Whoever mends one strikes it from the list."""
    assert name in OURS
    with pytest.raises(RuntimeError, match=r"(?i)data-dependent|torch\.compiler\.disable|as_proxy"):
        compiled(name)

"""The contract of a layer: its law, disjoint unions, an output that means something, and a broken twin that is caught."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import Module
from torch_geometric.data import Batch, Data

from graphgdl.groups import Permutation
from graphgdl.testing.equivariance import (
    TOLERANCE,
    Call,
    Law,
    assert_equivariant,
    call_module,
    equivariance_errors,
    moving,
    prepared,
    relative_error,
    tensors,
)

ORBIT = 8
"""Number of elements tried before an output counts as constant over the orbit."""


def assert_contract(
    module: Module,
    data: Data,
    *,
    twin: Module,
    group: Any = None,
    law: Law = "equivariant",
    seed: int = 0,
    call: Call = call_module,
    inert: Sequence[str] = (),
) -> dict[str, float]:
    """Assert the whole contract of a layer, or of a model with law "invariant", in float64.

    Args:
        module: the layer.
        data: a graph with random features.
        twin: the layer with one thing broken; it must fail the law.
        group, law, seed, call: see `assert_equivariant`.
        inert: see `assert_not_vacuous`.

    Returns:
        The measured errors of "law", "union" and "twin".

    Raises:
        AssertionError: naming the part that does not hold.
    """
    errors = {
        "law": assert_equivariant(module, data, group=group, law=law, seed=seed, call=call),
        "union": assert_disjoint_union(module, [data, second_graph(data, seed)], call=call),
        "twin": assert_twin_fails(twin, data, group=group, law=law, seed=seed, call=call),
    }
    assert_not_vacuous(module, data, group=group, law=law, seed=seed, call=call, inert=inert)
    return errors


def second_graph(data: Data, seed: int = 0) -> Data:
    """Return the graph with other features, renumbered unless it has a structure: something to stand beside `data`."""
    generator = torch.Generator().manual_seed(seed)
    other = with_other_features(data, generator)
    group = Permutation(data.num_nodes)
    return other if "structure" in data else group.act(group.sample(generator), other)


def assert_disjoint_union(
    module: Module, graphs: list[Data], *, tol: float | None = None, call: Call = call_module
) -> float:
    """Assert f(A + B) = f(A) + f(B): graphs in one batch do not see each other. Returns the relative error.

    Outputs of single graphs, one row a node or one row a graph, are concatenated and compared with that of the batch.
    """
    tol = TOLERANCE[torch.float64] if tol is None else tol
    pairs = [prepared(module, data, torch.float64) for data in graphs]
    f, parts = pairs[0][0], [data for _, data in pairs]
    with torch.no_grad():
        alone = [tensors(call(f, Batch.from_data_list([part]))) for part in parts]
        together = tensors(call(f, Batch.from_data_list(parts)))
    error = relative_error(together, [torch.cat(outs) for outs in zip(*alone)])
    if not error <= tol:
        raise AssertionError(
            f"{type(module).__name__} mixes the graphs of a batch: f(A + B) differs from f(A) + f(B) by {error:.2e}, "
            f"above {tol:.0e}"
        )
    return error


def assert_not_vacuous(
    module: Module,
    data: Data,
    *,
    group: Any = None,
    law: Law = "equivariant",
    seed: int = 0,
    call: Call = call_module,
    inert: Sequence[str] = (),
) -> None:
    """Assert that the output varies with the features, over the orbit unless invariant, and with every parameter.

    Where the group moves some attributes alone, such as `pos`, the output must vary with these.

    Args:
        module, data, group, law, seed, call: see `assert_equivariant`.
        inert: names of the parameters that cannot matter by the layer's mathematics (a bias before a softmax).
    """
    name = type(module).__name__
    f, x = prepared(module, data, torch.float64)
    generator = torch.Generator().manual_seed(seed)
    group = Permutation(x.num_nodes) if group is None else group
    with torch.no_grad():
        out = tensors(call(f, x))
        if relative_error(tensors(call(f, with_other_features(x, generator))), out) < 1e-6:
            raise AssertionError(f"{name} is vacuous: its output does not vary with the features")
        if law == "equivariant":
            orbit = [tensors(call(f, group.act(moving(group, generator), x))) for _ in range(ORBIT)]
            if all(relative_error(moved, out) < 1e-6 for moved in orbit):
                raise AssertionError(f"{name} is vacuous: its output is the same over the orbit of {group}")
        for key, parameter in f.named_parameters():
            if key in inert:
                continue
            g = copy.deepcopy(f)
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            g.get_parameter(key).add_(noise)
            if relative_error(tensors(call(g, x)), out) < 1e-9:
                raise AssertionError(
                    f"{name} is vacuous: its output does not vary with the parameter `{key}`; if by its mathematics it "
                    f"cannot, name it in the module's attribute `inert`"
                )
        moved = [key for key in getattr(group, "fields", {}) if x[key].is_floating_point()]
        if moved and relative_error(tensors(call(f, with_other_features(x, generator, moved))), out) < 1e-6:
            raise AssertionError(
                f"{name} is vacuous: its output does not vary with `{'`, `'.join(moved)}`, which the group moves"
            )


def assert_twin_fails(
    twin: Module,
    data: Data,
    *,
    group: Any = None,
    law: Law = "equivariant",
    seed: int = 0,
    draws: int = 4,
    call: Call = call_module,
) -> float:
    """Assert that a layer with one thing broken fails the law, by an error between 1e-6 and 1. Returns the error.

    A test of the test: were the twin to pass, so would anything. An error above 1 says that more than one thing broke.
    """
    error = max(equivariance_errors(twin, data, group, law, seed, draws, torch.float64, call))
    if not 1e-6 < error < 1:
        raise AssertionError(
            f"the broken twin {type(twin).__name__} must fail the law by an error between 1e-6 and 1, got {error:.2e}"
        )
    return error


def with_other_features(data: Data, generator: torch.Generator, keys: Sequence[str] | None = None) -> Data:
    """Return `data` with every floating attribute scaled at random, entry by entry, by factors between 1/2 and 3/2.

    Args:
        data: the graph.
        generator: of the factors.
        keys: the attributes to scale, floating ones; default: all that are.

    Raises:
        ValueError: there is none.
    """
    found = [k for k, v in data.to_dict().items() if isinstance(v, torch.Tensor) and v.is_floating_point()]
    floating = found if keys is None else keys
    if not floating:
        raise ValueError(f"`data` must hold features in floating numbers, got {data}")
    out = data.clone()
    for key in floating:
        factors = 0.5 + torch.rand(data[key].shape, generator=generator, dtype=torch.float64)
        out[key] = data[key] * factors.to(data[key])
    return out

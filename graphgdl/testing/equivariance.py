"""Does a module obey its law? Draw group elements and measure."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch, Data

from graphgdl.groups import Permutation

Law = Literal["equivariant", "invariant"]
Call = Callable[[Module, Data], Any]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 1e-1, torch.float16: 1e-2}
"""Largest relative error of an exact law, by dtype; laws are proved in float64."""
DRAWS = 16
"""Number of elements drawn before the identity is taken: half of the elements of C_2 are."""


def call_module(module: Module, data: Data) -> Any:
    """Call a layer with those attributes of `data` that its forward names, or a model with `data` itself.

    A forward whose first argument is `data` or `batch` gets a batch, of each graph's `module.transform(graph)` where the
    module has one. Any other gets its arguments by name: `edge_index` is the structure where there is one and no edges,
    `batch` and `index` are the graph of each node, None for a single graph.

    Raises:
        ValueError: `data` lacks what the forward needs.
    """
    parameters = inspect.signature(module.forward).parameters
    if next(iter(parameters), None) in ("data", "batch"):
        graphs = data.to_data_list() if isinstance(data, Batch) else [data]
        return module(Batch.from_data_list([getattr(module, "transform", lambda graph: graph)(g) for g in graphs]))
    found = data.to_dict()
    if "edge_index" not in found and "structure" in found:
        found["edge_index"] = found["structure"]
    found |= {"batch": found.get("batch"), "index": found.get("batch")}
    needed = [name for name, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(
            f"`data` must have `{'` and `'.join(missing)}`, which {type(module).__name__}.forward takes, got {data}; or "
            f"pass a `call` that calls it"
        )
    return module(**{name: found[name] for name in parameters if name in found})


def assert_equivariant(
    module: Module,
    data: Data,
    *,
    group: Any = None,
    law: Law = "equivariant",
    seed: int = 0,
    draws: int = 4,
    dtype: torch.dtype = torch.float64,
    tol: float | None = None,
    call: Call = call_module,
) -> float:
    """Assert that f(g.x) = g.f(x), or f(g.x) = f(x), for random elements g of a group.

    Module and data are copied, cast to `dtype` and put into eval mode; the originals stay as they are.

    Args:
        module: the layer or model f.
        data: a graph x; random features show more than constant ones.
        group: has `sample(generator)` and `act(g, x)`; default: permutations of the nodes.
        law: "equivariant", or "invariant" for an f whose output does not move.
        seed: of the group elements.
        draws: how many of them.
        dtype: float64 proves, float32 is a sanity check.
        tol: largest relative error; default by dtype, see `TOLERANCE`.
        call: how to call the module; see `call_module`.

    Returns:
        The largest error found, relative to the largest output.

    Raises:
        AssertionError: the law does not hold; gives the error, the draw and its seed.
        ValueError: an unknown law, or no draw.

    Example:
        >>> from torch_geometric.nn import GraphConv
        >>> data = Data(x=torch.rand(4, 2), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> assert assert_equivariant(GraphConv(2, 3), data) < 1e-10
    """
    tol = TOLERANCE[dtype] if tol is None else tol
    worst = 0.0
    for draw, error in enumerate(equivariance_errors(module, data, group, law, seed, draws, dtype, call)):
        if not error <= tol:
            raise AssertionError(
                f"{type(module).__name__} is not {law} under {group or 'permutations of the nodes'}: relative error "
                f"{error:.2e} above {tol:.0e} in {dtype} at draw {draw} of seed {seed}"
            )
        worst = max(worst, error)
    return worst


def equivariance_errors(
    module: Module, data: Data, group: Any, law: Law, seed: int, draws: int, dtype: torch.dtype, call: Call
) -> list[float]:
    """Measure the relative error of the law for each of `draws` random group elements."""
    if law not in ("equivariant", "invariant"):
        raise ValueError(f"`law` must be 'equivariant' or 'invariant', got {law!r}")
    if draws < 1:
        raise ValueError(f"`draws` must be at least 1, got {draws}; no draw proves nothing")
    f, x = prepared(module, data, dtype)
    group = Permutation(x.num_nodes) if group is None else group
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        before = tensors(call(f, x))
        errors = []
        for _ in range(draws):
            g = moving(group, generator)
            expected = before if law == "invariant" else [group.act(g, out) for out in before]
            errors.append(relative_error(tensors(call(f, group.act(g, x))), expected))
    return errors


def moving(group: Any, generator: torch.Generator) -> Any:
    """Return a random element, but the identity, which proves nothing, only where several draws gave no other."""
    one = getattr(group, "identity", lambda: None)()
    for _ in range(DRAWS):
        g = group.sample(generator)
        if not isinstance(g, Tensor) or one is None or not torch.equal(g, one):
            break
    return g


def prepared(module: Module, data: Data, dtype: torch.dtype) -> tuple[Module, Data]:
    """Return copies of both in `dtype`, the module in eval mode."""
    data = data.clone().apply(lambda t: t.to(dtype) if t.is_floating_point() else t)
    return copy.deepcopy(module).to(dtype).eval(), data


def tensors(out: Any) -> list[Tensor]:
    """Return the output as a list of tensors."""
    items = list(out) if isinstance(out, tuple | list) else [out]
    if not items or not all(isinstance(item, Tensor) for item in items):
        raise TypeError(f"`module` must return a tensor or several, got {type(out).__name__}; pass a `call` that does")
    return items


def relative_error(left: list[Tensor], right: list[Tensor]) -> float:
    """Return the largest difference over the largest magnitude; infinite where shapes differ or a value is no number."""
    if [a.shape for a in left] != [b.shape for b in right]:
        return float("inf")
    differences = [float((a - b).abs().max()) for a, b in zip(left, right) if a.numel()]
    scale = max([float(b.abs().max()) for b in right if b.numel()], default=0.0)
    worst = max(differences, default=0.0)
    if any(d != d for d in differences):
        return float("inf")
    return worst / scale if scale > 0 else worst

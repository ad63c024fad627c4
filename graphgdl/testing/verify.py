"""`verify`: every law that a module states, proved or refuted, with controls that show the proof is worth something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.groups import Law
from graphgdl.nn.laws import permutation_laws
from graphgdl.testing.contract import assert_disjoint_union, assert_not_vacuous, second_graph
from graphgdl.testing.equivariance import TOLERANCE, Call, call_module, prepared, tensors
from graphgdl.testing.measure import measure

Laws = Callable[[nn.Module, Data], tuple[Law, ...]]
BREAK = 0.3
"""Size of what the broken twin adds to the output, relative to the output."""


@dataclass(frozen=True)
class Verdict:
    """What was found about one law of one module.

    Attributes:
        module: its class.
        law: the law in words.
        kind: `exact`, `subgroup`, `limit` or `distribution`; see `graphgdl.groups.Law`.
        invariant: whether the output must stay as it is.
        float64, float32: relative error by dtype, None where it was not measured; of a limit at the finest resolution. A
            law in distribution is measured in the first dtype alone.
        order: of a limit, as fitted.
        union: error of f(A + B) = f(A) + f(B), None for a law in distribution.
        twin: error of the broken twin.
        failures: what does not hold, in words; none if the law is proved.
    """

    module: str
    law: str
    kind: str
    invariant: bool
    float64: float | None
    float32: float | None
    order: float | None
    union: float | None
    twin: float
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the law is proved and every control did what it must."""
        return not self.failures

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as plain data."""
        return asdict(self) | {"failures": list(self.failures), "holds": self.holds}


def laws_of(module: nn.Module, data: Data) -> tuple[Law, ...]:
    """Return the laws that a module states by `laws(data)`; one that states none is held to `permutations`."""
    stated = getattr(module, "laws", None)
    return permutations(module, data) if stated is None else tuple(stated(data))


def permutations(module: nn.Module, data: Data) -> tuple[Law, ...]:
    """Return the law of permutations of the nodes: an output with a row for each node moves with them, another stays."""
    f, x = prepared(module, data, torch.float64)
    with torch.no_grad():
        rows = {out.size(0) for out in tensors(call_module(f, x)) if out.dim()}
    return permutation_laws(module, data, invariant=rows != {x.num_nodes})


def verify(
    module: nn.Module | Sequence[nn.Module],
    data: Data | Sequence[Data],
    *,
    laws: Laws = laws_of,
    dtypes: Sequence[torch.dtype] = (torch.float64, torch.float32),
    seed: int = 0,
    draws: int = 4,
    call: Call = call_module,
) -> list[Verdict]:
    """Prove or refute every law of a module.

    For each law: its error (see `graphgdl.testing.measure.measure`); f(A + B) = f(A) + f(B) in one batch; the output varies
    with the features, with what the group moves, with every parameter, and over the orbit unless the law is invariance; a
    broken twin, the module plus a fixed functional of its input that does not transform, fails a law that holds. The
    controls run in float64.

    Args:
        module: a layer or model; for a law that is a limit also one for each input, such as the same kernel at each spacing.
        data: an input with random features; for a law that is a limit three, from coarse to fine, each with its `spacing`.
        laws: states what to prove; default: what the module says of itself, see `laws_of`.
        dtypes: float64 proves, float32 is a sanity check.
        seed: of the group elements.
        draws: how many of them.
        call: how to call the module; see `call_module`.

    A part of the module may have an attribute `inert`, names of its parameters that cannot matter by its mathematics (a bias
    before a softmax); they need not change the output.

    Returns:
        One verdict for each law; one that only some inputs state is proved on the first of these, and says so.

    Raises:
        ValueError: the module states no law on `data`, or a limit not on each input; another number of modules than of
            inputs.

    Example:
        >>> from graphgdl.nn import GraphConv
        >>> data = Data(x=torch.rand(4, 2), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> (verdict,) = verify(GraphConv(2, 3), data)
        >>> assert verdict.holds and verdict.float64 < 1e-10 < verdict.twin
    """
    family = [data] if isinstance(data, Data) else list(data)
    modules = [module] * len(family) if isinstance(module, nn.Module) else list(module)
    if len(modules) != len(family):
        raise ValueError(f"`module` must be one, or one for each input, got {len(modules)} with {len(family)} inputs")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stated = _matched(list(map(laws, modules, family)))
        if not stated:
            raise ValueError(
                f"`module` {type(modules[0]).__name__} states no law on {family[0]}; see `graphgdl.groups.Law`"
            )
        options: dict[str, Any] = {"seed": seed, "draws": draws}
        return [_verdict(modules, family, each, dtypes, call, options) for each in stated]


def _matched(stated: Sequence[Sequence[Law]]) -> list[dict[int, Law]]:
    """Return each law by the inputs that state it: of one statement and kind, and the n-th of these."""
    found: dict[tuple[Any, ...], dict[int, Law]] = {}
    for i, laws in enumerate(stated):
        times: Counter[tuple[Any, ...]] = Counter()
        for law in laws:
            key = (law.statement, law.kind, law.invariant)
            times[key] += 1
            found.setdefault((*key, times[key]), {})[i] = law
    return list(found.values())


def _verdict(
    modules: list[nn.Module],
    family: list[Data],
    stated: dict[int, Law],
    dtypes: Sequence[torch.dtype],
    call: Call,
    options: dict[str, Any],
) -> Verdict:
    laws = list(stated.values())
    where = f"on {len(laws)} of {len(family)} inputs" if len(laws) < len(family) else ""
    if where and laws[0].kind == "limit":
        raise ValueError(
            f"`module` states the limit {laws[0].statement!r} {where}; it must on each, so that its order can be fitted"
        )
    modules, family = [modules[i] for i in stated], [family[i] for i in stated]
    module, law, seed, failures = modules[0], laws[0], options["seed"], list[str]()
    inert = [f"{name}.{key}".lstrip(".") for name, part in module.named_modules() for key in getattr(part, "inert", ())]
    asked = dtypes[:1] if law.kind == "distribution" else dtypes
    found = {dtype: measure(modules, family, laws, dtype=dtype, call=call, **options) for dtype in asked}
    for dtype, result in found.items():
        if not result.holds:
            order = "" if result.order is None else f", order {result.order:.2f} for {law.order}"
            failures.append(f"the law fails in {str(dtype)[6:]}: error {result.error:.1e}{order}")
    control = {"group": law.group, "law": "invariant" if law.invariant else "equivariant", "seed": seed}
    try:
        assert_not_vacuous(module, family[0], call=partial(_fixed_seed, call), inert=inert, **control)
    except AssertionError as vacuous:
        failures.append(str(vacuous))
    union = None
    if law.kind != "distribution":
        both = [family[0], second_graph(family[0], seed)]
        union = assert_disjoint_union(module, both, tol=float("inf"), call=call)
        if not union <= TOLERANCE[torch.float64]:
            failures.append(f"graphs in a batch see each other: f(A + B) differs from f(A) + f(B) by {union:.1e}")
    twin = measure(modules, family, laws, call=partial(_broken, call), **options)
    if found[dtypes[0]].holds and (twin.holds or not 1e-6 < twin.error < 1):
        failures.append(f"the broken twin is not caught: error {twin.error:.1e}, expected between 1e-6 and 1")
    errors = {dtype: result.error for dtype, result in found.items()}
    return Verdict(
        type(module).__name__,
        f"{law.statement}, {where}" if where else law.statement,
        law.kind,
        law.invariant,
        errors.get(torch.float64),
        errors.get(torch.float32),
        found[dtypes[0]].order,
        union,
        twin.error,
        tuple(failures),
    )


def _fixed_seed(call: Call, module: nn.Module, data: Data) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return call(module, data)


def _broken(call: Call, module: nn.Module, data: Data) -> list[Tensor]:
    """Call the twin: f(x) + c sin(<w, x> r) with fixed random w and r, which no element but the identity leaves alone."""
    generator = torch.Generator().manual_seed(0)
    phase = 0.0
    for value in data.to_dict().values():
        if isinstance(value, Tensor) and value.is_floating_point():
            w = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            phase += float((w * value).sum() / value.numel() ** 0.5)
    broken = []
    for out in tensors(call(module, data)):
        r = 2 * torch.randn(out.shape, generator=generator, dtype=torch.float64)
        broken.append(out + BREAK * out.abs().max() * (phase * r).sin().to(out))
    return broken

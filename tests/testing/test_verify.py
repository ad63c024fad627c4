"""`verify` proves what holds and says what does not: each part can fail."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GraphConv, global_add_pool

from graphgdl.groups import SO, Cyclic, FieldAction, Law, Permutation, Translations, standard
from graphgdl.testing import laws_of, verify
from graphgdl.testing.equivariance import moving
from graphgdl.testing.measure import measure


@pytest.fixture
def data() -> Data:
    generator = torch.Generator().manual_seed(0)
    edges = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]])
    return Data(x=torch.randn(5, 3, generator=generator), edge_index=edges)


class Sums(nn.Module):
    """Sum over the neighbours, written out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(3, 4)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x + torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])).tanh()


class NodeNumbers(Sums):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) + 1e-8 * torch.arange(len(x), dtype=x.dtype)[:, None]


class Rounds(Sums):
    """Right in float64; in float32 node numbers are lost in rounding and come back large."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        number = torch.arange(len(x), dtype=x.dtype)[:, None]
        return super().forward(x, edge_index) + 1e4 * ((1e4 + number / 3) - 1e4 - number / 3)


class Constant(Sums):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(torch.ones_like(x))


class Mixes(Sums):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out = super().forward(x, edge_index)
        return out - out.mean(dim=0)


class Drops(Sums):
    """Drops in training; with `uneven`, the first node more than the others."""

    def __init__(self, uneven: float = 0.0) -> None:
        super().__init__()
        self.dropout, self.uneven = 0.1, uneven

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out = super().forward(nn.functional.dropout(x, self.dropout, self.training), edge_index)
        first = torch.zeros(len(x), 1, dtype=x.dtype)
        first[0] = self.uneven * self.training
        return out * (1 - first)


class Pooled(Sums):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return global_add_pool(super().forward(x, edge_index), batch)


def only(module, data, **options):  # type: ignore[no-untyped-def]
    (verdict,) = verify(module, data, **options)
    return verdict


def test_a_right_layer_is_proved(data: Data) -> None:
    verdict = only(Sums(), data)
    assert verdict.holds
    assert (verdict.module, verdict.law, verdict.kind) == ("Sums", "permutations of the nodes", "exact")
    assert not verdict.invariant
    assert verdict.float64 < 1e-10
    assert verdict.float32 < 1e-4
    assert verdict.union < 1e-10
    assert 1e-6 < verdict.twin < 1
    assert verdict.order is None
    plain = verdict.as_json()
    assert plain["holds"] is True
    assert plain["failures"] == []
    assert only(GraphConv(3, 4), data).holds


def test_an_output_without_a_row_for_each_node_must_stay(data: Data) -> None:
    verdict = only(Pooled(), data)
    assert verdict.holds
    assert verdict.invariant


def test_the_same_seed_gives_the_same_verdict_and_leaves_torchs_random_numbers_alone(data: Data) -> None:
    module = Drops()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert verify(module, data, seed=3) == verify(module, data, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("module", "failure"),
    [
        (NodeNumbers(), "the law fails in float64: error"),
        (Rounds(), "the law fails in float32: error"),
        (Constant(), "Constant is vacuous: its output does not vary with the features"),
        (Mixes(), r"graphs in a batch see each other: f\(A \+ B\) differs from f\(A\) \+ f\(B\) by"),
    ],
)
def test_what_does_not_hold_is_said(module: nn.Module, failure: str, data: Data) -> None:
    verdict = only(module, data)
    assert not verdict.holds
    assert any(re.match(failure, text) for text in verdict.failures), verdict.failures


def test_a_small_error_is_measured_as_it_is(data: Data) -> None:
    assert 1e-9 < only(NodeNumbers(), data).float64 < 1e-6


def test_a_twin_that_passes_is_said(data: Data) -> None:
    """Under a group that moves nothing every law holds, the broken one too."""

    def nothing(module: nn.Module, data: Data) -> tuple[Law, ...]:
        return (Law(Translations((5,), reach=0), "no shift"),)

    verdict = only(Sums(), data, laws=nothing)
    assert verdict.float64 == 0
    assert any(text.startswith("the broken twin is not caught: error 0.0e+00") for text in verdict.failures)


def test_a_dtype_that_was_not_asked_for_is_not_measured(data: Data) -> None:
    assert only(Sums(), data, dtypes=[torch.float64]).float32 is None
    verdict = only(NodeNumbers(), data, dtypes=[torch.float32])
    assert verdict.float64 is None
    assert not any("the law fails" in text for text in verdict.failures)  # 1e-8 is below the rounding of float32


def test_inert_parameters_of_a_part_need_not_matter(data: Data) -> None:
    class Unused(Sums):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.ones(2))

    assert "does not vary with the parameter `0.unused`" in only(Nested(Unused()), data).failures[0]
    Unused.inert = ("unused",)
    assert only(Nested(Unused()), data).holds


class Nested(nn.ModuleList):
    def __init__(self, part: nn.Module) -> None:
        super().__init__([part])

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self[0](x, edge_index)


def test_no_law_is_refused(data: Data) -> None:
    class Silent(Sums):
        def laws(self, data: Data) -> tuple[Law, ...]:
            return ()

    assert laws_of(Silent(), data) == ()
    with pytest.raises(ValueError, match=r"`module` Silent states no law on Data\(.*see `graphgdl.groups.Law`"):
        verify(Silent(), data)


def test_distribution(data: Data) -> None:
    """Dropout keeps the law of the mean; a node that training treats otherwise breaks it, where eval mode shows nothing."""

    def both(module: nn.Module, data: Data) -> tuple[Law, ...]:
        group = Permutation(5)
        return Law(group, "eval"), Law(group, "training", "distribution")

    exact, mean = verify(Drops(), data, laws=both)
    assert exact.holds
    assert mean.holds
    assert 0 < mean.float64 < 0.2
    assert mean.float32 is mean.union is None
    exact, mean = verify(Drops(uneven=0.5), data, laws=both)
    assert exact.holds
    assert [text[:32] for text in mean.failures] == ["the law fails in float64: error "]


def test_a_law_in_distribution_rarely_fails_by_chance(data: Data) -> None:
    law = [Law(Permutation(5), "training", "distribution")]
    assert all(measure(Drops(), [data], law, seed=seed).holds for seed in range(3))


class RealShifts:
    """Shifts of the circle of circumference 1 by any amount, linear between the samples."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return torch.rand((), generator=generator, dtype=torch.float64)

    def act(self, g: Tensor, x):  # type: ignore[no-untyped-def]
        if not isinstance(x, Tensor):
            out = x.clone()
            out.x = self.act(g, x.x)
            return out
        steps = float(g) * len(x)
        whole, part = math.floor(steps), steps - math.floor(steps)
        return (1 - part) * x.roll(whole, 0) + part * x.roll(whole + 1, 0)


class Square(nn.Module):
    """Equivariant to real shifts in the limit: interpolation and squaring commute to second order."""

    order = 2.0

    def forward(self, x: Tensor) -> Tensor:
        return x**2

    def laws(self, data: Data) -> tuple[Law, ...]:
        return (Law(RealShifts(), "real shifts", "limit", order=self.order),)


def circle(n: int) -> Data:
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64)[:, None] / n
    return Data(x=angle.sin() + 0.5 * (2 * angle).cos(), spacing=1 / n)


def test_limit() -> None:
    family = [circle(n) for n in (16, 32, 64)]
    verdict = only(Square(), family, draws=8)
    assert verdict.holds, verdict.failures
    assert verdict.kind == "limit"
    assert abs(verdict.order - 2) < 0.25
    assert 1e-10 < verdict.float64 < 1e-2


def test_a_limit_of_another_order_fails() -> None:
    class Claims3(Square):
        order = 3.0

    class Drifts(Square):
        def forward(self, x: Tensor) -> Tensor:
            return x**2 + 0.1 * torch.linspace(0, 1, len(x), dtype=x.dtype)[:, None]

    family = [circle(n) for n in (16, 32, 64)]
    for module in (Claims3(), Drifts()):
        (text,) = (t for t in only(module, family, draws=8).failures if "float64" in t)
        assert text.startswith("the law fails in float64: error")
        assert f"for {module.order}" in text


def test_a_limit_needs_three_resolutions_with_their_spacings() -> None:
    with pytest.raises(
        ValueError, match=r"`data` must be three resolutions, each with its `spacing`, .*got 2 with \[0"
    ):
        verify(Square(), [circle(16), circle(32)])
    bare = [Data(x=circle(n).x) for n in (8, 16, 32)]
    with pytest.raises(ValueError, match=r"got 3 with \[None, None, None\]"):
        verify(Square(), bare)


def test_a_limit_of_one_module_for_each_input() -> None:
    """Each input meets its own module: a module that is wrong at one resolution alone spoils the fit."""

    class Wrong(Square):
        def forward(self, x: Tensor) -> Tensor:
            return x**2 + 0.1 * torch.linspace(0, 1, len(x), dtype=x.dtype)[:, None]

    family = [circle(n) for n in (16, 32, 64)]
    assert only([Square(), Square(), Square()], family, draws=8).holds
    assert "for 2.0" in only([Square(), Square(), Wrong()], family, draws=8).failures[0]
    with pytest.raises(ValueError, match="`module` must be one, or one for each input, got 2 with 3 inputs"):
        verify([Square(), Square()], family)


def test_the_identity_is_not_drawn_where_there_is_another_element() -> None:
    generator = torch.Generator().manual_seed(0)
    assert all(moving(Cyclic(2), generator).tolist() == [1, 0] for _ in range(50))
    assert moving(Permutation(1), generator).tolist() == [0]


def test_a_law_that_fails_says_nothing_of_its_twin(data: Data) -> None:
    class Numbers(Sums):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(x, edge_index) * torch.arange(len(x))[:, None]

    verdict = only(Numbers(), data)
    assert verdict.twin > 1
    assert not any("twin" in text for text in verdict.failures)


def test_vectors() -> None:
    """A law in which input and output move in different ways, and its broken twin."""

    class Displacement(nn.Module):
        def forward(self, pos: Tensor, edge_index: Tensor) -> Tensor:
            src, dst = edge_index
            return torch.zeros_like(pos).index_add(0, dst, pos[src] - pos[dst])

        def laws(self, data: Data) -> tuple[Law, ...]:
            return (Law(FieldAction(SO(3), {"pos": SO(3)}, output=standard(SO(3))), "rotations"),)

    data = Data(pos=torch.randn(4, 3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
    assert only(Displacement(), data).holds


class Grows(Square):
    """States its limit from so many nodes on, and permutations on the finest input alone, before it."""

    def __init__(self, coarsest: int) -> None:
        super().__init__()
        self.coarsest = coarsest

    def laws(self, data: Data) -> tuple[Law, ...]:
        n = data.num_nodes
        more = (Law(Permutation(n), "permutations"),) if n == 64 else ()
        return more + (super().laws(data) if n >= self.coarsest else ())


def test_laws_are_matched_by_what_they_state() -> None:
    """A law of one input is proved there and says so; it neither hides another, nor is it taken for another."""
    family = [circle(n) for n in (16, 32, 64)]
    limit, more = verify(Grows(16), family, draws=8)
    assert (limit.law, limit.kind) == ("real shifts", "limit")
    assert limit.holds
    assert (more.law, more.kind) == ("permutations, on 1 of 3 inputs", "exact")
    assert more.holds, more.failures
    with pytest.raises(ValueError, match=r"`module` states the limit 'real shifts' on 2 of 3 inputs; it must on each"):
        verify(Grows(32), family)

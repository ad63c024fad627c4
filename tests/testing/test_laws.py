"""Each check passes what is right and catches what it is there for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GraphConv, global_add_pool

from graphgdl.groups import Permutation, Translations
from graphgdl.testing import (
    assert_contract,
    assert_disjoint_union,
    assert_equivariant,
    assert_not_vacuous,
    assert_twin_fails,
    call_module,
)
from graphgdl.testing.contract import with_other_features


@pytest.fixture
def data() -> Data:
    generator = torch.Generator().manual_seed(0)
    edges = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]])
    return Data(x=torch.rand(5, 3, generator=generator), edge_index=edges)


class Right(nn.Module):
    """Sum over the neighbours, written out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(3, 4)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out = torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])
        return self.lin(x + out).tanh()


class UsesNodeNumbers(Right):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x + 0.01 * torch.arange(len(x)).view(-1, 1), edge_index)


class SlightlyOff(Right):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * (1 + 1e-8 * torch.arange(len(x), dtype=x.dtype).view(-1, 1))


class MixesGraphs(Right):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out = super().forward(x, edge_index)
        return out - out.mean(dim=0)


class Constant(Right):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(torch.ones_like(x))


class DeadParameter(Right):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(2))


class Nan(Right):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * float("nan")


class Pooled(Right):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return global_add_pool(super().forward(x, edge_index), batch)


class Model(Pooled):
    def forward(self, data: Data) -> Tensor:  # type: ignore[override]
        return super().forward(data.x, data.edge_index, data.batch)


def test_right_layers_pass(data: Data) -> None:
    errors = assert_contract(Right(), data, twin=UsesNodeNumbers())
    assert errors["law"] < 1e-10
    assert errors["union"] < 1e-10
    assert 1e-6 < errors["twin"] < 1
    assert assert_equivariant(GraphConv(3, 4), data, draws=8) < 1e-10
    assert assert_equivariant(Right(), data, dtype=torch.float32) < 1e-4


def test_invariant_models_pass_and_take_data_whole(data: Data) -> None:
    for model in (Pooled(), Model()):
        assert_equivariant(model, data, law="invariant")
        assert_disjoint_union(model, [data, data])
        assert_not_vacuous(model, data, law="invariant")
    assert call_module(Model(), data).shape == (1, 4)


def test_originals_are_left_alone(data: Data) -> None:
    layer = Right().train()
    assert_contract(layer, data, twin=UsesNodeNumbers())
    assert layer.training
    assert layer.lin.weight.dtype == data.x.dtype == torch.float32


@pytest.mark.parametrize("layer", [UsesNodeNumbers(), SlightlyOff(), Nan()])
def test_broken_equivariance_is_caught(layer: nn.Module, data: Data) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_equivariant(layer, data, seed=3)
    pattern = (
        rf"{type(layer).__name__} is not equivariant under permutations of the nodes: relative error (\S+) above 1e-10"
    )
    found = re.match(pattern, str(caught.value))
    assert found
    assert float(found[1]) > 1e-10
    assert "at draw 0 of seed 3" in str(caught.value)


def test_equivariant_is_not_invariant(data: Data) -> None:
    with pytest.raises(AssertionError, match="Right is not invariant"):
        assert_equivariant(Right(), data, law="invariant")


def test_reported_error_is_the_error(data: Data) -> None:
    """An error of known size is measured as that size."""

    class Off(Right):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            shift = torch.zeros(len(x), 1, dtype=x.dtype)
            shift[0] = 1
            return torch.ones_like(x) + 1e-3 * shift

    with pytest.raises(AssertionError, match=r"relative error (1\.00|9\.99)e-0[34]"):
        assert_equivariant(Off(), data, draws=8)


def test_mixing_graphs_is_caught(data: Data) -> None:
    assert_equivariant(MixesGraphs(), data)  # permutations of one graph do not see it
    other = data.clone()
    other.x = other.x + 1
    with pytest.raises(AssertionError, match=r"MixesGraphs mixes the graphs of a batch: f\(A \+ B\) differs"):
        assert_disjoint_union(MixesGraphs(), [data, other])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Constant(), "Constant is vacuous: its output does not vary with the features"),
        (DeadParameter(), "DeadParameter is vacuous: its output does not vary with the parameter `unused`"),
        (Pooled(), "Pooled is vacuous: its output is the same over the orbit of"),
    ],
)
def test_vacuous_layers_are_caught(layer: nn.Module, message: str, data: Data) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_not_vacuous(layer, data)


def test_a_group_that_draws_its_identity_makes_no_layer_vacuous(data: Data) -> None:
    class Draws:
        drawn = 0

        def sample(self, generator: torch.Generator) -> Tensor:
            self.drawn += 1
            return torch.arange(5) if self.drawn < 3 else torch.tensor([1, 0, 2, 3, 4])

        act = Permutation(5).act

    assert_not_vacuous(Right(), data, group=Draws())
    with pytest.raises(AssertionError, match="its output is the same over the orbit of"):
        assert_not_vacuous(Right(), data, group=Translations((5,), reach=0))


def test_other_features_keep_their_sign_and_the_rest(data: Data) -> None:
    data.edge_weight = torch.rand(6)
    other = with_other_features(data, torch.Generator().manual_seed(0))
    assert torch.equal(other.edge_index, data.edge_index)
    for key in ("x", "edge_weight"):
        ratio = other[key] / data[key]
        assert 0.5 <= ratio.min() < 0.9 < 1.1 < ratio.max() <= 1.5


def test_inert_parameters_may_be_named(data: Data) -> None:
    assert_not_vacuous(DeadParameter(), data, inert=["unused"])


def test_a_twin_that_passes_is_caught(data: Data) -> None:
    assert 1e-6 < assert_twin_fails(UsesNodeNumbers(), data) < 1
    with pytest.raises(
        AssertionError, match="the broken twin Right must fail the law by an error between 1e-6 and 1, got"
    ):
        assert_twin_fails(Right(), data)


def test_input_errors(data: Data) -> None:
    with pytest.raises(ValueError, match="`law` must be 'equivariant' or 'invariant', got 'covariant'"):
        assert_equivariant(Right(), data, law="covariant")
    with pytest.raises(TypeError, match="`module` must return a tensor or several, got dict"):
        assert_equivariant(Right(), data, call=lambda module, graph: {"out": graph.x})
    without = Data(edge_index=data.edge_index, num_nodes=5)
    with pytest.raises(ValueError, match="`data` must hold features in floating numbers, got Data"):
        assert_not_vacuous(Right(), without, call=lambda module, graph: torch.ones(5, 1))


def test_needs_no_test_packages() -> None:
    code = "import sys, graphgdl.testing; sys.exit(any(m in sys.modules for m in ('pytest', 'hypothesis')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_draw_is_refused() -> None:
    data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="`draws` must be at least 1, got 0; no draw proves nothing"):
        assert_equivariant(torch.nn.Identity(), data, draws=0)

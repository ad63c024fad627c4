"""Labels under transformations: formulas for known data, p-values uniform under their hypothesis, power on known cases."""

from __future__ import annotations

import gzip
import itertools
import math
import sys
from collections.abc import Callable
from pathlib import Path as File

import numpy as np
import pytest
import torch
from torch import Tensor

from graphgdl.domains import Grid
from graphgdl.groups import SO, Cyclic, Dihedral
from graphgdl.testing import GridRotations, NeighbourLabels, Rotations, holm, label_curve, rank_symmetries
from graphgdl.testing.symmetry_ranking import _p_invariant, _p_unrelated


def points(m: int, seed: int = 0) -> tuple[Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, 2, generator=generator, dtype=torch.float64), generator


def test_the_curve_of_half_planes_is_the_angle() -> None:
    """Label x > 0 of an isotropic cloud: a rotation by s changes it with probability s / pi; chance is one half."""
    x, _ = points(2000)
    sizes = [0.0, math.pi / 4, math.pi]
    curve = label_curve(x, (x[:, 0] > 0).long(), Rotations(SO(2)), sizes, draws=1)
    assert abs(curve.chance - 0.5) < 0.02
    assert float((curve.departure - 2 * curve.sizes / math.pi).abs().max()) < 0.06
    assert curve.errors[0].tolist() == curve.floor[0].tolist()
    assert float((curve.distance - 1).abs().max()) < 0.1  # the cloud is invariant: moved points have neighbours as near


def test_the_curve_of_a_coordinate_is_its_covariance() -> None:
    """y = x_0 of variance 1: E (x_0 - (g.x)_0)^2 = 2 (1 - cos s), and 2 by chance."""
    x, _ = points(1500)
    sizes = [0.0, 1.0, 3.0]
    curve = label_curve(x, x[:, 0], Rotations(SO(2)), sizes, k=3, draws=1)
    assert float((curve.departure - (1 - curve.sizes.cos())).abs().max()) < 0.08
    both = label_curve(x, x, Rotations(SO(2)), sizes, k=3, draws=1)
    assert float((both.departure - (1 - curve.sizes.cos())).abs().max()) < 0.08


def test_an_invariant_data_set_has_no_departure_and_a_broken_twin_has() -> None:
    x, _ = points(800)
    radius, direction = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    sizes = [0.5, 2.0]
    right = label_curve(x, radius, Rotations(SO(2)), sizes, draws=1)
    broken = label_curve(x, radius + 0.5 * direction.cos(), Rotations(SO(2)), sizes, draws=1)
    assert float(right.departure.abs().max()) < 0.005
    assert float(broken.departure.min()) > 0.02


def test_a_transformation_that_leaves_the_data_shows_by_distance() -> None:
    x, _ = points(500)
    x[:, 0] += 20
    curve = label_curve(x, (x[:, 1] > 0).long(), Rotations(SO(2)), [0.0, 1.0])
    assert float(curve.distance[1].min()) > 5 * float(curve.distance[0].max())


def test_neighbours_are_the_nearest_by_loops() -> None:
    x, generator = points(20)
    labels = torch.randint(3, (20,), generator=generator) + 5
    data = NeighbourLabels(x, labels, features=lambda samples: 2 * samples, k=3, seed=4)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(4)).tolist()
    known, tested = order[:10], order[10:]
    votes, distance = data.look_up(data.tested)
    losses = []
    for row, i in enumerate(tested):
        near = sorted(known, key=lambda j: math.dist(x[i].tolist(), x[j].tolist()))[:3]
        share = [sum(int(labels[j]) == c for j in near) / 3 for c in (5, 6, 7)]
        assert votes[row].tolist() == pytest.approx(share)
        assert float(distance[row]) == pytest.approx(2 * sum(math.dist(x[i].tolist(), x[j].tolist()) for j in near) / 3)
        losses.append(sum((s - (int(labels[i]) == c)) ** 2 for s, c in zip(share, (5, 6, 7))) / 2)
    assert data.loss(votes).tolist() == pytest.approx(losses)
    every = [
        sum((float(votes[r][c]) - (int(labels[i]) == c + 5)) ** 2 for c in range(3)) / 2
        for r in range(10)
        for i in tested
    ]
    assert data.chance(votes) == pytest.approx(sum(every) / len(every))


@pytest.mark.parametrize("pairs", [1, 900, 2**22])
def test_neighbours_are_looked_up_in_blocks(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many distances fit, what is found is that of all at once, and no more than so many are there."""
    x, generator = points(150)
    data = NeighbourLabels(x, torch.randn(150, generator=generator, dtype=torch.float64), k=3)
    asked = torch.randn(101, 2, generator=generator, dtype=torch.float64)
    near = (asked[:, None] - data.known).norm(dim=2).topk(3, largest=False)
    cdist, sizes = torch.cdist, []
    monkeypatch.setattr(sys.modules[NeighbourLabels.__module__], "PAIRS", pairs)
    monkeypatch.setattr(torch, "cdist", lambda *ends: sizes.append(cdist(*ends).numel()) or cdist(*ends))
    labels, distances = data.look_up(asked)
    torch.testing.assert_close(labels, data.known_targets[near.indices].mean(1))
    torch.testing.assert_close(distances, near.values.mean(1))
    assert sum(sizes) == 101 * 75
    assert max(sizes) <= max(pairs, 75)
    assert [part.shape for part in data.look_up(asked[:0])] == [(0, 1), (0,)]


def test_p_values_are_those_of_all_exchanges() -> None:
    """Against every one of the 2^n sign flips and of the n! permutations; without ties, so that no luck enters."""
    _, generator = points(1)
    own, moved = torch.rand(2, 8, generator=generator, dtype=torch.float64)
    moved = moved + 0.3
    sums = [
        sum(float(pair[c]) for pair, c in zip(zip(own, moved), choice))
        for choice in itertools.product((0, 1), repeat=8)
    ]
    exact = sum(value < float(own.sum()) + 1e-9 for value in sums) / len(sums)
    assert 0.01 < exact < 0.99
    assert abs(_p_invariant(own, moved.view(-1, 1), 20000, generator) - exact) < 0.01

    x, generator = points(12, seed=3)
    data = NeighbourLabels(x, x[:, 0] + 0.5 * torch.randn(12, generator=generator, dtype=torch.float64))
    predicted, _ = data.look_up(data.tested)
    losses = [
        float((predicted - data.targets[list(order)]).square().sum()) for order in itertools.permutations(range(6))
    ]
    exact = sum(value < losses[0] + 1e-9 for value in losses) / len(losses)
    assert 0 < exact < 0.5
    assert abs(_p_unrelated(data, [predicted], 20000, generator) - exact) < 0.01


@pytest.mark.parametrize("hypothesis", ["invariant, one copy", "invariant, three copies", "unrelated"])
def test_p_values_are_uniform_under_their_hypothesis(hypothesis: str) -> None:
    runs, p_values = 160, []
    for seed in range(runs):
        x, generator = points(48, seed)
        score = x.norm(dim=1) if hypothesis != "unrelated" else torch.zeros(48, dtype=torch.float64)
        noise = torch.randn(48, generator=generator, dtype=torch.float64)
        labels = (score + 0.5 * noise > score.median()).long()
        draws = 3 if hypothesis == "invariant, three copies" else 1
        (result,) = rank_symmetries(x, labels, {"C4": Cyclic(4)}, draws=draws, permutations=99, seed=seed)
        p_values.append(result.p_unrelated if hypothesis == "unrelated" else result.p_invariant)
    for level in (0.05, 0.2, 0.5, 0.8):
        found = sum(p <= level for p in p_values)
        assert abs(found - runs * level) < 3.5 * math.sqrt(runs * level * (1 - level)), (level, found)


KNOWN = [
    ("radius", lambda x: x.norm(dim=1) > 1.2, {"C2": "kept", "C4": "kept", "SO(2)": "kept", "D1": "kept"}),
    ("quadrant", lambda x: x[:, 0] * x[:, 1] > 0, {"C2": "kept", "C4": "broken", "SO(2)": "broken", "D1": "broken"}),
    ("side", lambda x: x[:, 0] > 0, {"C2": "broken", "C4": "broken", "SO(2)": "broken", "D1": "kept"}),
    ("height", lambda x: x[:, 0], {"C2": "broken", "C4": "broken", "SO(2)": "broken", "D1": "kept"}),
]


@pytest.mark.parametrize(("label", "verdicts"), [case[1:] for case in KNOWN], ids=[case[0] for case in KNOWN])
def test_the_groups_of_known_labels_are_found(label: Callable[[Tensor], Tensor], verdicts: dict[str, str]) -> None:
    x, _ = points(500)
    y = label(x)
    groups = {"C2": Cyclic(2), "C4": Cyclic(4), "SO(2)": SO(2), "D1": Dihedral(1)}
    scores = rank_symmetries(x, y if y.is_floating_point() else y.long(), groups, level=0.01)
    assert {score.name: score.verdict for score in scores} == verdicts
    assert [score.departure for score in scores] == sorted(score.departure for score in scores)
    kept = [score.verdict == "kept" for score in scores]
    assert kept == sorted(kept, reverse=True)  # what is kept ranks before what is broken
    assert scores == rank_symmetries(x, y if y.is_floating_point() else y.long(), groups, level=0.01)


def test_too_little_data_is_undecided() -> None:
    x, _ = points(8)
    (score,) = rank_symmetries(x, (x.norm(dim=1) > 1.2).long(), {"SO(2)": SO(2)})
    assert score.verdict == "undecided"


def test_labels_that_neighbours_do_not_know_have_no_departure() -> None:
    x = torch.arange(4.0).view(4, 1).expand(4, 2)
    curve = label_curve(x, torch.tensor([0, 1, 0, 1]), Rotations(SO(2)), [0.0])
    (score,) = rank_symmetries(x, torch.tensor([0, 1, 0, 1]), {"C2": Cyclic(2)})
    assert math.isnan(score.departure)
    assert bool(curve.departure.isnan().all())
    assert score.verdict == "undecided"


def test_holm_by_its_definition() -> None:
    p_values = [0.2, 0.001, 0.02, 0.011, 0.9]
    for level in (0.01, 0.05, 0.06, 0.5):
        rejected = set()
        for i, at in enumerate(sorted(range(5), key=p_values.__getitem__)):
            if p_values[at] > level / (5 - i):
                break
            rejected.add(at)
        assert {at for at, p in enumerate(holm(p_values)) if p <= level} == rejected
    assert holm([]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": torch.zeros(3, 2)}, "`samples` must be at least 4, two to look up and two to test, got 3"),
        ({"labels": torch.zeros(5)}, r"`labels` must be one for each of the 6 samples, got shape \(5,\)"),
        ({"labels": torch.zeros(6)}, "`labels` must take at least two values, got one"),
        (
            {"labels": torch.arange(6)[:, None]},
            r"`labels` of classes must have shape \(6,\), got \(6, 1\); flatten them",
        ),
        ({"labels": torch.full((6,), math.nan)}, "`labels` must be finite numbers, got 6 that are not"),
        ({"samples": torch.full((6, 1), math.inf)}, "`samples` must be finite numbers, got 6 that are not"),
        ({"k": 4}, r"`k` must lie in 1 .. 3, half the number of samples, got 4"),
        ({"candidates": {}}, "`candidates` must name at least one group, got none"),
        ({"draws": 0}, "`draws` must be at least 1, got 0"),
        ({"permutations": 0}, "`permutations` must be at least 1, got 0"),
    ],
)
def test_input_errors(change: dict[str, object], message: str) -> None:
    arguments = {"samples": torch.zeros(6, 2), "labels": torch.arange(6), "candidates": {"C2": Cyclic(2)}, **change}
    with pytest.raises(ValueError, match=message):
        rank_symmetries(**arguments)  # type: ignore[arg-type]


def test_what_is_no_tensor_and_no_group_is_refused() -> None:
    x, y = torch.zeros(6, 2), torch.arange(6)
    with pytest.raises(TypeError, match=r"`samples` must be a tensor, got ndarray; use `torch.as_tensor`"):
        rank_symmetries(x.numpy(), y, {"C2": Cyclic(2)})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`candidates` must be groups by name, such as .* got 'SO\(2\)' for 'turns'"):
        rank_symmetries(x, y, {"turns": "SO(2)"})  # type: ignore[dict-item]


def test_a_curve_needs_a_size_and_a_draw() -> None:
    x, _ = points(6)
    with pytest.raises(ValueError, match="`sizes` must hold at least one size, got none"):
        label_curve(x, torch.arange(6), Rotations(SO(2)), [])
    with pytest.raises(ValueError, match="`draws` must be at least 1, got 0"):
        label_curve(x, torch.arange(6), Rotations(SO(2)), [0.0], draws=0)


@pytest.mark.parametrize("shape", [(6, 4, 5), (6, 2, 4, 5)])
def test_images_are_to_be_flattened(shape: tuple[int, ...]) -> None:
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    labels, path = torch.arange(6), GridRotations(Grid((4, 5)))
    with pytest.raises(
        ValueError, match=r"`x` must have one row for each of the 20 nodes, got .*`images.flatten\(1\)`"
    ):
        label_curve(images, labels, path, [0.1])
    rows = images.flatten(1) if len(shape) == 3 else images.movedim(1, -1).flatten(1, -2)
    assert label_curve(rows, labels, path, [0.1]).mean.isfinite().all()


def digits(root: File, classes: tuple[int, ...], m: int) -> tuple[Tensor, Tensor]:
    """The first m digits of these classes: images (m, 784) in 0 .. 1, labels."""

    def read(name: str, header: int) -> Tensor:
        with gzip.open(root / "mnist" / name) as file:
            return torch.from_numpy(np.frombuffer(file.read(), dtype=np.uint8, offset=header).copy())

    labels = read("t10k-labels-idx1-ubyte.gz", 8).long()
    first = torch.isin(labels, torch.tensor(classes)).nonzero().flatten()[:m]
    return read("t10k-images-idx3-ubyte.gz", 16).view(-1, 784)[first] / 255, labels[first]


def blurred(images: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(images.view(-1, 1, 28, 28), 5, stride=2, padding=2)


@pytest.mark.data
def test_upright_digits_do_not_rotate_and_rotated_digits_do(data_root: File) -> None:
    grid = Grid((28, 28))
    images, labels = digits(data_root, (6, 9), 300)
    (score,) = rank_symmetries(images, labels, {"half turns": GridRotations(grid, n=2)}, features=blurred)
    assert score.verdict == "broken"
    assert score.p_invariant <= 1e-3
    assert score.departure > 0.8  # half of the elements are the identity, the other half takes 6 to 9

    images, labels = digits(data_root, tuple(range(10)), 500)
    whole, half = GridRotations(grid), GridRotations(grid, n=2)
    groups = {"SO(2)": whole, "C2": half}
    generator = torch.Generator().manual_seed(1)
    rotated = torch.stack([whole.act(whole.sample(generator), image) for image in images])
    upright = rank_symmetries(images, labels, groups, features=blurred)
    turned = rank_symmetries(rotated, labels, groups, features=blurred)
    assert [score.verdict for score in upright] == ["broken", "broken"]
    assert [score.verdict for score in turned] == ["kept", "kept"]

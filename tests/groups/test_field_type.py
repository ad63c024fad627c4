import pytest
import torch

from graphgdl.groups import Cyclic, FieldType, Law, Permutation, direct_sum, regular, scalars, standard, trivial


def test_copies_transform_one_by_one():
    group = Cyclic(4)
    fields = FieldType(direct_sum([standard(group), regular(group)]), 3)
    x = torch.randn(5, fields.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for g in group.elements():
        expected = torch.cat([part @ fields.representation.matrix(g).T for part in x.split(6, dim=1)], dim=1)
        torch.testing.assert_close(fields.act(g, x), expected)
    assert (fields.act(group.elements()[1], x) - x).abs().max() > 0.1


def test_scalars_do_not_move():
    x = torch.rand(2, 3)
    assert torch.equal(scalars(3).act(torch.tensor([0, 0]), x), x)
    assert scalars(3) == FieldType(trivial(Cyclic(1)), 3) != scalars(4)
    assert scalars(3) != FieldType(trivial(Cyclic(2)), 3)
    assert [str(scalars(c)) for c in (1, 8)] == ["1 scalar channel", "8 scalar channels"]
    assert str(FieldType(trivial(Cyclic(2)), 3)) == "3 x trivial of Cyclic(2)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scalars(0), r"`multiplicity` must be a number of copies, at least 1, got 0"),
        (
            lambda: scalars(3).act(torch.tensor([0, 0]), torch.rand(2, 4)),
            r"`x` must have shape \(\.\.\., 3\) to be of type 3 scalar channels, got \(2, 4\)",
        ),
        (lambda: Law(Permutation(3), "nodes", kind="nearly"), r"`kind` must be 'exact', .*, got 'nearly'"),
        (lambda: Law(Permutation(3), "nodes", kind="limit"), r"`order` belongs to kind 'limit' .*, got None"),
        (lambda: Law(Permutation(3), "nodes", order=2), r"`order` belongs to kind 'limit' .*, got 2 with 'exact'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""A CNN and its equivariant kin of about equal size: five layers, the maximum over turns and places, ten logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from graphgdl.domains import Grid
from graphgdl.groups import Cyclic, FieldType, regular, scalars
from graphgdl.nn import GridConv, GroupConv, GroupLiftingConv, SteerableConv

LAYERS = ((5, 2), (3, 1), (3, 2), (3, 1), (3, 1))
"""Kernel size and stride of each layer: grids of 21, 11, 11, 6, 6, 6 nodes along each axis."""


class Network(nn.Module):
    """Convolutions of fields with a norm and a ReLU on each, then an invariant map.

    Args:
        convs: the layers; the channels of each are fields, one after another.
        fields: number of fields after each; all channels of a field share one norm, so that turns commute with it.
    """

    def __init__(self, convs: Sequence[nn.Module], fields: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(m) for m in fields)
        self.head = nn.Linear(fields[-1], 10)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return the logits (g, 10) of the signals x (n, 1) on a batch of grids."""
        for conv, norm in zip(self.convs, self.norms):
            x, grid = conv(x, grid), conv.grid(grid)
            x = norm(x.unflatten(1, (norm.num_features, -1))).relu().flatten(1)
        fields = x.view(grid.num_graphs, grid.sizes[0], norm.num_features, -1)
        return self.head(fields.amax(dim=(1, 3)))


def cnn() -> Network:
    """A plain convolutional network."""
    fields = (12, 16, 16, 16, 28)
    sizes = zip((1, *fields), fields, LAYERS)
    return Network([GridConv(a, b, k, dim=2, stride=s, padding=k // 2, bias=False) for a, b, (k, s) in sizes], fields)


def p4() -> Network:
    """Group convolutions over C_4."""
    fields, group = (6, 8, 8, 8, 14), Cyclic(4)
    convs: list[nn.Module] = []
    for a, b, (k, s) in zip((1, *fields), fields, LAYERS):
        layer = GroupConv if convs else GroupLiftingConv
        convs.append(layer(a, b, k, group, stride=s, padding=k // 2, bias=False))
    return Network(convs, fields)


def c8() -> Network:
    """Steerable convolutions between regular fields of C_8."""
    fields = (4, 6, 8, 8, 12)
    types = [scalars(1), *(FieldType(regular(Cyclic(8)), m) for m in fields)]
    sizes = zip(types, types[1:], LAYERS)
    return Network([SteerableConv(a, b, k, stride=s, padding=k // 2, bias=False) for a, b, (k, s) in sizes], fields)


SHAPES: dict[str, Callable[[], Network]] = {"CNN": cnn, "p4": p4, "steerable C8": c8}
NETWORKS = {f"{name}{seen}": shape for seen in ("", ", turned") for name, shape in SHAPES.items()}
"""Name -> network; a turned one is shown each digit at a new angle each time."""

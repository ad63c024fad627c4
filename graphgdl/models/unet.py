r"""UNet: down through coarser and coarser domains and up again, each level joined with itself across.

.. math:: u_l(x) = B'_l\big[\,B_l x,\; U_l\, u_{l+1}(P_l B_l x)\big], \qquad u_L = B_L

with layers B, poolings P and the ways back U.

Law: what its layers have in common; on a periodic grid translations by multiples of 2 to the number of poolings, on a
graph permutations of the nodes, where no two edges weigh the same.
Source: Ronneberger, Fischer and Brox (2015), U-Net: Convolutional Networks for Biomedical Image Segmentation; on graphs: Gao
and Ji (2019), Graph U-Nets.
Differs: padded convolutions, so that nothing is cropped; strided convolutions or heavy-edge matching as poolings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from graphgdl.groups import scalars
from graphgdl.models.blueprint import Blueprint
from graphgdl.models.skip import Skip
from graphgdl.models.types import gives
from graphgdl.nn import GraphConv, GridConv, GridConvTranspose, HeavyEdgePool, Unpool

Layer = Callable[[int, int], nn.Module]


class UNet(Blueprint):
    """A U-Net on any domain, as an assembly.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        channels: number of channels of each level, the finest first.
        conv: (c, c') -> a local layer.
        down: (c, c) -> a pooling.
        up: (c, c') -> its way back, which may keep the number of channels.

    Shapes:
        as `Blueprint`; (n, in_channels) -> (n, out_channels).

    Raises:
        ValueError: no level; layers that do not fit, see `Blueprint`.

    Example:
        >>> import torch
        >>> from graphgdl.domains import Grid
        >>> UNet.on_grid(1, 2, [4, 8, 16], dim=2)(torch.rand(64, 1), Grid((8, 8))).shape
        torch.Size([64, 2])
        >>> UNet.on_graph(1, 2, [4, 8, 16])(torch.rand(3, 1), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(
        self, in_channels: int, out_channels: int, channels: Sequence[int], conv: Layer, down: Layer, up: Layer
    ) -> None:
        if not channels:
            raise ValueError("`channels` must hold a number of channels for at least one level, got none")

        def level(width: int, depth: int) -> list[nn.Module]:
            own = channels[depth]
            local = [conv(width, own), nn.ReLU(), conv(own, own), nn.ReLU()]
            if depth == len(channels) - 1:
                return local
            below = channels[depth + 1]
            back = up(below, own)
            returned = gives(back, scalars(below)) or scalars(own)
            skip = Skip([down(own, own), *level(own, depth + 1), back])
            return [*local, skip, conv(own + returned.size, own), nn.ReLU(), conv(own, own), nn.ReLU()]

        super().__init__([*level(in_channels, 0), nn.Linear(channels[0], out_channels)])

    @classmethod
    def on_grid(
        cls, in_channels: int, out_channels: int, channels: Sequence[int], dim: int, kernel_size: int = 3
    ) -> UNet:
        """Return a U-Net on grids of `dim` axes, each axis 2 ** (len(channels) - 1) times some number of nodes long.

        Args:
            in_channels, out_channels, channels: see `UNet`.
            dim: number of axes.
            kernel_size: of the convolutions, odd.
        """

        def conv(c: int, d: int) -> nn.Module:
            return GridConv(c, d, kernel_size, dim=dim, padding="same")

        def down(c: int, d: int) -> nn.Module:
            return GridConv(c, d, 2, dim=dim, stride=2)

        def up(c: int, d: int) -> nn.Module:
            return GridConvTranspose(c, d, 2, dim=dim, stride=2)

        return cls(in_channels, out_channels, channels, conv, down, up)

    @classmethod
    def on_graph(cls, in_channels: int, out_channels: int, channels: Sequence[int], conv: Layer = GraphConv) -> UNet:
        """Return a U-Net on graphs that coarsens by heavy-edge matching.

        Args:
            in_channels, out_channels, channels: see `UNet`.
            conv: (c, c') -> a message-passing layer; one that takes `edge_weight` sees the weights of coarse edges.
        """
        return cls(in_channels, out_channels, channels, conv, lambda c, d: HeavyEdgePool(), lambda c, d: Unpool())

"""Layers of grids that are called with images, as the layers of torch whose places they take in a network."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from graphgdl.domains.structure import Grid
from graphgdl.nn.grid_conv import GridConv
from graphgdl.nn.grid_conv_transpose import GridConvTranspose
from graphgdl.nn.grid_inputs import window_of
from graphgdl.nn.grid_lowering import OnGrid
from graphgdl.nn.grid_pool import GridPool
from graphgdl.nn.grid_upsample import GridUpsample


def nodes_of(images: Tensor) -> Tensor:
    """Return images (g, c, *shape) as features (n, c) of the nodes of g grids."""
    return images.movedim(1, -1).flatten(0, -2)


def images_of(x: Tensor, count: int, shape: tuple[int, ...]) -> Tensor:
    """Return features (n, c) of the nodes of `count` grids as new images (count, c, *shape), in torch's own layout."""
    return x.reshape(count, *shape, x.size(1)).movedim(-1, 1).clone(memory_format=torch.contiguous_format)


@lru_cache(maxsize=64)
def grid_like(count: int, shape: tuple[int, ...], periodic: bool | tuple[bool, ...], device: torch.device) -> Grid:
    """Return the grid of `count` images, the same for the same arguments, so that what was derived from it is found."""
    with torch.inference_mode(False):
        return Grid(shape, periodic, ptr=[i * math.prod(shape) for i in range(count + 1)]).to(device)


def run_on_images(layer: OnImages, images: Tensor, *more: Any, **options: Any) -> Tensor:
    """Call a layer, or tell who overrides torch's functions that it is called."""
    if has_torch_function_unary(images):
        return handle_torch_function(run_on_images, (images,), layer, images, *more, **options)
    return layer.run(images, *more, **options)


class OnImages(OnGrid):
    """Mixin before a layer of grids: its form `'conv'` is the layer of torch itself, the others run on the nodes.

    Attributes:
        like: the layer of torch, no child; both have one dict of parameters.
    """

    like: nn.Module

    @property
    def ring(self) -> bool:
        """Whether the layer goes round the axes of an image."""
        return getattr(self, "padding_mode", None) == "circular"

    def check(self, structure: Grid) -> None:
        """Raise ValueError if a grid is a ring where the layer pads with something else, or the other way round."""
        if hasattr(self, "ends") and self.dim == len(structure.periodic):
            mode = "circular" if self.ring else "zeros"
            window_of(structure, self.kernel_size, self.stride, self.dilation, self.ends, mode)

    def forward(self, input: Tensor, *more: Any, **options: Any) -> Tensor:
        """Return images, as torch's layer does."""
        return run_on_images(self, input, *more, **options)

    def run(self, images: Tensor, *more: Any, **options: Any) -> Tensor:
        """Run the layer of torch, or the layer of grids."""
        if more or options or (self._lowering in ("auto", "conv") and self.no_convolution() is None):
            self._note("propagate", "conv", {})
            return self.like(images, *more, **options)
        if images.dim() != self.dim + 2:
            raise ValueError(f"`images` must have {self.dim + 2} axes (g, c, *shape), got shape {tuple(images.shape)}")
        grid = grid_like(images.size(0), tuple(images.shape[2:]), self.ring, images.device)
        return images_of(super().forward(nodes_of(images), grid), images.size(0), self.grid(grid).shape)


class ImageConv(OnImages, GridConv):  # type: ignore[misc]
    """`GridConv` called with images."""


class ImageConvTranspose(OnImages, GridConvTranspose):  # type: ignore[misc]
    """`GridConvTranspose` called with images."""


class ImagePool(OnImages, GridPool):  # type: ignore[misc]
    """`GridPool` called with images."""


class ImageUpsample(OnImages, GridUpsample):  # type: ignore[misc]
    """`GridUpsample` called with images."""


_KINDS: dict[type[nn.Module], Any] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), ImageConv),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), ImageConvTranspose),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), ImagePool),
}
WINDOWS = (*_KINDS, nn.Upsample, nn.UpsamplingNearest2d)
"""Layers of torch that have a form on grids."""


def image_layer(like: Any, dim: int | None) -> OnImages:
    """Return the layer of grids that does with images what a layer of torch does, with its parameters and mode.

    Args:
        like: one of `WINDOWS`.
        dim: number of axes of the images, where it is known.

    Raises:
        ValueError: an option that is not known on grids.
    """
    layer: OnImages = _KINDS[type(like)].from_torch(like) if type(like) in _KINDS else _upsample(like, dim)
    layer.__dict__.update(like=like, _parameters=like._parameters)
    return layer.train(like.training)


def _upsample(like: Any, dim: int | None) -> ImageUpsample:
    each = isinstance(like.scale_factor, tuple)
    factors = like.scale_factor if each else (like.scale_factor,) * (dim or 1)
    if like.mode != "nearest" or any(f is None or f != int(f) or f < 1 for f in factors):
        raise ValueError(f"{like} does not repeat pixels by whole factors")
    if dim is None and not each:
        raise ValueError(f"{like} does not tell the number of axes, nor do all other layers")
    return ImageUpsample([int(f) for f in factors])

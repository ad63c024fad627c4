"""A network of torch for images becomes message passing on grids; its numbers stay."""

from __future__ import annotations

from torch import nn

from graphgdl.nn.from_torch_steps import Conversion
from graphgdl.nn.grid_network import GridNetwork


def from_torch(network: nn.Module) -> GridNetwork:
    """Return `network` as message passing on a `Grid`: same numbers, parameters, names of parameters, and mode.

    The forward of `network` is traced, as by `torch.fx`, and each step runs on nodes: convolutions (also transposed),
    pooling, nearest upsampling, norms, activations, dropout, sums and products of images (also with what was pooled to one
    pixel, and with a value for each channel), concatenation of channels, as modules, functions or methods. An image leaves
    its grid where it is flattened, reshaped or averaged over its axes; from there on all is as in torch, on grids of one
    shape (of any shapes after global pooling). Parameters are shared: training one trains the other. Norms, linear layers,
    activations and dropout are the very modules of `network`.

    Args:
        network: takes images (g, c, *shape), returns one tensor, and does the same to all images of a mode.

    Returns:
        A module called as `module(x, structure)` with x (n, c), the pixels of all images row by row, and structure a
        `Grid` (see `graphgdl.domains.from_grid`). A network that pads circularly takes periodic grids, any other open ones.

    Raises:
        TypeError: a layer or function that is not known, by name.
        ValueError: one with an option that is not known, or in the wrong place; a forward that cannot be traced.

    Example:
        >>> import torch
        >>> from graphgdl.domains import Grid
        >>> class Residual(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.stem, self.conv = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        ...         self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 2)
        ...
        ...     def forward(self, x):
        ...         x = self.stem(x)
        ...         x = torch.relu(x + self.norm(self.conv(x)))
        ...         return self.head(x.mean((2, 3)))
        >>> network = Residual().eval()
        >>> images = torch.rand(5, 1, 8, 8)
        >>> out = from_torch(network)(images.view(5 * 64, 1), Grid((8, 8), ptr=range(0, 321, 64)))
        >>> assert torch.allclose(out, network(images), atol=1e-5)
    """
    if not isinstance(network, nn.Module) or _is_layer(network):
        raise TypeError(
            f"`network` must be a module that calls others, such as a torch.nn.Sequential, got {type(network).__name__}; "
            f"wrap a single layer in one"
        )
    for name, module in network.named_modules():
        _refuse_custom(module, name or "network")
    return Conversion(network).result()


def _is_layer(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential)


def _refuse_custom(module: nn.Module, name: str) -> None:
    hooks = [module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks]
    if any(hooks):
        raise ValueError(
            f"`network` child '{name}' has hooks, which would be lost; remove them and hang them on the result"
        )
    if "forward" in vars(module):
        raise TypeError(
            f"`network` child '{name}' has a forward of its own, which its class does not know; subclass it"
        )
    if type(module).train is not nn.Module.train:
        raise TypeError(f"`network` child '{name}', a {type(module).__name__}, overrides `train`, which would be lost")

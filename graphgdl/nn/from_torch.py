"""A network of torch for images becomes message passing on grids; its numbers stay."""

from __future__ import annotations

import copy
import re

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from graphgdl.nn.grid_network import GridNetwork
from graphgdl.nn.image_layers import WINDOWS, image_layer


def from_torch(network: nn.Module) -> GridNetwork:
    """Return `network` as message passing on a `Grid`: same numbers, parameters, names of parameters, and mode.

    Its forward stays as it is and sees images. Every convolution (also transposed), maximum or mean over windows and nearest
    upsampling in it, as a module, becomes a layer of grids: `lowering = "message"` runs it along edges, `"auto"` by torch's
    kernel, whose numbers are the same bit for bit. What is left to torch, and why, is in `skipped` of the result; functions
    always are. Tensors are shared: training one trains the other; modules are copies, with a mode and hooks of their own.

    Args:
        network: takes a batch of images (g, c, *shape) alone.

    Returns:
        A module called as `module(x, structure)` with x (n, c), the pixels of all images row by row, and structure a
        `Grid` (see `graphgdl.domains.from_grid`). A network that pads circularly takes periodic grids, any other open ones.

    Raises:
        TypeError: `network` is no module, or a layer alone.
        ValueError: it cannot be copied.

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
        >>> assert torch.equal(out, network(images))
    """
    if not isinstance(network, nn.Module) or type(network) in WINDOWS:
        raise TypeError(
            f"`network` must be a torch.nn.Module that calls others, got {type(network).__name__}; wrap a single layer in a "
            f"torch.nn.Sequential"
        )
    held = (value for module in network.modules() for value in tree_leaves(vars(module)))
    try:
        copied = copy.deepcopy(network, {id(value): value for value in held if isinstance(value, Tensor)})
    except Exception as error:
        raise ValueError(f"`network` cannot be copied, which keeps what it is: {error}") from error
    axes = {int(kind.__name__[-2]) for kind in map(type, copied.modules()) if re.fullmatch(r"\w+[123]d", kind.__name__)}
    dim = axes.pop() if len(axes) == 1 else None
    skipped = {}
    for name, module in copied.named_modules():
        reason = _convert(module, dim)
        if reason is not None:
            skipped[name] = reason
    return GridNetwork(copied, dim, skipped)


def _convert(module: nn.Module, dim: int | None) -> str | None:
    """Make a layer with windows one of grids, the object that it was for all who hold it; return why not, or None."""
    if not isinstance(module, WINDOWS):
        return None
    if type(module) not in WINDOWS:
        return f"a {type(module).__name__} may compute something else"
    if any(value for key, value in vars(module).items() if key.endswith("_hooks")) or "forward" in vars(module):
        return "it has hooks or a forward of its own"
    like: nn.Module = copy.copy(module)
    try:
        ours = image_layer(like, dim)
    except ValueError as error:
        return str(error)
    module.__class__ = type(ours)
    object.__setattr__(module, "__dict__", vars(ours))
    return None

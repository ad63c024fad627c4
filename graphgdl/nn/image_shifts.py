"""Which values in the forward of a network for images follow shifts of the images, and on which grids they lie.

Only what is known to keep the law is followed; anything else that is done to such a value ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from graphgdl.domains.structure import Grid
from graphgdl.nn.image_layers import image_layer, run_on_images

_EACH = {
    *("relu", "relu6", "leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish", "sigmoid", "logsigmoid"),
    *("tanh", "softplus", "softsign", "hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink"),
    *("threshold", "abs", "neg", "exp", "log", "sqrt", "rsqrt", "square", "sin", "cos"),
    *("clone", "contiguous", "detach"),
    *("float", "double", "to", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
    *("batch_norm", "instance_norm", "group_norm", "local_response_norm"),
}
"""Names of functions that treat all places of an image alike."""

_PAIRS = {
    *("add", "sub", "mul", "div", "truediv", "pow", "maximum", "minimum"),
    *("gt", "lt", "ge", "le", "where", "expand_as"),
}
_PAIRS |= {"clamp", "addcmul", "lerp", *(f"{side}{name}" for side in "ir" for name in _PAIRS)}
_CHANNELS = {"cat": 0, "concat": 0, "softmax": None, "log_softmax": None, "softmin": None, "glu": -1}
"""Names of functions of one axis, which must be that of the channels, and their default for it."""

_OVER_PLACES = {"mean", "sum", "amax", "amin"}
_MODULES = {
    F.interpolate: nn.Upsample,
    **{getattr(F, f"{k}_pool{d}d"): getattr(nn, f"{k.title()}Pool{d}d") for k in ("max", "avg") for d in (1, 2, 3)},
}
"""Functions with windows, and the module of each."""

_QUESTIONS = {"get", "size", "dim", "ndimension", "numel", "len", "is_floating_point"}


class ShiftedImages(TorchFunctionMode):
    """Watches a forward.

    Attributes:
        grids: of all values that follow the shifts, in order.
        lost: whether something else was done to one of them.
    """

    def __init__(self, images: Tensor, grid: Grid) -> None:
        super().__init__()
        self.grids: list[Grid] = []
        self.lost = False
        self._values = WeakTensorKeyDictionary()  # the grid of each value that follows the shifts
        self._follow(images, grid)

    def grid(self, value: Any) -> Grid | None:
        """Return the grid of a value that follows the shifts, or None."""
        return self._values.get(value) if isinstance(value, Tensor) else None

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, and look at what it was."""
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        grids = [grid for grid in map(self.grid, given) if grid is not None]
        if grids and not self.lost:
            dim = len(grids[0].periodic) + 2
            after = _after(function, args, kwargs, out, dim, [v for v in given if self.grid(v) is None])
            if after is None:
                self.lost = True
            elif after:
                grid = self._through(function, args, kwargs, grids[0])
                for value in tree_leaves(out):
                    self._follow(value, grid)
        return out

    def _through(self, function: Any, args: Any, kwargs: Any, grid: Grid) -> Grid:
        layer = args[0] if function is run_on_images else None
        try:
            if function in _MODULES:
                options = {name: value for name, value in kwargs.items() if name not in ("input", "antialias")}
                layer = image_layer(_MODULES[function](*args[1:], **options), len(grid.periodic))
                layer.check(grid)
            return grid if layer is None else layer.grid(grid)
        except ValueError:  # its windows do not go round the ring, or are not known
            self.lost = True
            return grid

    def _follow(self, value: Tensor, grid: Grid) -> None:
        self._values[value] = grid
        self.grids.append(grid)


def _after(
    function: Callable[..., Any], args: Any, kwargs: Any, out: Any, dim: int, others: list[Tensor]
) -> bool | None:
    """Return whether what a function gives follows the shifts, or does not see them; None if neither is known."""
    name, one = getattr(function, "__name__", "").strip("_"), isinstance(out, Tensor)
    if function is run_on_images or function in _MODULES or name in _EACH:
        return one or None
    if name in _PAIRS:
        return None if any(size > 1 for value in others for size in value.shape[2 - dim :]) else True
    if name in _CHANNELS:
        return True if _option("dim", 1, args, kwargs, _CHANNELS[name]) in (1, 1 - dim) else None
    if name in ("chunk", "split"):
        return True if _option("dim", 2, args, kwargs, 0) in (1, 1 - dim) else None
    if name in _OVER_PLACES and "axis" not in kwargs:
        axes = _option("dim", 1, args, kwargs, None)
        whole = {a % dim for a in ([axes] if isinstance(axes, int) else axes or range(dim))}
        if whole == {1} and _option("keepdim", 2, args, kwargs, False):
            return True
        return None if set(range(2, dim)) - whole else False
    if name.startswith("adaptive_") and one:
        return None if any(size > 1 for size in out.shape[2:]) else False
    return False if name in _QUESTIONS and not any(isinstance(v, Tensor) for v in tree_leaves(out)) else None


def _option(name: str, place: int, args: Any, kwargs: Any, default: Any) -> Any:
    return kwargs.get(name, args[place] if len(args) > place else default)

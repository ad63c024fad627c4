"""The form `'conv'` of layers on grids: one of torch's kernels, run before any edge is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch_geometric.data import Data

from graphgdl.domains.structure import Grid
from graphgdl.domains.window import Taps
from graphgdl.groups import Law
from graphgdl.nn.grid_laws import translation_laws
from graphgdl.nn.lowering import Call, Lowered, Lowering

_STEPS = ("message", "aggregate", "update", "message_and_aggregate")


class Convolution:
    """The form `'conv'`, as it is offered once there are edges: the layer has refused it by then."""

    def prepare(self, layer: Lowered, call: Call) -> Callable[[], Any] | str:
        """Return why torch's kernel does not compute the layer."""
        return layer.no_convolution() or "the edges are built already"


class OnGrid(Lowered):
    """A layer on grids of `dim` axes: torch's kernel where it computes the layer, else edges sorted by tap."""

    lowerings: ClassVar[dict[str, Lowering]] = {"conv": Convolution(), **Lowered.lowerings}
    dim: int
    weight: nn.Parameter
    bias: nn.Parameter | None
    _ours: ClassVar[type]  # the class whose steps torch's kernel computes

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("graphgdl."):
            cls._ours = cls

    def reset_parameters(self) -> None:
        """Draw the parameters as torch does, from the same random numbers."""
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        if self.bias is not None:
            bound = self.weight[0].numel() ** -0.5
            nn.init.uniform_(self.bias, -bound, bound)

    def grid(self, structure: Grid) -> Grid:
        """Return the grid of the output's nodes, for the next layer."""
        raise NotImplementedError

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return the translations under which the layer is equivariant on a grid like that of `data`."""
        return translation_laws(self, data)

    def update(self, inputs: Tensor) -> Tensor:
        """Add the bias."""
        return inputs if self.bias is None else inputs + self.bias

    def no_convolution(self) -> str | None:
        """Return why torch's kernel would not compute this layer, or None."""
        if self.dim > 3:
            return f"torch convolves grids of 1, 2 or 3 axes, not {self.dim}"
        cls, ours = type(self), self._ours
        for name in _STEPS:
            if name in self.__dict__ or getattr(cls, name) is not getattr(ours, name):
                return f"`{name}` is overridden"
        return self._customised()

    @classmethod
    def _sharing(cls, conv: Any, *options: str) -> Self:
        """Return the layer of these options, the mode and the very parameters of a convolution of torch's."""
        build: Any = cls
        given = {name: getattr(conv, name) for name in options}
        layer = build(conv.in_channels, conv.out_channels, bias=conv.bias is not None, **given)
        for name, parameter in conv.named_parameters():
            layer.register_parameter(name, parameter)
        return layer.train(conv.training)

    def _taps(self, structure: Grid) -> Taps:
        """Return the edges to the nodes of `self.grid(structure)`."""
        raise NotImplementedError

    def _by_torch(self, x: Tensor, structure: Grid) -> Tensor:
        """Return the layer's output by torch's kernel."""
        raise NotImplementedError

    def _run(self, step: str, structure: Any, size: Any, inputs: dict[str, Any]) -> Any:
        x = inputs["x"]
        if self._lowering in ("auto", "conv") and self.no_convolution() is None:
            self._note(step, "conv", {})
            return self._by_torch(x, structure)
        taps, ends = self._taps(structure), (structure.num_nodes, self.grid(structure).num_nodes)
        return super()._run(step, taps.edge_index, ends, {"x": (x, None), "counts": taps.counts})

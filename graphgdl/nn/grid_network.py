r"""GridNetwork: a network of torch for images, step by step on the nodes of its grids.

.. math:: x_k = f_k(x_{p_1}, \dots, x_{p_m}), \quad p_i < k

Law: the translations that all of its grids follow, if nothing but pooled features leaves them; invariant after a pooling.
Source: He et al. (2016), Deep Residual Learning for Image Recognition, section 3.2 (steps that are no sequence).
Differs: nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.fx.node import map_aggregate
from torch_geometric.data import Data

from graphgdl.domains.structure import Grid
from graphgdl.groups import Law
from graphgdl.nn.grid_inputs import check_grid
from graphgdl.nn.grid_laws import grid_of, translations_of
from graphgdl.nn.grid_steps import Signal, common_grid, on_grid, single, whole
from graphgdl.nn.grid_trace import Mode


class Value(str):
    """The name of an earlier step whose value is an argument."""


class Step(NamedTuple):
    """One step: ``run(call, *args, **kwargs)``.

    Attributes:
        name: of its value.
        kind: 'grid' of features on a grid, 'pooled' of features from pooled ones alone, 'plain' of a value as torch has it.
        run: how the call is made, from `grid_steps`.
        call: the path of a layer, or a function.
        args: its arguments, with `Value` and `Mode` in them.
        kwargs: the named ones.
        images: the steps among the arguments that are on grids.
        owner: path of the torch module in whose forward the step stands.
    """

    name: str
    kind: str
    run: Callable[..., Any]
    call: str | Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    images: tuple[str, ...]
    owner: str


class GridNetwork(nn.Module):
    """What `from_torch` returns: the layers of a torch network under their names, and the steps of its forward.

    Shapes:
        x (n, c); structure a `Grid` of n nodes, or a batch of grids -> (n', c') on `network.grid(structure)`, or what the
        torch network returns, where it left the grid.

    Raises:
        ValueError: features or grids that do not fit, with a note that names the step.
    """

    def __init__(self, steps: Iterable[Step], output: str, dim: int | None) -> None:
        super().__init__()
        self._steps, self._output, self._dim = tuple(steps), output, dim
        self._done: list[set[str]] = []  # after each step, the values that no later one reads
        read = {output}
        for step in reversed(self._steps):
            now: list[str] = []
            map_aggregate((step.args, step.kwargs), lambda a, now=now: now.append(a) if isinstance(a, Value) else None)  # type: ignore[misc]
            self._done.insert(0, {*now} - read)
            read.update(now)

    def forward(self, x: Tensor, structure: Grid) -> Any:
        """Return the value of the last step."""
        check_grid(structure, x, self._dim or len(getattr(structure, "periodic", "")), None)
        grids = self._grids(structure)
        values: dict[str, Any] = {"x": Signal(x, structure)}

        def fill(argument: Any) -> Any:
            if isinstance(argument, Value):
                return values[argument]
            return self.get_submodule(argument).training if isinstance(argument, Mode) else argument

        for step, done in zip(self._steps, self._done):
            args, kwargs = map_aggregate((step.args, step.kwargs), fill)
            try:
                value = step.run(self._callable(step), *args, **kwargs)
            except (ValueError, TypeError) as error:
                error.add_note(_where(step))
                raise
            values[step.name] = value if step.kind == "plain" else Signal(value, grids[step.name])
            del args, kwargs, value
            for name in done:
                del values[name]
        value = values[self._output]
        return value.x if isinstance(value, Signal) else value

    def grid(self, structure: Grid) -> Grid | None:
        """Return the grid of the output's nodes, None where it is on none."""
        return self._grids(structure).get(self._output)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return the translations that every grid follows; none if nodes leave the grid otherwise than by a pooling."""
        grids, kinds = self._grids(grid_of(data)), {"x": "grid", **{step.name: step.kind for step in self._steps}}
        read = [name for step in self._steps if step.run is whole for name in step.images]
        on = {name: grid for name, grid in grids.items() if kinds[name] == "grid"}
        if any(name in on for name in read) or not all(single(grids[n]) for n in grids if n not in on):
            return ()
        last = on.get(self._output)
        return translations_of([*on.values(), *([] if last is None else [last])], invariant=last is None)

    def _grids(self, structure: Grid) -> dict[str, Grid]:
        """Return the grids of all steps that are on one."""
        found = {"x": structure}
        for step in self._steps:
            inputs = [found[name] for name in step.images]
            try:
                if step.kind != "plain":
                    regrids = step.run is on_grid
                    found[step.name] = self._callable(step).grid(*inputs) if regrids else common_grid(inputs)
            except (ValueError, TypeError) as error:
                error.add_note(_where(step))
                raise
        return found

    def _callable(self, step: Step) -> Any:
        return attrgetter(step.call)(self) if isinstance(step.call, str) else step.call


def _where(step: Step) -> str:
    return f"in step '{step.name}' of the converted network, in the forward of '{step.owner}'"

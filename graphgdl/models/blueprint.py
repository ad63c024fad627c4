r"""Blueprint: a model assembled from local equivariant maps, nonlinearities, coarsening and a global invariant map.

.. math:: f = A \circ \sigma_J \circ B_J \circ P_{J-1} \circ \dots \circ P_1 \circ \sigma_1 \circ B_1

with local equivariant layers B, nonlinearities :math:`\sigma`, poolings P and an invariant layer A.

Law: what all its layers have in common; see `Blueprint.laws`.
Source: Bronstein et al. (2021), Geometric Deep Learning: Grids, Groups, Graphs, Geodesics, and Gauges, section 3.5.
Differs: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphgdl.groups import FieldType, Law
from graphgdl.models.fit import Assembly, Flow, fit
from graphgdl.models.laws import causality, permutations, trace, translations
from graphgdl.models.point_laws import point_laws
from graphgdl.models.state import State, step
from graphgdl.models.types import first_type


class Blueprint(nn.Module):
    """Layers one after another on any domain, checked against one another at construction.

    Any layer goes: this package's, PyG's, torch's, another blueprint. A layer that looks at more than one node is given
    the domain, a structure or `edge_index`, and of `edge_attr`, `edge_weight`, `pos` and `batch` what its `forward`
    names. A layer that changes the domain hands the next one the new: `layer.grid(structure)` of a stride, the coarser
    graph of a pooling, which has `edge_weight`, and `pos` at the centres of its clusters where there was one.

    Args:
        layers: the layers.

    Attributes:
        in_type, out_type: types of the channels that come in and go out, or None where no layer says.

    Shapes:
        a `Data` (its `x`, its `structure` or `edge_index`, its `batch` and further attributes), or x (n, c), structure or
        edge_index, batch, and further tensors by name -> (n', c'), or (g, c') after a readout.

    Raises:
        TypeError: a layer is no module; called with neither a `Data` nor a tensor.
        ValueError: no layer; two layers that do not fit: channels, group and representation, domain, a nonlinearity or
            norm that does not commute with the representation, a local layer after the readout.

    Example:
        >>> import torch
        >>> from graphgdl.domains import Grid
        >>> from graphgdl.nn import GridConv, Readout
        >>> image = [GridConv(3, 8, 3, dim=2, stride=2, padding=1), nn.ReLU(), Readout("mean"), nn.Linear(8, 10)]
        >>> Blueprint(image)(torch.rand(64, 3), Grid((8, 8))).shape
        torch.Size([1, 10])
        >>> Blueprint([GridConv(3, 8, 3, dim=2), nn.Linear(4, 10)])
        Traceback (most recent call last):
        ValueError: layer 1, `Linear(in_features=4, ...)`, takes 4 scalar channels, but layer 0, ... gives 8 ...
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        if not layers:
            raise ValueError("`layers` must hold at least one layer, got none")
        for i, layer in enumerate(layers):
            if not isinstance(layer, nn.Module):
                raise TypeError(
                    f"`layers` must be modules, got {type(layer).__name__} at {i}; wrap a function in a module"
                )
        self.layers = nn.ModuleList(layers)
        self.in_type = first_type(layers)
        self.out_type: FieldType | None = self.fit(Flow(self.in_type), "layer").fields

    def forward(
        self, data: Data | Tensor, structure: Any = None, batch: Tensor | None = None, **features: Any
    ) -> Tensor:
        """Return the features after the last layer."""
        return self.run(state_of(data, structure, batch, **features)).x

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return what all layers have in common on one input like `data`, which is run once to see what each is given.

        Permutations of the nodes; translations of a periodic grid, by multiples of what its strides leave; causality along
        chains; the group of the channels. A law that a layer states only as a limit is left out.
        """
        run = trace(self, state_of(data))
        whole = (*permutations(self, data, run), *translations(data, run), *causality(data, run))
        return (*whole, *point_laws(self.in_type, self.out_type, run))

    def fit(self, flow: Flow, name: str) -> Flow:
        """Return what is known after the last layer; see `graphgdl.models.fit`."""
        for i, layer in enumerate(self.layers):
            flow = fit(layer, flow, f"{name} {i}" if name == "layer" else f"{name}.{i}")
        return flow

    def run(self, state: State) -> State:
        """Return the state after the last layer: features, domain, batch, and the losses of poolings."""
        for layer in self.layers:
            state = layer.run(state) if isinstance(layer, Assembly) else step(layer, state)
        return state


def state_of(data: Data | Tensor, structure: Any = None, batch: Tensor | None = None, **features: Any) -> State:
    """Return the state before the first layer.

    Raises:
        TypeError: neither a `Data` nor a tensor.
        ValueError: a `Data` without `x`, or with a structure beside it.
    """
    if isinstance(data, Tensor):
        return State(data, structure, batch, features={k: v for k, v in features.items() if v is not None})
    if not isinstance(data, Data):
        raise TypeError(f"`data` must be a Data, or a tensor (n, c) with its structure, got {type(data).__name__}")
    if data.x is None:
        raise ValueError("`data.x` must hold node features, got None")
    if structure is not None or batch is not None or features:
        raise ValueError(
            "`data` holds its own structure, batch and features; pass a `Data` alone, or `data.x` with them"
        )
    known = {name: data[name] for name in ("edge_attr", "edge_weight", "pos") if data.get(name) is not None}
    domain = next((data[name] for name in ("structure", "edge_index", "adj_t") if data.get(name) is not None), None)
    size = data.num_graphs if isinstance(data, Batch) and "ptr" in data else None  # of batches it counts these alone
    return State(data.x, domain, data.get("batch"), size, known)

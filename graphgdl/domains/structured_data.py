"""`StructuredData`: a PyG `Data` whose `structure` survives batching."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from graphgdl.domains.structure import Structure


class StructureStorage(GlobalStorage):
    """PyG's storage, except that a list of structures (what collating leaves) becomes their disjoint union."""

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "structure" and isinstance(value, list):
            value = Structure.concat(value)
        super().__setitem__(key, value)


class StructuredData(Data):
    """A `Data` that knows its structure (`Grid`, `Complete`, `Chain`) and holds no edges.

    Layers take `data.structure` in the place of `edge_index`. A DataLoader batches graphs of unequal size into one
    structure, `batch.structure`, and `batch.get_example(i)` gives each back, of one graph or of several. What works on
    edges (PyG's transforms and samplers, layers of other packages) takes `data.with_edges()`.

    `batch.structure.batch` numbers the graphs, `batch.batch` what was put together: in a batch of batches graphs too, but
    beside a single graph that comes first, a batch counts as one.

    Args:
        x: node features (n, c).
        structure: what the graph is known to be; `num_nodes` must be n.
        **kwargs: further attributes, as for `Data`.

    Raises:
        TypeError: `structure` is no Structure.
        ValueError: `x` has another number of rows than `structure` has nodes.

    Example:
        >>> from graphgdl.domains import Complete
        >>> from torch_geometric.data import Batch
        >>> sets = [StructuredData(torch.ones(n, 1), Complete(n)) for n in (3, 1, 2)]
        >>> Batch.from_data_list(sets).structure.ptr.tolist()
        [0, 3, 4, 6]
    """

    def __init__(self, x: Tensor | None = None, structure: Structure | None = None, **kwargs: Any) -> None:
        super().__init__()
        self.__dict__["_store"] = StructureStorage(_parent=self)
        if structure is not None and not isinstance(structure, Structure):
            raise TypeError(f"`structure` must be a Grid, Complete or Chain, got {type(structure).__name__}")
        if structure is not None and x is not None and x.size(0) != structure.num_nodes:
            raise ValueError(f"`x` must have one row for each of the {structure.num_nodes} nodes, got {x.size(0)} rows")
        for key, value in {"x": x, "structure": structure, **kwargs}.items():
            if value is not None:
                setattr(self, key, value)

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == "batch" and "ptr" in self:  # PyG takes the largest number, which an empty graph at the end lacks
            return self.ptr.numel() - 1
        return super().__inc__(key, value, *args, **kwargs)

    def with_edges(self) -> Data:
        """Return a plain `Data` that has the structure's edges and not the structure: a graph like any other.

        Raises:
            ValueError: there is no structure.
        """
        if "structure" not in self:
            raise ValueError("`structure` is missing; pass one such as Complete(n)")
        attributes = {key: value for key, value in self.to_dict().items() if key != "structure"}
        return Data.from_dict({**attributes, "edge_index": self.structure.edge_index})


# What torch.load(weights_only=True) meets in a `Data`; PyG allows none of it by itself.
torch.serialization.add_safe_globals(
    [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage, StructuredData, StructureStorage]
)

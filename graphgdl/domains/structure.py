r"""Structures: what a graph is known to be (a grid, a complete graph, a chain), without its edges.

A layer that is given `(x, edge_index)` cannot know that the graph is a grid. A `Structure` says so: it is passed in the
place of `edge_index`, describes one graph or a batch of graphs, and builds the edges only when somebody asks for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise, product
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

S = TypeVar("S", bound="Structure")


class Structure:
    """A batch of graphs of one known kind: node `v` belongs to graph `i` iff `ptr[i] <= v < ptr[i + 1]`.

    Frozen. Registered as a pytree (leaf: `ptr`), moved by `.to(device)`, saved and loaded with `weights_only=True`.
    `structure[i]` is graph `i` alone; a union gives back what it was made of, `Structure.concat(parts)[i] == parts[i]`,
    of however many graphs. Equal are structures of the same graphs in the same order.

    Attributes:
        ptr: int64 (g + 1,), first node of each graph, then the number of nodes.
        num_nodes: nodes of all graphs together.
        num_edges: edges of all graphs together, known without building them.
    """

    ptr: Tensor
    num_nodes: int
    num_edges: int

    _options: tuple[str, ...] = ()  # names of the attributes beside `ptr` that make the structure what it is
    _parts: tuple[int, ...] | None = None  # of a union: first graph of each part; None: one graph each

    def _freeze(self, ptr: Tensor, sizes: Sequence[int], num_edges: int, **options: Any) -> None:
        self.__dict__.update(ptr=ptr, num_nodes=sum(sizes), num_edges=num_edges, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"`{name}` of a {type(self).__name__} is frozen; build a new one")

    @property
    def num_graphs(self) -> int:
        """Number of graphs in the batch."""
        return self.ptr.size(0) - 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of nodes of each graph."""
        return tuple(self.ptr.diff().tolist())

    @property
    def device(self) -> torch.device:
        """Where `ptr` lies and the edges are built."""
        return self.ptr.device

    @property
    def batch(self) -> Tensor:
        """Graph of each node, int64 (n,)."""
        return _repeat(self.ptr.diff(), self.num_nodes)

    @property
    def edge_index(self) -> Tensor:
        """Edges, int64 (2, e), sorted by destination, then by source; built once and kept: the same tensor each time."""
        edges = self.__dict__.get("_edges")
        if edges is None:
            edges = self._build()
            if not torch.compiler.is_compiling():
                self.__dict__["_edges"] = edges
        return edges

    def _build(self) -> Tensor:
        raise NotImplementedError

    def __getitem__(self: S, index: int) -> S:
        """Return graph `index` alone; of a union, part `index`."""
        parts = self._parts or range(self.num_graphs + 1)
        if not 0 <= index < len(parts) - 1:
            raise IndexError(f"`index` must lie in 0 .. {len(parts) - 2}, got {index}")
        low, high = parts[index : index + 2]
        return self._take(low, high, self.ptr[low : high + 1] - self.ptr[low])

    def _take(self: S, low: int, high: int, ptr: Tensor) -> S:
        """Return graphs `low` to `high` - 1, whose `ptr` is given."""
        return type(self)(ptr=ptr, **{name: getattr(self, name) for name in self._options})  # type: ignore[call-arg]

    @classmethod
    def concat(cls: type[S], structures: Sequence[S]) -> S:
        """Return the disjoint union of structures of one class with equal options (grids: unequal shapes allowed)."""
        if not structures:
            raise ValueError("`structures` must hold at least one structure, got none")
        first = structures[0]
        for i, other in enumerate(structures):
            same = type(other) is type(first) and all(
                name == "shape" or getattr(other, name) == getattr(first, name) for name in first._options
            )
            if not same:
                raise ValueError(f"`structures` must be of one kind, got {first!r} and, at {i}, {other!r}")
        offsets = accumulate((s.num_nodes for s in structures), initial=0)
        ptr = torch.cat([first.ptr[:1], *(s.ptr[1:] + offset for s, offset in zip(structures, offsets))])
        union = first._union(structures, ptr)
        if any(s.num_graphs != 1 for s in structures):
            union.__dict__["_parts"] = tuple(accumulate((s.num_graphs for s in structures), initial=0))
        return union

    def _union(self: S, structures: Sequence[S], ptr: Tensor) -> S:
        return self._take(0, self.num_graphs, ptr)

    def to(self: S, device: torch.device | str | int | None = None, non_blocking: bool = False) -> S:
        """Return the structure on `device`."""
        ptr = self.ptr.to(device=device, non_blocking=non_blocking)
        return self if ptr is self.ptr else _unflatten([ptr], _flatten(self)[1])

    def cpu(self: S) -> S:
        """Return the structure on the CPU."""
        return self.to("cpu")

    def cuda(self: S, device: torch.device | str | int | None = None, non_blocking: bool = False) -> S:
        """Return the structure on a CUDA device."""
        return self.to("cuda" if device is None else device, non_blocking)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_edges"}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure) or type(self) is not type(other):
            return False
        same = all(getattr(self, name) == getattr(other, name) for name in self._options)
        return same and torch.equal(self.ptr.cpu(), other.ptr.cpu())

    def __hash__(self) -> int:
        return hash((type(self), self.num_nodes, self.num_edges, *(getattr(self, name) for name in self._options)))

    def __repr__(self) -> str:
        options = "".join(f", {name}={getattr(self, name)}" for name in self._options)
        return f"{type(self).__name__}(num_graphs={self.num_graphs}, num_nodes={self.num_nodes}{options})"


class Complete(Structure):
    """Complete graphs: every node receives from every node of its graph, itself included unless `self_loops=False`.

    With self-loops it is the neighbourhood of self-attention: each element of a set sees the whole set.

    Args:
        ptr: number of nodes of one graph, or (g + 1,) first nodes of the graphs and the number of nodes.
        self_loops: whether a node is its own neighbour.

    Example:
        >>> Complete(3, self_loops=False).edge_index.tolist()
        [[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]]
        >>> Complete([0, 2, 3]).edge_index.tolist()
        [[0, 1, 0, 1, 2], [0, 0, 1, 1, 2]]
    """

    _options = ("self_loops",)
    self_loops: bool

    def __init__(self, ptr: int | Sequence[int] | Tensor, self_loops: bool = True) -> None:
        ptr, sizes = _check_ptr(ptr)
        self._freeze(ptr, sizes, sum(n * (n if self_loops else n - 1) for n in sizes), self_loops=self_loops)

    def _build(self) -> Tensor:
        batch, loops = self.batch, int(self.self_loops)
        degree = self.ptr.diff()[batch] - (1 - loops)
        dst = _repeat(degree, self.num_edges)
        src = self.ptr[batch[dst]] + _position(degree, dst)
        return torch.stack([src if loops else src + (src >= dst), dst])


class Chain(Structure):
    """Chains: node i + 1 receives from node i (causal), and with `bidirectional=True` node i from node i + 1 too.

    Args:
        ptr: number of nodes of one chain, or (g + 1,) first nodes of the chains and the number of nodes.
        bidirectional: whether messages flow backwards too.

    Example:
        >>> Chain(4).edge_index.tolist()
        [[0, 1, 2], [1, 2, 3]]
        >>> Chain([0, 2, 5], bidirectional=True).edge_index.tolist()
        [[1, 0, 3, 2, 4, 3], [0, 1, 2, 3, 3, 4]]
    """

    _options = ("bidirectional",)
    bidirectional: bool

    def __init__(self, ptr: int | Sequence[int] | Tensor, bidirectional: bool = False) -> None:
        ptr, sizes = _check_ptr(ptr)
        links = sum(max(n - 1, 0) for n in sizes)
        self._freeze(ptr, sizes, links * (1 + bidirectional), bidirectional=bidirectional)

    def _build(self) -> Tensor:
        links = (self.ptr.diff() - 1).clamp(min=0)
        graph = _repeat(links, self.num_edges // (1 + self.bidirectional))
        first = self.ptr[graph] + _position(links, graph)
        if not self.bidirectional:
            return torch.stack([first, first + 1])
        src, dst = torch.cat([first, first + 1]), torch.cat([first + 1, first])
        return torch.stack([src, dst])[:, torch.argsort(dst * self.num_nodes + src)]


class Grid(Structure):
    """Regular grids of any dimension d, open or periodic per axis; nodes in row-major order (the last axis runs fastest).

    The neighbours of a node differ from it by one step along one axis (2 d of them inside), or, with `diagonal=True`, by
    at most one step along every axis (3^d - 1 of them inside). The graph is simple: no self-loop, and on a periodic axis
    of two nodes the steps forward and back are one edge.

    Args:
        shape: d sizes, or for graphs of unequal shape one such tuple for each.
        periodic: whether the axes close to a ring: one flag, or one for each axis.
        diagonal: whether diagonal steps count.
        ptr: (g + 1,) first nodes of g grids of the one `shape`; default: one grid, or one for each shape.

    Example:
        >>> Grid((2, 2)).edge_index.tolist()
        [[1, 2, 0, 3, 0, 3, 1, 2], [0, 0, 1, 1, 2, 2, 3, 3]]
        >>> Grid((28, 28), periodic=True).num_edges == 28 * 28 * 4
        True
    """

    _options = ("shape", "periodic", "diagonal")
    shape: tuple[Any, ...]
    periodic: tuple[bool, ...]
    diagonal: bool

    def __init__(
        self,
        shape: Sequence[int] | Sequence[Sequence[int]],
        periodic: bool | Sequence[bool] = False,
        diagonal: bool = False,
        ptr: Sequence[int] | Tensor | None = None,
    ) -> None:
        shapes = _check_shapes(shape)
        dims = len(shapes[0])
        flags = (bool(periodic),) * dims if isinstance(periodic, bool | int) else tuple(map(bool, periodic))
        if len(flags) != dims:
            raise ValueError(f"`periodic` must be one flag or {dims}, one for each axis, got {len(flags)}")
        if ptr is None:
            ptr = list(accumulate(map(math.prod, shapes), initial=0))
        ptr, sizes = _check_ptr(ptr)
        shapes = shapes * len(sizes) if len(shapes) == 1 else shapes
        if sizes != [math.prod(s) for s in shapes]:
            raise ValueError(f"`ptr` must give each grid as many nodes as its `shape` {shape}, got sizes {sizes}")
        num_edges = sum(_count_edges(s, flags, diagonal) for s in shapes)
        distinct = tuple(dict.fromkeys(shapes)) or ((0,) * dims,)  # of no grid the dimension is all there is
        same = len(distinct) == 1
        self._freeze(ptr, sizes, num_edges, shape=distinct[0] if same else shapes, periodic=flags, diagonal=diagonal)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each grid."""
        ragged = isinstance(self.shape[0], tuple)
        return self.shape if ragged else (self.shape,) * self.num_graphs

    def _take(self, low: int, high: int, ptr: Tensor) -> Grid:
        return Grid(self.shapes[low:high] or (0,) * len(self.periodic), self.periodic, self.diagonal, ptr)

    def _union(self, structures: Sequence[Grid], ptr: Tensor) -> Grid:
        shapes = tuple(shape for structure in structures for shape in structure.shapes)
        return Grid(shapes or self.shape, self.periodic, self.diagonal, ptr)

    def _build(self) -> Tensor:
        ragged = isinstance(self.shape[0], tuple)
        node = torch.arange(self.num_nodes, device=self.device)
        graph = self.batch
        shape = torch.tensor(self.shape, device=self.device)
        shape = shape[graph] if ragged else shape.expand(self.num_nodes, -1)  # (n, d)
        stride = shape.flip(1).cumprod(1).flip(1) // shape
        place = (node - self.ptr[graph])[:, None] // stride % shape  # (n, d), coordinates
        sources, destinations, valid = [], [], []
        for step in _steps(len(self.periodic), self.diagonal):
            target, inside = place, torch.ones_like(node, dtype=torch.bool)
            offset = torch.zeros_like(node)
            for axis, move in enumerate(step):
                if move:
                    size, here = shape[:, axis], target[:, axis]
                    there = (here + move) % size
                    closes = (size > 2) | ((size == 2) & (move == 1))
                    inside = inside & (closes if self.periodic[axis] else (here + move == there))
                    offset = offset + (there - here) * stride[:, axis]
            sources.append(node + offset)
            destinations.append(node)
            valid.append(inside)
        src, dst, keep = torch.cat(sources), torch.cat(destinations), torch.cat(valid)
        order = torch.argsort(torch.where(keep, dst * self.num_nodes + src, self.num_nodes**2))[: self.num_edges]
        return torch.stack([src[order], dst[order]])


def _steps(dims: int, diagonal: bool) -> list[tuple[int, ...]]:
    return [s for s in product((-1, 0, 1), repeat=dims) if any(s) and (diagonal or sum(map(abs, s)) == 1)]


def _count_edges(shape: tuple[int, ...], periodic: tuple[bool, ...], diagonal: bool) -> int:
    """Count ordered pairs of neighbours: along one axis, its pairs less the n that stay."""
    pairs = [min(3 * s, s * s) if ring else max(3 * s - 2, 0) for s, ring in zip(shape, periodic)]
    if diagonal:
        return math.prod(pairs) - math.prod(shape)
    return sum((p - s) * math.prod(shape) // s for p, s in zip(pairs, shape) if s)


def _repeat(counts: Tensor, total: int) -> Tensor:
    """Index `i` repeated `counts[i]` times, in order; `total` is the sum, so that nothing waits for the device."""
    return torch.repeat_interleave(torch.arange(counts.size(0), device=counts.device), counts, output_size=total)


def _position(counts: Tensor, segment: Tensor) -> Tensor:
    """Position of each entry inside its segment, for `segment = _repeat(counts, ...)`."""
    return torch.arange(segment.size(0), device=segment.device) - (counts.cumsum(0) - counts)[segment]


def _check_ptr(ptr: int | Sequence[int] | Tensor) -> tuple[Tensor, list[int]]:
    """Return `ptr` as a tensor, and the sizes; where a list came, without asking the tensor: torch.compile may trace it."""
    if isinstance(ptr, int):
        ptr = [0, ptr]
    values = torch.as_tensor(ptr)
    if values.dim() != 1 or values.numel() < 1 or values.is_floating_point() or values.is_complex():
        raise ValueError(
            f"`ptr` must be a number of nodes or integers (g + 1,), got shape {tuple(values.shape)} of {values.dtype}; "
            f"for sizes use [0, *itertools.accumulate(sizes)]"
        )
    numbers = values.tolist() if isinstance(ptr, Tensor) else list(map(int, ptr))
    sizes = [end - start for start, end in pairwise(numbers)]
    if numbers[0] != 0 or any(size < 0 for size in sizes):
        raise ValueError(f"`ptr` must start at 0 and never fall, got {numbers}; sizes add up to it")
    return values.to(torch.int64, copy=True), sizes  # a copy: the caller may go on writing into theirs


def _check_shapes(shape: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    ragged = len(shape) > 0 and isinstance(shape[0], Sequence)
    shapes = tuple(tuple(s) for s in shape) if ragged else (tuple(shape),)
    for s in shapes:
        if not s or len(s) != len(shapes[0]) or any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in s):
            raise ValueError(
                f"`shape` must be sizes such as (28, 28), or one tuple of {len(shapes[0])} sizes for each grid, got {shape}"
            )
    return shapes


def _flatten(structure: Structure) -> tuple[list[Tensor], Any]:
    options = tuple((name, getattr(structure, name)) for name in (*structure._options, "_parts"))
    return [structure.ptr], (type(structure), structure.num_nodes, structure.num_edges, options)


def _unflatten(leaves: Any, context: Any) -> Any:
    kind, num_nodes, num_edges, options = context
    structure = object.__new__(kind)
    structure.__dict__.update(ptr=next(iter(leaves)), num_nodes=num_nodes, num_edges=num_edges, **dict(options))
    return structure


for _kind in (Complete, Chain, Grid):
    pytree.register_pytree_node(_kind, _flatten, _unflatten)
torch.serialization.add_safe_globals([Complete, Chain, Grid])

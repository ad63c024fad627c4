"""What a schedule is made of: ops for torch, row loops for a printer, and products over edges between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .node import Node, topological


@dataclass
class Host:
    """A step for torch: products, and ops on nodes and constants."""

    node: Node


@dataclass
class Kernel:
    """A row loop.

    Attributes:
        end: which end of the edge the rows are.
        sweeps: what each sweep makes: reductions over the row, totals, and edge values to store.
        rows: node values to store that are computed from the reductions of the same row.
        adds: whether the reductions are added to what is there (a tile does not hold whole rows of this end).
        unread: reductions that nobody else reads: they need not be stored.
        memory: values that are in memory when it starts.
        tile: the edge values, read or written, that lie by position in a tile and not by edge id.
        shared: those of them that the rows of the other end read; the others need only live as long as a block.
    """

    end: str
    sweeps: list[list[Node]]
    rows: list[Node] = field(default_factory=list)
    adds: bool = False
    unread: set[Node] = field(default_factory=set)
    memory: set[Node] = field(default_factory=set)
    tile: set[Node] = field(default_factory=set)
    shared: set[Node] = field(default_factory=set)

    @property
    def roots(self) -> list[Node]:
        """All that it makes."""
        return [r for sweep in self.sweeps for r in sweep] + self.rows

    @property
    def made(self) -> list[Node]:
        """What it makes for others."""
        return [r for r in self.roots if r not in self.unread]

    def reads(self) -> tuple[set[Node], set[Node]]:
        """Return which values in memory it reads at edges or sums, and which once for each of its rows."""
        roots, at_edges, at_rows = set(self.roots), set[Node](), set[Node]()
        seen: set[tuple[Node, bool]] = set()
        stack = [(a, False) for sweep in self.sweeps for r in sweep for a in r.args]
        stack += [(a, True) for r in self.rows for a in r.args]
        while stack:
            node, once = stack.pop()
            if node in self.memory:
                (at_rows if once else at_edges).add(node)
            elif node not in roots and (node, once) not in seen:
                seen.add((node, once))
                once |= node.op == "gather" and node.attr == self.end
                stack += [(a, once) for a in node.args]
        return at_edges, at_rows


@dataclass
class Product:
    """A product over edges: `mm` for each of them, or `mmt` summed over all."""

    node: Node

    @property
    def made(self) -> list[Node]:
        """The product."""
        return [self.node]


@dataclass
class Loop:
    """Kernels over all edges, or in turns with products over a few rows at a time.

    Attributes:
        steps: kernels and products in order.
        full: edge values that outlive the loop, in the caller's edge order.
        tile: edge values that live as long as a tile or a block of it, in row order.
    """

    steps: list[Kernel | Product]
    full: list[Node]
    tile: list[Node]

    @property
    def tiled(self) -> bool:
        """Whether products cut the loop."""
        return any(isinstance(s, Product) for s in self.steps)

    @property
    def shared(self) -> set[Node]:
        """The values of a tile that the rows of the other end read: those that live longer than a block."""
        tile = set(self.tile)
        return tile & set(topological([r for k in self.kernels if k.adds for r in k.made], tile))

    @property
    def kernels(self) -> list[Kernel]:
        """The steps that are no products."""
        return [s for s in self.steps if isinstance(s, Kernel)]


Step = Host | Loop


def kernels(steps: Iterable[Step]) -> list[Kernel]:
    """Return all kernels, in order."""
    return [kernel for step in steps if isinstance(step, Loop) for kernel in step.kernels]


def counts(root: Node) -> bool:
    """Whether a root sums a constant: a multiple of the row's number of edges."""
    x = root.args[0]
    return root.op == "reduce" and x.op == "expand" and x.args[0].op == "const"

"""Where values lie while a kernel runs: its arrays, and the offsets of the present row, edge, and other end."""

from __future__ import annotations

from .ir import Node
from .llvm_vectors import EDGE, ROW, Builder, Vector

# What a kernel gets before the arrays of nodes: row bounds, other end and edge id of each position, row ids, position
# of each edge in row order, and the first position of the tile, a number.
HEADER = ("ptr", "col", "edge", "rid", "pos", "p0")


class Arrays:
    """The arrays of one kernel.

    Args:
        code: where instructions go.
        tile: the edge values that lie by position in the tile and not by edge id.
        adds: whether the rows are not those that the tile is made of.
    """

    def __init__(self, code: Builder, tile: set[Node], adds: bool) -> None:
        self.code, self.tile, self.adds = code, tile, adds
        self.nodes: list[Node] = []  # whose arrays are given, in order
        self.position = ""  # of the present edge; named by each sweep

    def entry(self) -> list[str]:
        """Return the instructions that find the arrays among the arguments."""
        names = dict(enumerate(HEADER[:-1])) | {n + len(HEADER): f"A{n}" for n in range(len(self.nodes))}
        lines = [f"%{name} = call ptr @argument(ptr %arguments, i64 {k})" for k, name in names.items()]
        lines[len(HEADER) - 1 : len(HEADER) - 1] = [
            f"%p0.address = getelementptr i64, ptr %arguments, i64 {len(HEADER) - 1}",
            "%p0 = load i64, ptr %p0.address, !invariant.load !0",
        ]
        return lines

    def pointer(self, node: Node) -> str:
        """Return the array of a value."""
        if node not in self.nodes:
            self.nodes.append(node)
        return f"%A{self.nodes.index(node)}"

    def row(self, node: Node, of: str = "row") -> str:
        """Return the offset of the present row; `of` is 'r' for the present piece of a row."""
        return self.code.once(f"{of}*{node.numel}", ROW, f"mul i64 %{of}, {node.numel}")

    def neighbour(self, node: Node) -> str:
        """Return the offset of the other end of the present edge."""
        return self.code.once(f"col*{node.numel}", EDGE, f"mul i64 {self._entry('col')[1]}, {node.numel}")

    def edge(self, node: Node) -> str:
        """Return the offset of the present edge."""
        if node not in self.tile:
            return self.code.once(f"edge*{node.numel}", EDGE, f"mul i64 {self._entry('edge')[1]}, {node.numel}")
        position = self._entry("pos")[1] if self.adds else self.position
        relative = self.code.once("position", EDGE, f"sub i64 {position}, %p0")
        return self.code.once(f"position*{node.numel}", EDGE, f"mul i64 {relative}, {node.numel}")

    def edge_id(self) -> Vector:
        """Return the number of the present edge in the caller's order."""
        return Vector(self._entry("edge")[0], 1, "i32", EDGE)

    def _entry(self, array: str) -> tuple[str, str]:
        """Load the entry of a header array at the present position: as i32, and as i64."""
        address = self.code.once(f"{array}.address", EDGE, f"getelementptr i32, ptr %{array}, i64 {self.position}")
        value = self.code.once(array, EDGE, f"load i32, ptr {address}, !invariant.load !0")
        return value, self.code.once(f"{array}.wide", EDGE, f"zext i32 {value} to i64")

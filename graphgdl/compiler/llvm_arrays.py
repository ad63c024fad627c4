"""Where values lie while a kernel runs: its arrays, and the offsets of the present row, edge, and other end."""

from __future__ import annotations

from collections.abc import Mapping

from graphgdl.ops.cpu.vector_code import ALIGN, EDGE, ENTRY, ROW, Builder, Lanes, Vector

from .node import Node

AHEAD = 8  # edges on: about as long as the memory takes
LINE = 64  # bytes that memory gives at once

# What a kernel gets before the arrays of nodes: row bounds, other end and edge id of each position, row ids, position
# of each edge in row order, and the first positions of the tile and of the block, numbers.
HEADER = ("ptr", "col", "edge", "rid", "pos", "tile", "block")


class Arrays:
    """The arrays of one kernel.

    Args:
        code: where instructions go.
        tile: the edge values that lie by position in the tile and not by edge id.
        block: those that lie by position in the block.
        adds: whether the rows are not those that the tile is made of.
        halves: the inputs that lie in memory in 16 bits, 'f16' or 'bf16', and are computed with in float32.
    """

    def __init__(
        self, code: Builder, tile: set[Node], block: set[Node], adds: bool, halves: Mapping[Node, str]
    ) -> None:
        self.code, self.tile, self.block, self.adds, self.halves = code, tile, block, adds, halves
        self.nodes: list[Node] = []  # whose arrays are given, in order
        self.position = ""  # of the present edge; named by each sweep

    def entry(self) -> list[str]:
        """Return the instructions that find the arrays among the arguments."""
        lines = []
        for k, name in enumerate([*HEADER, *(f"A{n}" for n in range(len(self.nodes)))]):
            lines.append(f"%{name}.at = getelementptr i64, ptr %arguments, i64 {k}")
            lines.append(
                f"%{name} = load {'i64' if name in ('tile', 'block') else 'ptr'}, ptr %{name}.at, !invariant.load !0"
            )
        return lines

    def pointer(self, node: Node) -> str:
        """Return the array of a value."""
        if node not in self.nodes:
            self.nodes.append(node)
        return f"%A{self.nodes.index(node)}"

    def kind(self, node: Node) -> str:
        """Return the dtype in which a value lies in memory."""
        return self.halves.get(node, node.dtype)

    def row(self, node: Node, of: str = "row") -> str:
        """Return the offset of the present row; `of` is 'r' for the present piece of a row."""
        return self.code.once(f"{of}*{node.numel}", ROW, f"mul i64 %{of}, {node.numel}")

    def prefetch(self, node: Node, lanes: Lanes) -> None:
        """Ask for features of an edge to come, or of its other end: where they lie is random, and the wait for it long."""
        if node in self.block or (node in self.tile and not self.adds):
            return  # in the order of the loop
        offset, kind = self.offset(node, self._later()), self.kind(node)
        size = ALIGN[kind]
        for line in range(lanes[0] * size // LINE, lanes[-1] * size // LINE + 1):
            self.code.prefetch(self.pointer(node), offset, line * LINE // size, kind)

    def _later(self) -> str:
        """Return the position `AHEAD` edges on."""
        once = self.code.once
        last = once("last.at", ENTRY, "getelementptr i64, ptr %ptr, i64 %last")
        stop = once("stop", ENTRY, f"load i64, ptr {last}, !invariant.load !0")
        final = once("final", ENTRY, f"add i64 {stop}, -1")
        then = once("ahead", EDGE, f"add i64 {self.position}, {AHEAD}")
        less = once("ahead.less", EDGE, f"icmp slt i64 {then}, {final}")
        return once("ahead.most", EDGE, f"select i1 {less}, i64 {then}, i64 {final}")

    def offset(self, node: Node, position: str = "") -> str:
        """Return the offset of the edge at a position, if none is given of the present one, or of its other end."""
        at = position or self.position
        start = "tile" if node in self.tile else "block" if node in self.block else ""
        if self.adds or not start:
            at = self._entry("pos" if start else "edge" if node.space == "E" else "col", at)[1]
        if start:
            at = self.code.once(f"{at} in {start}", EDGE, f"sub i64 {at}, %{start}")
        return self.code.once(f"{at}*{node.numel}", EDGE, f"mul i64 {at}, {node.numel}")

    def edge_id(self) -> Vector:
        """Return the number of the present edge in the caller's order."""
        return Vector(self._entry("edge", self.position)[0], 1, "i32", EDGE)

    def _entry(self, array: str, at: str) -> tuple[str, str]:
        """Load the entry of a header array at a position: as i32, and as i64."""
        address = self.code.once(f"{array} at {at}", EDGE, f"getelementptr i32, ptr %{array}, i64 {at}")
        value = self.code.once(f"{array} {at}", EDGE, f"load i32, ptr {address}, !invariant.load !0")
        return value, self.code.once(f"wide {array} {at}", EDGE, f"zext i32 {value} to i64")

"""From a loop program to steps: products and node-wise ops for torch, and row loops for a printer.

A row loop walks the edges of each row (the destinations, or the sources) in one or more sweeps. What the edges of a row
were reduced to is at hand in the next sweep of the same row, so a softmax is one loop of three sweeps. Products over
edges cut a loop into kernels that take turns with the products on a few whole rows at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .node import HEAVY, REDUCTIONS, SUMS_TO_CONSTANT, Node, is_tiled, topological
from .steps import Host, Kernel, Loop, Product, Step
from .tape import Refused

THIN = 16  # features up to which a value per edge may be kept instead of being computed again
MAX_FEATURES = 4096  # a row loop is unrolled over features


def schedule(outputs: Iterable[Node], known: Iterable[Node], one_sweep: bool = False) -> list[Step]:
    """Return the steps that compute `outputs` from the `known` nodes.

    Args:
        outputs: what to compute.
        known: what is there.
        one_sweep: let no loop read what it reduces, so that rows may be cut into pieces.

    Raises:
        Refused: the program needs more than row loops can do.
    """
    outputs = list(outputs)
    known = set(known)
    done = set(known)
    need = topological(outputs, done)
    for node in need:
        if node.numel > MAX_FEATURES and node.space == "E":
            raise Refused(f"a message with {node.numel} features")
    steps: list[Step] = []
    while not all(o in done for o in outputs):
        before = len(steps)
        for node in need:
            if node not in done and on_host(node) and all(a in done for a in node.args):
                steps.append(Host(node))
                done.add(node)
        if all(o in done for o in outputs):
            break
        loop = _Loop(need, done, outputs, one_sweep).build()
        if loop is not None:
            steps.append(loop)
            done |= {n for part in loop.steps for n in part.made if n.space != "E"}.union(loop.full)
        if len(steps) == before:
            raise Refused("its steps cannot be put in order")
    _place(steps, known)
    steps = _pruned(steps, outputs, one_sweep)
    _place(steps, known)
    return steps


def on_host(node: Node) -> bool:
    """Whether torch computes the node outside of loops."""
    return node.space != "E" and not any(a.space == "E" for a in node.args)


def _pruned(steps: list[Step], outputs: Iterable[Node], one_sweep: bool) -> list[Step]:
    """Drop host steps, and stores of reductions, that nobody reads; loops compute what is read once for each row only."""
    inlined = {s.node for s in steps if isinstance(s, Host) and _pointwise_by_row(s.node)}
    read, at_rows = set(outputs), set[Node]()
    kept: list[Step] = []
    for step in reversed(steps):
        if isinstance(step, Host):
            if step.node in read:
                read |= set(step.node.args)
                kept.append(step)
            elif step.node in at_rows:
                at_rows |= set(step.node.args) & inlined
                read |= set(step.node.args) - inlined
            continue
        kept.append(step)
        for part in reversed(step.steps):
            if isinstance(part, Product):
                read |= set(part.node.args)
                continue
            if not one_sweep and not part.adds:
                part.unread = {r for r in part.roots if r.op in REDUCTIONS and r not in read}
            at_edges, once = part.reads()
            read |= at_edges | (once - inlined)
            at_rows |= once & inlined
    return kept[::-1]


def _pointwise_by_row(node: Node) -> bool:
    """Whether a row loop can compute a node value from others of the same node."""
    return (
        node.space != "C" and node.op not in ("mm", "mmt", "total", *REDUCTIONS, "rand") and node.numel <= MAX_FEATURES
    )


def _place(steps: list[Step], known: set[Node]) -> None:
    """Tell each kernel what is in memory when it starts, and where."""
    memory = set(known)
    for step in steps:
        if isinstance(step, Host):
            memory.add(step.node)
            continue
        tile, shared = set(step.tile), step.shared
        for part in step.steps:
            if isinstance(part, Kernel):
                part.memory, part.tile, part.shared = set(memory), tile, shared
            memory.update(part.made)
        memory -= tile


class _Loop:
    """Finds all that one loop can compute from `done`, and cuts it into kernels."""

    def __init__(self, need: list[Node], done: set[Node], outputs: list[Node], one_sweep: bool) -> None:
        self.one_sweep = one_sweep
        self.need, self.done, self.outputs = need, done, set(outputs)
        self.end = "dst"  # of the edge that the rows are
        self.users: dict[Node, list[Node]] = {}
        for node in need:
            for arg in node.args:
                self.users.setdefault(arg, []).append(node)

    def build(self) -> Loop | None:
        """Return the loop, or None if there is nothing to compute."""
        self.row_level: set[Node] = set()  # node values of the row end that are at hand inside the loop
        able: dict[Node, bool] = {}
        roots: list[Node] = []
        for node in self.need:
            if node in self.done:
                able[node] = True
            elif node.space == "E":
                if node.op == "gather":
                    able[node] = node.args[0] in self.done or (node.attr == self.end and node.args[0] in self.row_level)
                else:
                    able[node] = all(able.get(a, False) for a in node.args)
                if able[node] and node in self.outputs:
                    roots.append(node)
            elif node.op in REDUCTIONS + SUMS_TO_CONSTANT and node.args[0].space == "E":
                able[node] = False
                if all(able.get(a, False) for a in node.args):
                    roots.append(node)
                    if node.op in REDUCTIONS and node.attr == self.end and not self.one_sweep:
                        self.row_level.add(node)
            else:
                able[node] = False
                if any(a in self.row_level for a in node.args) and self._pointwise_in_row(node):
                    self.row_level.add(node)
        kept = self._without_split_maxima(roots)
        if self.end == "dst" and self._all_over_sources(roots, kept):
            self.end = "src"
            return self.build()
        return self._cut(kept) if kept else None

    def _all_over_sources(self, roots: list[Node], kept: list[Node]) -> bool:
        reductions = [r for r in roots if r.op in REDUCTIONS]
        return bool(reductions) and not any(r.attr == "dst" for r in reductions if r in kept)

    def _without_split_maxima(self, roots: list[Node]) -> list[Node]:
        """Leave maxima over the other end to another loop where products cut this one: tiles only add up sums."""
        everything = self._closure(roots).union(roots)
        if not any(n.op == "mmt" or is_tiled(n) for n in everything):
            return roots
        return [r for r in roots if r.op not in ("rmax", "rarg") or r.attr == self.end]

    def _pointwise_in_row(self, node: Node) -> bool:
        return _pointwise_by_row(node) and all(
            a in self.row_level or a in self.done or a.op == "const" for a in node.args
        )

    def _closure(self, roots: Iterable[Node]) -> set[Node]:
        """Return the edge values that `roots` are computed from inside the loop, row values included."""
        found: set[Node] = set()
        stack = [a for r in roots for a in (r.args if r.space != "E" else (r,))]
        while stack:
            node = stack.pop()
            if node in found or node in self.done:
                continue
            if node.space == "E" or node in self.row_level:
                found.add(node)
                stack += node.args
        return found

    def _cut(self, roots: list[Node]) -> Loop:
        closure = self._closure(roots)
        products = [n for n in self.need if n in closure and is_tiled(n)]
        products += [r for r in roots if r.op == "mmt"]
        handed = self._handed_over(roots)
        every_operand = {a for p in products for a in p.args}.union(handed)
        steps: list[Kernel | Product] = []
        full = [r for r in roots if r.space == "E"]
        tile: list[Node] = []
        self.stored: set[Node] = set()  # edge values in memory
        self.finished: set[Node] = set()  # reductions of earlier kernels of this loop
        left = [r for r in roots if r.op != "mmt"]
        waiting = list(products)
        while left or waiting:
            before, there = len(steps), self.stored | self.done
            operands = [a for p in waiting for a in p.args if a.space == "E" and a not in there]
            operands += [a for a in handed if a not in self.stored]
            wanted = [r for r in left if r.op not in REDUCTIONS or r.attr == self.end]
            self.phase: dict[Node, float] = {}
            now = [r for r in [*wanted, *dict.fromkeys(operands)] if not is_tiled(r) or r in self.stored]
            now = [r for r in now if self._phase_of_root(r) < math.inf]
            end = self.end
            if not now and not waiting:
                end = "src" if self.end == "dst" else "dst"
                now = [r for r in left if r.op in REDUCTIONS and r.attr == end]
            if now:
                kernel = self._kernel(end, now, left)
                steps.append(kernel)
                for root in (r for sweep in kernel.sweeps for r in sweep):
                    if root.space != "E":
                        self.finished.add(root)
                    else:
                        self.stored.add(root)
                        if root not in full and root not in tile:
                            (tile if root in every_operand else full).append(root)
                there = self.finished | self.done
                self.finished |= {n for n in self.row_level if all(a in there or a.op == "const" for a in n.args)}
                left = [r for r in left if r not in self.finished and r not in self.stored]
            for product in list(waiting):
                if all(a in self.stored or a in self.done or a.space != "E" for a in product.args):
                    steps.append(Product(product))
                    waiting.remove(product)
                    if product.op == "mm":
                        self.stored.add(product)
                        tile.append(product)
            if len(steps) == before:
                raise Refused("the order of its edge products cannot be found")
        loop = Loop(steps, full, tile)
        if loop.tiled:
            for kernel in loop.kernels:
                kernel.adds = kernel.end != self.end
        return loop

    def _handed_over(self, roots: list[Node]) -> list[Node]:
        """Return what sums over the other end read, where it is not wider than the products that it is computed from."""
        read = [r.args[0] for r in roots if r.op == "reduce" and r.attr != self.end]
        products = {n for x in read for n in topological([x], self.done) if is_tiled(n)}
        computed = [
            x for x in dict.fromkeys(read) if x not in self.done and x not in products and self._closure([x]) & products
        ]
        if sum(x.numel for x in computed) > sum(n.numel for n in products):
            return []
        return computed

    def _phase_of_root(self, root: Node) -> float:
        return max(map(self._phase, root.args if root.space != "E" else [root]), default=0)

    def _phase(self, node: Node) -> float:
        """Return the sweep in which an edge value can be computed: none, infinity, before a product that it needs."""
        if node in self.done or node in self.stored or node in self.finished or node.op in ("const", "eid"):
            return 0
        if node not in self.phase:
            latest = math.inf if is_tiled(node) else max(map(self._phase, node.args), default=0)
            self.phase[node] = latest + (node.op in REDUCTIONS)
        return self.phase[node]

    def _kernel(self, end: str, roots: list[Node], left: list[Node]) -> Kernel:
        if end != self.end:
            return Kernel(end, [roots])
        sweeps: dict[float, list[Node]] = {}
        for root in roots:
            sweeps.setdefault(self._phase_of_root(root), []).append(root)
        ordered = [sweeps[k] for k in sorted(sweeps)]
        self._keep_thin(ordered, [r for r in left if r not in roots])
        mine = {r for sweep in ordered for r in sweep}
        rows: list[Node] = []
        for node in self.need:
            if node in self.row_level and node.op not in REDUCTIONS and node not in self.finished:
                below = {r for r in topological([node], self.done) if r.op in REDUCTIONS}
                if below <= mine | self.finished and below & mine and self._used_outside(node):
                    rows.append(node)
        return Kernel(end, ordered, rows)

    def _used_outside(self, node: Node) -> bool:
        """Whether a row value is read by anything but row values and edges of the same row."""
        if node in self.outputs:
            return True
        return any((u.space != "E" and u not in self.row_level) or u.op == "gather" for u in self.users.get(node, []))

    def _keep_thin(self, sweeps: list[list[Node]], later: list[Node]) -> None:
        """Store the costly thin values that another sweep or a later kernel reads too, where they are first computed."""
        first: dict[Node, int] = {}  # the sweep that computes it
        again: set[Node] = set()
        for number, group in enumerate([*sweeps, later]):
            seen: set[Node] = set()
            stack = [a for r in group for a in (r.args if r.space != "E" else (r,))]
            while stack:
                node = stack.pop()
                if node in seen or node in self.done or node in self.stored or node.space != "E":
                    continue
                seen.add(node)
                thin = node.numel <= THIN and costly(node, self.done | self.stored)
                if thin and first.setdefault(node, number) < number:
                    again.add(node)  # it is read from memory: what is below it is not computed again
                elif node.op != "gather":
                    stack += node.args
        for node in sorted(again, key=lambda n: n.id):
            if self._phase(node) < math.inf and node not in sweeps[first[node]]:
                sweeps[first[node]].insert(0, node)


def costly(node: Node, known: set[Node]) -> bool:
    """Whether computing an edge value anew takes an exponential or a sum over many features."""
    if node.op in ("view", "expand", "permute", "take", "gather", "input"):
        return False
    for n in topological([node], known):
        if n in known or n.space != "E":
            continue
        if n.op in HEAVY or n.op == "mm" or (n.op == "sum" and n.args[0].numel > 4 * n.numel):
            return True
    return False

"""Indices of a printed Triton kernel: where in the features of a value each element of a tensor looks.

For each feature axis of the value an index has the digits of a mixed-radix number. A digit is an axis of the tensor, or a
number computed from some. Views, slices and broadcasts only change the index.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, pairwise

from .node import Node, Shape
from .tape import Refused

MAX_RUNS = 32  # pieces of one irregular slice


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit of an index: its base, its text, and which axes of the tensor it varies along; `axis` if it is one."""

    size: int
    text: str
    axes: frozenset[int]
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """Where a part of a concatenation is read."""

    text: str
    axes: frozenset[int]


Digits = tuple[Digit, ...]
Index = tuple[Digits, ...]
Guards = tuple[Guard, ...]


class Split(Exception):
    """An axis was split in two: what was printed with it is void."""


class Axes:
    """The feature axes of all tensors of a kernel, shared by all values that have a feature axis of the same size."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        # (root, dimension) or (node that folds, -1 - dimension it folds) -> sizes of the digits of that dimension
        self.splits: dict[tuple[Node, int], list[int]] = {}
        self.owner: dict[int, tuple[Node, int, int]] = {}

    def of(self, root: Node, shape: Shape) -> Index:
        """Give each feature axis of a root an axis of the tensor."""
        taken: set[int] = set()
        return tuple(self.assign((root, dim), size, taken) for dim, size in enumerate(shape))

    def assign(self, key: tuple[Node, int], size: int, taken: set[int]) -> Digits:
        """Take for each digit an axis of its size that is not in use, or a new one."""
        digits = []
        for number, part in enumerate(self.splits.get(key, [size] if size > 1 else [])):
            free = [a for a, known in enumerate(self.sizes) if known == part and a not in taken]
            if not free:
                self.sizes.append(part)
                free = [len(self.sizes) - 1]
            axis = free[0]
            taken.add(axis)
            self.owner[axis] = (*key, number)
            digits.append(Digit(part, f"a{axis}", frozenset({axis}), axis))
        return tuple(digits)

    def split(self, axis: int, high: int, low: int) -> None:
        """Start again with an axis split in two.

        Raises:
            Split: always.
        """
        node, dim, number = self.owner[axis]
        sizes = self.splits.setdefault((node, dim), [self.sizes[axis]])
        sizes[number : number + 1] = [high, low]
        self.sizes = []
        raise Split

    def elements(self, axes: frozenset[int]) -> int:
        """Return how many elements a tensor has along `axes`, padding included."""
        return math.prod(power_of_two(self.sizes[a]) for a in axes)


def power_of_two(size: int) -> int:
    """Return the least power of two that is not less than `size`."""
    return 1 << (size - 1).bit_length()


def spread(index: Index, guards: Guards = ()) -> frozenset[int]:
    """Return the axes of the tensor that an index and its guards vary along."""
    return frozenset(a for digits in index for d in digits for a in d.axes).union(*(g.axes for g in guards))


def number(digits: Digits) -> Digit:
    """Join digits into one."""
    if len(digits) == 1:
        return digits[0]
    size = rest = math.prod(d.size for d in digits)
    terms = []
    for d in digits:
        rest //= d.size
        terms.append(d.text if rest == 1 else f"{d.text} * {rest}")
    axes: frozenset[int] = frozenset().union(*(d.axes for d in digits))
    return Digit(size, f"({' + '.join(terms)})" if terms else "0", axes)


def flat(index: Index, shape: Shape) -> str:
    """Return the text of the flat position."""
    stride, terms = math.prod(shape), []
    for digits, size in zip(index, shape, strict=True):
        stride //= max(size, 1)
        place = number(digits).text
        if place != "0":
            terms.append(place if stride == 1 else f"{place} * {stride}")
    return " + ".join(terms) or "0"


def merged(index: Index) -> Digits:
    """Return the digits of the flat position."""
    return tuple(d for digits in index for d in digits)


def broadcast(index: Index, shape: Shape) -> Index:
    """Return the index into a value of `shape` that was broadcast, aligned at the right."""
    own = index[len(index) - len(shape) :]
    return tuple(digits if size > 1 else () for digits, size in zip(own, shape, strict=True))


def viewed(node: Node, index: Index, axes: Axes, name: Callable[[str], str]) -> Index:
    """Return the index into the argument of a view, permutation, slice or broadcast.

    Args:
        node: one of these.
        index: index into it.
        axes: to split one that the view cuts through.
        name: gives a name to a number computed once.
    """
    shape = node.args[0].shape
    if node.op == "expand":
        return broadcast(index, shape)
    if node.op == "permute":
        back: list[Digits] = [()] * len(index)
        for new, old in enumerate(node.attr):
            back[old] = index[new]
        return tuple(back)
    if node.op == "take":
        axis, positions = node.attr
        moved = _taken(number(index[axis]), positions, shape[axis], name)
        return (*index[:axis], moved, *index[axis + 1 :])
    return _regrouped(merged(index), shape, axes, name)


def _taken(place: Digit, positions: tuple[int, ...], size: int, name: Callable[[str], str]) -> Digits:
    """Look up a position in a constant list, by runs of equal steps."""
    if size == 1:
        return ()
    steps = {b - a for a, b in pairwise(positions)}
    if len(steps) <= 1:
        step = steps.pop() if steps else 0
        return (Digit(size, f"({place.text} * {step} + {positions[0]})" if step else str(positions[0]), place.axes),)
    runs = []
    for _, group in groupby(enumerate(positions), lambda pair: pair[1] - pair[0]):
        start, position = next(group)
        runs.append((start, position - start))
    if len(runs) > MAX_RUNS:
        raise Refused(f"a slice of {len(runs)} separate pieces")
    text = f"({place.text} + {runs[0][1]})"
    for start, shift in runs[1:]:
        text = f"tl.where({place.text} < {start}, {text}, {place.text} + {shift})"
    return (Digit(size, name(text), place.axes),)


def _regrouped(digits: Digits, shape: Shape, axes: Axes, name: Callable[[str], str]) -> Index:
    """Cut the digits of a flat position into those of each axis of a shape."""
    left = list(digits)
    groups: list[Digits] = []
    for size in reversed(shape):
        group: list[Digit] = []
        need = size
        while need > 1:
            last = left.pop()
            if need % last.size == 0:
                group.insert(0, last)
                need //= last.size
                continue
            if last.size % need:
                return _divided(number(digits), shape, name)
            if last.axis is not None:
                axes.split(last.axis, last.size // need, need)
            left.append(Digit(last.size // need, f"({last.text} // {need})", last.axes))
            group.insert(0, Digit(need, f"({last.text} % {need})", last.axes))
            need = 1
        groups.insert(0, tuple(group))
    return tuple(groups)


def _divided(place: Digit, shape: Shape, name: Callable[[str], str]) -> Index:
    """Compute the position along each axis from the flat one."""
    text = name(f"{place.text} + o")
    out: list[Digits] = []
    stride = place.size
    for size in shape:
        stride //= size
        out.append((Digit(size, f"({text} // {stride} % {size})", place.axes),) if size > 1 else ())
    return tuple(out)

"""Sparse tensor operations on sorted rows, differentiable to any order."""

from .backends import available_backends
from .gather import edge_dot, gather_scatter
from .segment import segment_expand, segment_reduce, segment_softmax

__all__ = [
    "available_backends",
    "edge_dot",
    "gather_scatter",
    "segment_expand",
    "segment_reduce",
    "segment_softmax",
]

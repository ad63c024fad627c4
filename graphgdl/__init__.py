"""Geometric deep learning as message passing on PyTorch Geometric."""

from importlib.metadata import version

__version__ = version("graphgdl")

"""Geometric deep learning as message passing on PyTorch Geometric."""

from importlib.metadata import version
from typing import Any

__version__ = version("graphgdl")
__all__ = ["__version__", "accelerate", "decelerate", "explain_lowering"]


def __getattr__(name: str) -> Any:  # torch is imported when something of it is asked for, not for the version
    if name in __all__:
        import graphgdl.nn

        return getattr(graphgdl.nn, name)
    raise AttributeError(f"module 'graphgdl' has no attribute {name!r}")

"""Groups and how they act: `sample`, `compose`, `inverse`, `act`."""

from graphgdl.groups.permutation import Permutation

__all__ = ["Permutation"]

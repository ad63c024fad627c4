"""Which devices the ops run on."""

from __future__ import annotations

from importlib.util import find_spec

import torch


def available_backends() -> dict[str, str | None]:
    """Return, for each device, None if the ops run on it and else the reason why not.

    Example:
        >>> assert available_backends()["cpu"] is None
    """
    cpu = None if find_spec("llvmlite") else "llvmlite is not installed: pip install llvmlite"
    cuda = "no CUDA device" if not torch.cuda.is_available() else "this version has no CUDA kernels"
    return {"cpu": cpu, "cuda": cuda}

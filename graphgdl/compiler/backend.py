"""What runs programs on each type of device."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch

from .execute import Executable
from .tape import Refused
from .topology import topology


class Backend(NamedTuple):
    """How programs run on a type of device.

    Attributes:
        executable: (inputs, outputs) -> what computes the outputs.
        topology: (edge_index, num_src, num_dst) -> the graph as it reads it.
        name: device -> what its proofs hold for.
    """

    executable: Any
    topology: Callable[..., Any]
    name: Callable[[torch.device], str]


@cache
def _cpu() -> Backend:
    return Backend(Executable, topology, lambda _: "cpu")


@cache
def _cuda() -> Backend:
    from .device_execute import DeviceExecutable
    from .device_topology import device_topology
    from .triton_launch import require_triton

    def name(device: torch.device) -> str:
        return f"triton {require_triton().__version__} sm_{torch.cuda.get_device_capability(device)}"

    return Backend(DeviceExecutable, device_topology, name)


BACKENDS: dict[str, Callable[[], Backend]] = {"cpu": _cpu, "cuda": _cuda}


def backend(device: torch.device) -> Backend:
    """Return what runs programs on `device`.

    Raises:
        Refused: nothing does, or it needs Triton, which is not there.
    """
    if device.type not in BACKENDS:
        raise Refused(f"the graph is on {device}: compiled loops run on the CPU and on CUDA")
    found = BACKENDS[device.type]()
    try:
        found.name(device)
    except ImportError as error:
        raise Refused(str(error)) from error
    return found

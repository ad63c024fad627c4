"""Where it was measured."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Any

from graphgdl.cli.info import collect


def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, processor or GPU, threads, load, date: what every row carries."""
    import torch

    facts = collect()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": facts["platform"],
        "python": facts["python"],
        "graphgdl": facts["graphgdl"],
        **facts["packages"],
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()

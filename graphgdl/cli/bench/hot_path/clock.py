"""Time: all sides in turns, and the bandwidths of a plain copy and of a plain gather as yardsticks."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

LEAST_ROUNDS = 3
LEAST_SECONDS = 0.2
MOST_ROUNDS = 200
_COPY_BYTES, _GATHER_BYTES = 2**27, 2**26
_HEAD_START = 5_000_000  # cycles of the GPU: a few milliseconds, in which the host queues what is timed


@dataclass(frozen=True)
class Times:
    """Milliseconds of repeated calls: smallest, quartiles, median, and how many."""

    median: float
    least: float
    low: float
    high: float
    rounds: int


def seconds(run: Callable[[], Any], device: str = "cpu", queued: bool = False) -> float:
    """Time one call; on CUDA between two events of the stream.

    With `queued` the GPU begins when the host has had time to queue all of the call, so that the host's own time does
    not count.
    """
    if device == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    if queued:
        torch.cuda._sleep(_HEAD_START)
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3


def alternate(
    runs: Mapping[str, Callable[[], Any]], rounds: int, budget: float, device: str = "cpu"
) -> dict[str, Times]:
    """Time every entry once a round, each round in an order drawn anew: what ran before is felt in the caches.

    At least three rounds; then no further one begins after `budget` seconds. So many `rounds` are made, and more of
    them, up to 200, where they are over in a fifth of a second.
    """
    names = list(runs)
    found: dict[str, list[float]] = {name: [] for name in runs}
    order = random.Random(0)
    start = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for i in range(MOST_ROUNDS):
            took = time.perf_counter() - start
            if i >= LEAST_ROUNDS and (took > budget or (i >= rounds and took > LEAST_SECONDS)):
                break
            order.shuffle(names)
            for name in names:
                found[name].append(seconds(runs[name], device))
    finally:
        if collecting:
            gc.enable()
    return {name: _times(values) for name, values in found.items()}


def copy_bandwidth(device: str = "cpu") -> float:
    """Bytes read plus bytes written in a second by a copy of 128 MiB, the median of five."""
    import torch

    source = torch.ones(_COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * _COPY_BYTES / busy_seconds(partial(target.copy_, source), device)


def gather_bandwidth(nodes: Tensor, num_nodes: int, row_floats: int) -> float:
    """Bytes read plus bytes written in a second when a row of floats is copied from each of `nodes` (e,).

    At most 64 MiB are written. Rows that are read again may come from a cache: it may be faster than a copy.
    """
    import torch

    nodes = nodes[: max(_GATHER_BYTES // (4 * row_floats), 1)]
    rows = torch.ones(num_nodes, row_floats, device=nodes.device)
    target = rows.new_empty(nodes.numel(), row_floats)
    run = partial(torch.index_select, rows, 0, nodes, out=target)
    run()
    return 2 * target.numel() * target.element_size() / busy_seconds(run, nodes.device.type)


def busy_seconds(run: Callable[[], Any], device: str = "cpu") -> float:
    """Time the device is busy with a call, the median of five; on the CPU the whole call."""
    return statistics.median(seconds(run, device, queued=True) for _ in range(5))


def _times(values: list[float]) -> Times:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Times(median * 1e3, min(values) * 1e3, low * 1e3, high * 1e3, len(values))

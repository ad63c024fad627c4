"""Aggregation over neighbours: graphgdl.ops beside gather + scatter, torch_scatter and torch_sparse.

    python benchmarks/gather_scatter.py [--quick] [--repeats K] [--json FILE]

Each side is first checked against float64, value and gradients; a wrong one has no time. Then all sides of a case run
in turns in this process. Figures are medians in milliseconds with the quartiles' distance; `ratio` is the side's
median over ours. The rows of our side are sorted in the warm-up, as in training; `first` is a call that sorts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from graphgdl import __version__, ops

Side = Callable[[Tensor, Tensor | None], Tensor]


def gather_and_scatter(edge_index: Tensor, n: int) -> Side:
    src, dst = edge_index

    def run(x: Tensor, w: Tensor | None) -> Tensor:
        message = x.index_select(0, src)
        if w is not None:
            message = message * w.unsqueeze(-1)
        index = dst.view(-1, *[1] * (message.dim() - 1)).expand_as(message)
        return message.new_zeros(n, *message.shape[1:]).scatter_add_(0, index, message)

    return run


def gather_and_index_add(edge_index: Tensor, n: int) -> Side:
    src, dst = edge_index

    def run(x: Tensor, w: Tensor | None) -> Tensor:
        message = x.index_select(0, src)
        if w is not None:
            message = message * w.unsqueeze(-1)
        return message.new_zeros(n, *message.shape[1:]).index_add_(0, dst, message)

    return run


def with_torch_scatter(edge_index: Tensor, n: int) -> Side:
    from torch_scatter import segment_csr

    src, dst = edge_index
    ptr = torch.zeros(n + 1, dtype=torch.long)
    ptr[1:] = torch.bincount(dst, minlength=n).cumsum(0)

    def run(x: Tensor, w: Tensor | None) -> Tensor:
        message = x.index_select(0, src)
        if w is not None:
            message = message * w.unsqueeze(-1)
        return segment_csr(message, ptr, reduce="sum")

    return run


def with_torch_sparse(edge_index: Tensor, n: int) -> Side:
    from torch_sparse import SparseTensor

    adjacency = SparseTensor(row=edge_index[1], col=edge_index[0], sparse_sizes=(n, n), is_sorted=True)
    adjacency.storage.rowptr()
    adjacency.storage.csr2csc()
    adjacency.storage.colptr()

    def run(x: Tensor, w: Tensor | None) -> Tensor:
        if w is None:
            return adjacency.matmul(x, reduce="sum")
        if x.dim() == 2:
            return adjacency.set_value(w, layout="coo").matmul(x, reduce="sum")
        heads = [adjacency.set_value(w[:, a], layout="coo").matmul(x[:, a], reduce="sum") for a in range(x.size(1))]
        return torch.stack(heads, dim=1)

    return run


def ours(edge_index: Tensor, n: int) -> Side:
    return lambda x, w: ops.gather_scatter(x, edge_index, n, w)


SIDES = {
    "graphgdl": ours,
    "gather + scatter_add": gather_and_scatter,
    "gather + index_add": gather_and_index_add,
    "torch_scatter": with_torch_scatter,
    "torch_sparse": with_torch_sparse,
}
SHAPES = {"unweighted": ((64,), None), "weighted": ((64,), ()), "attention h=4": ((4, 16), (4,))}


def step(side: Side, x: Tensor, w: Tensor | None, seed: Tensor) -> tuple[Tensor, ...]:
    out = side(x, w)
    return (out.detach(), *torch.autograd.grad(out, [t for t in (x, w) if t is not None], seed))


def median(times: list[float]) -> tuple[float, float]:
    low, middle, high = statistics.quantiles(times, n=4)
    return middle * 1e3, (high - low) * 1e3


def measure(n: int, e: int, shape: str, repeats: int) -> list[dict[str, object]]:
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(n, (2, e), generator=generator)
    edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
    channels, heads = SHAPES[shape]
    x = torch.randn(n, *channels, generator=generator).requires_grad_()
    w = None if heads is None else torch.rand(e, *heads, generator=generator).requires_grad_()
    seed = torch.randn(n, *channels, generator=generator)

    exact_x = x.detach().double().requires_grad_()
    exact_w = None if w is None else w.detach().double().requires_grad_()
    exact = step(gather_and_index_add(edge_index, n), exact_x, exact_w, seed.double())
    sides: dict[str, Side] = {}
    rows: list[dict[str, object]] = []
    for name, make in SIDES.items():
        row: dict[str, object] = {"n": n, "e": e, "case": shape, "side": name}
        rows.append(row)
        try:
            side = make(edge_index, n)
        except ImportError as error:
            row["reason"] = str(error)
            continue
        results = step(side, x, w, seed)
        scale = [float(b.abs().max()) for b in exact]
        worst = max(float((a.double() - b).abs().max()) / s for a, b, s in zip(results, exact, scale, strict=True))
        row["error"] = worst
        if worst > 1e-5:
            row["reason"] = f"wrong by {worst:.1e}"
        else:
            sides[name] = side

    forward: dict[str, list[float]] = {name: [] for name in sides}
    both: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            with torch.no_grad():
                start = time.perf_counter()
                side(x, w)
                first = time.perf_counter()
            step(side, x, w, seed)
            if repeat:  # the first round is the warm-up
                forward[name].append(first - start)
                both[name].append(time.perf_counter() - first)
    reference = (
        [median(times["graphgdl"])[0] for times in (forward, both)] if "graphgdl" in sides else [float("nan")] * 2
    )
    for row in rows:
        name = str(row["side"])
        if name not in sides:
            continue
        for key, times, own in (("forward", forward, reference[0]), ("forward+backward", both, reference[1])):
            middle, spread = median(times[name])
            row |= {f"{key} ms": middle, f"{key} spread": spread, f"{key} ratio": middle / own}
    if "graphgdl" in sides:
        sorting = []
        for _ in range(repeats):
            copy = edge_index.clone()
            start = time.perf_counter()
            with torch.no_grad():
                ops.gather_scatter(x, copy, n, w)
            sorting.append(time.perf_counter() - start)
        rows[0]["first ms"] = median(sorting)[0]
    return rows


def environment() -> dict[str, object]:
    import numba
    import torch_geometric

    model = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "torch_geometric": torch_geometric.__version__,
        "graphgdl": __version__,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small graph")
    parser.add_argument("--repeats", type=int, default=9, help="timed rounds of each case")
    parser.add_argument("--json", help="write the environment and all rows to this file")
    options = parser.parse_args()
    if options.repeats < 2:
        parser.error("--repeats must be at least 2, for a spread")
    sizes = [(2_000, 20_000)] if options.quick else [(20_000, 400_000), (100_000, 1_000_000)]
    facts = environment()
    print("  ".join(f"{key} {value}" for key, value in facts.items()))
    rows: list[dict[str, object]] = []
    for n, e in sizes:
        for shape in SHAPES:
            print(f"\nn={n} e={e} {shape}, float32, 64 channels, edges sorted by destination")
            for row in measure(n, e, shape, options.repeats):
                rows.append(row)
                if "reason" in row:
                    print(f"  {row['side']:22} no time: {row['reason']}")
                    continue
                parts = [
                    f"{key} {row[key + ' ms']:8.2f} +- {row[key + ' spread']:6.2f} ms, ratio {row[key + ' ratio']:5.1f}"
                    for key in ("forward", "forward+backward")
                ]
                first = f"   first {row['first ms']:.2f} ms" if "first ms" in row else ""
                print(f"  {row['side']:22} " + "   ".join(parts) + first)
    if options.json:
        partial = options.json + ".part"
        with open(partial, "w", encoding="utf-8") as file:
            json.dump({"environment": facts, "rows": rows}, file, indent=1)
        os.replace(partial, options.json)
    return 1 if any("wrong" in str(row.get("reason")) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Rotated digits: accuracy against the number of training samples, for a CNN and for nets that know of turns.

python benchmarks/rotated_digits/run.py --root DATA     # or GRAPHGDL_DATA; continues where an interrupted run stopped
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import digits
import figure
import torch
from networks import NETWORKS, Network
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from graphgdl.cli.bench.wl import write_atomically
from graphgdl.domains import Grid

HERE = Path(__file__).parent
BATCH = 64
FULL = {"samples": (100, 300, 900, 2700), "seeds": 3, "steps": 900, "train": digits.TRAIN, "test": digits.TEST}
QUICK = {"samples": (30, 90), "seeds": 1, "steps": 30, "train": digits.TRAIN, "test": 200}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=os.environ.get("GRAPHGDL_DATA"), help="folder with mnist/")
    parser.add_argument("--out", type=Path, help="JSON lines, one a run; the figure lies beside it")
    parser.add_argument("--quick", action="store_true", help="a minute: few samples, steps and test images")
    options = parser.parse_args(arguments)
    if options.root is None or not (Path(options.root) / "mnist").is_dir():
        parser.error(f"`--root` must name a folder with mnist/, got {options.root}; or set GRAPHGDL_DATA")
    out = options.out or HERE / ("quick.jsonl" if options.quick else "results.jsonl")
    settings = QUICK if options.quick else FULL
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    alike = [row for row in rows if row["steps"] == settings["steps"] and row["test"] == settings["test"]]
    done = {_run(row): row for row in alike}
    wanted = [(k, n, s) for s in range(settings["seeds"]) for n in settings["samples"] for k in NETWORKS]
    missing = [run for run in wanted if run not in done]
    cores = torch.get_num_threads()
    with get_context("spawn").Pool(cores, torch.set_num_threads, (1,)) as pool:  # the nets are small: one run a core
        minutes = pool.apply(predicted, (missing, settings)) / cores / 60
        print(
            f"{len(missing)} of {len(wanted)} runs to go, {cores} at a time, predicted: {minutes:.1f} minutes",
            flush=True,
        )
        made = pool.imap(partial(trained, settings, options.root), missing)
        for row in track(made, description="runs", total=len(missing)):
            rows.append(row)
            done[_run(row)] = row
            write_atomically(out, "".join(json.dumps(r) + "\n" for r in rows).encode())
    kept = [done[run] for run in wanted]
    figure.draw(kept, out.with_suffix(".png"))
    print(figure.table(kept))


def trained(settings: Any, root: Path, run: tuple[str, int, int]) -> dict[str, Any]:
    """Train one network, for (name, samples, seed), on the first `samples` of a seeded order and return its row."""
    start, (name, samples, seed) = time.perf_counter(), run
    images, labels = digits.read(Path(root))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    test = order[settings["train"] :][: settings["test"]]
    chosen = order[: settings["train"]][torch.randperm(settings["train"], generator=generator)[:samples]]
    fixed = digits.turned(images[chosen], digits.angles(samples, generator))
    seen = digits.turned(images[test], digits.angles(len(test), torch.Generator().manual_seed(1)))

    torch.manual_seed(seed)
    network = NETWORKS[name]()
    step = stepper(network, settings["steps"])
    for _ in range(settings["steps"]):
        batch = torch.randint(samples, (min(BATCH, samples),), generator=generator)
        fresh = digits.angles(len(batch), generator)  # drawn for all, so that all see the same batches
        step(
            digits.turned(images[chosen[batch]], fresh) if name.endswith(", turned") else fixed[batch],
            labels[chosen[batch]],
        )
    network.eval()
    with torch.no_grad():
        guesses = torch.cat([network(*signal(part)).argmax(dim=1) for part in seen.split(500)])
    return {
        "network": name,
        "samples": samples,
        "seed": seed,
        "accuracy": round(float((guesses == labels[test]).float().mean()), 5),
        "seconds": round(time.perf_counter() - start, 1),
        "parameters": sum(p.numel() for p in network.parameters()),
        "steps": settings["steps"],
        "test": settings["test"],
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def _run(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["network"], row["samples"], row["seed"]


def stepper(network: Network, steps: int) -> Any:
    """Return what does one step of training on images and labels."""
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(*signal(images)), labels).backward()
        optimizer.step()
        schedule.step()

    return step


def signal(images: Tensor) -> tuple[Tensor, Grid]:
    """Return images (g, SIDE * SIDE) as node features (n, 1) and their grids."""
    grid = Grid((digits.SIDE, digits.SIDE), ptr=digits.SIDE**2 * torch.arange(len(images) + 1))
    return images.reshape(-1, 1), grid


def predicted(missing: list[tuple[str, int, int]], settings: Any) -> float:
    """Return the seconds that the missing runs will take, from a few steps of each network."""
    each = {}
    for name in {name for name, _, _ in missing}:
        step = stepper(NETWORKS[name](), 10)
        batch, labels = torch.rand(BATCH, digits.SIDE**2), torch.zeros(BATCH, dtype=torch.int64)
        step(batch, labels)
        start = time.perf_counter()
        for _ in range(3):
            step(batch, labels)
        each[name] = (time.perf_counter() - start) / 3
    return sum(each[name] * settings["steps"] * 1.2 for name, _, _ in missing)


if __name__ == "__main__":
    main()

"""The figure and the table of the rotated digits."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

Rows = list[dict[str, Any]]


def grouped(rows: Rows) -> dict[str, dict[int, list[float]]]:
    """Return network -> number of samples -> accuracies over the seeds."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        found.setdefault(row["network"], {}).setdefault(row["samples"], []).append(row["accuracy"])
    return {name: dict(sorted(curve.items())) for name, curve in found.items()}


def table(rows: Rows) -> str:
    """Return mean and standard deviation in percent as a Markdown table."""
    curves = grouped(rows)
    sizes = sorted({row["samples"] for row in rows})
    parameters = {row["network"]: row["parameters"] for row in rows}
    lines = ["| network | parameters | " + " | ".join(map(str, sizes)) + " |", "|---|---" + "|---" * len(sizes) + "|"]
    for name, curve in curves.items():
        cells = [_cell(curve.get(n, [])) for n in sizes]
        lines.append(f"| {name} | {parameters[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(rows: Rows, path: Path) -> None:
    """Draw accuracy against the number of training samples, with the spread over the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name, curve in grouped(rows).items():
        means = [100 * mean(values) for values in curve.values()]
        spread = [100 * stdev(values) if len(values) > 1 else 0.0 for values in curve.values()]
        axes.errorbar(list(curve), means, spread, marker="o", capsize=3, label=name)
    axes.set(xscale="log", xlabel="training samples", ylabel="accuracy on turned digits (%)")
    sizes = sorted({row["samples"] for row in rows})
    axes.set_xticks(sizes, map(str, sizes), minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    return f"{100 * mean(values):.1f}" + (f" ± {100 * stdev(values):.1f}" if len(values) > 1 else "")

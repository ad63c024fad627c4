"""Curves of errors over the size of a transformation, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from graphgdl.testing.curves import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curves(curves: Mapping[str, Curve], size: str = "size of the transformation") -> Figure:
    """Draw curves with their spread, mean and one standard deviation, and their floors dashed.

    Args:
        curves: by name.
        size: label of the axis of sizes.

    Returns:
        A matplotlib figure; `figure.savefig(path)` writes it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        sizes, mean, std = curve.sizes.numpy(), curve.mean.numpy(), curve.std.numpy()
        (line,) = axes.plot(sizes, mean, marker="o", markersize=3, label=name)
        axes.fill_between(sizes, mean - std, mean + std, alpha=0.2, color=line.get_color())
        if curve.floor is not None:
            axes.plot(sizes, curve.floor.mean(dim=1).numpy(), linestyle="--", linewidth=1, color=line.get_color())
    axes.set_xlabel(size)
    axes.set_ylabel("relative error (dashed: floor)")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure

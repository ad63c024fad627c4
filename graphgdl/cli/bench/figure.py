"""The figure of scores: architectures against suites, each cell the share of pairs told apart."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphgdl.cli.bench.wl import write_atomically
from graphgdl.expressivity.compare import matrix
from graphgdl.expressivity.oracles import ORACLES
from graphgdl.expressivity.score import Score


def write_figure(path: Path, scores: Sequence[Score]) -> None:
    """Draw the heat table; the file name's ending chooses the format (png, pdf, svg).

    Raises:
        ValueError: an ending that matplotlib does not know.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, heads, cells = matrix(scores)
    separated, total = cells[:, :, 0], cells[:, :, 1]
    share = np.where(total > 0, separated / np.maximum(total, 1), np.nan)
    figure = Figure(figsize=(3.8 + 0.95 * len(heads), 1.9 + 0.32 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    for i in range(len(rows)):
        for j in range(len(heads)):
            if separated[i, j] >= 0:
                colour = "white" if share[i, j] > 0.55 else "#333333"
                axes.text(j, i, f"{separated[i, j]}", ha="center", va="center", color=colour, fontsize=8)
    several = len({verdict for kind, _, verdict in rows if kind == "model"}) > 1
    axes.set_yticks(
        range(len(rows)),
        [
            ORACLES[name].title if kind == "oracle" else f"{name} ({verdict})" if several else name
            for kind, name, verdict in rows
        ],
        fontsize=8,
    )
    whole = total.max(axis=0)
    labels = [f"{category}\nof {whole[j]:,}" for j, category in enumerate(heads)]
    turn: dict[str, Any] = {"rotation": 30, "ha": "left"} if len(heads) > 4 else {}
    axes.set_xticks(range(len(heads)), labels, fontsize=8, **turn)
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(heads) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    oracles = sum(kind == "oracle" for kind, _, _ in rows)
    if 0 < oracles < len(rows):
        axes.axhline(oracles - 0.5, color="#c0392b", linewidth=1.5)
        axes.set_xlabel("above the line: exact oracles; below: models", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of pairs told apart")
    figure.suptitle("Which graphs can be told apart?", fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lstrip(".") or "png", dpi=150)
    write_atomically(path, buffer.getvalue())

"""The figure: how many times faster than PyG, and at how much of its memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from graphgdl.cli.bench.hot_path.problem import FORCES, FORWARD, OURS, TRAINING
from graphgdl.cli.bench.hot_path.row import Row
from graphgdl.cli.bench.wl import write_atomically

_MARKS = {FORWARD: ("o", "#4c9f70"), TRAINING: ("s", "#2b5f9e"), FORCES: ("^", "#c0392b")}


def write_plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw the times and the peaks of our timed rows, one line of panels for each graph.

    Filled marks compare with the fastest peer, hollow ones with the plain peer. The file name's ending chooses the
    format (png, pdf, svg).

    Raises:
        ValueError: no timed row of ours, or an ending that matplotlib does not know.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ours = [row for row in rows if row.side == OURS and row.ratio_best is not None]
    if not ours:
        raise ValueError("`--plot`: nothing to draw, no row of ours has a time")
    graphs = list(dict.fromkeys(row.graph for row in ours))
    names = {graph: list(dict.fromkeys(row.case for row in ours if row.graph == graph)) for graph in graphs}
    heights = [1.2 + 0.3 * len(names[graph]) for graph in graphs]
    figure = Figure(figsize=(11, 0.8 + sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(graphs), 2, squeeze=False, sharey="row", gridspec_kw={"height_ratios": heights})
    pairs = (("ratio_best", "ratio_plain"), ("memory_best", "memory_plain"))
    for graph, line in zip(graphs, panels):
        for axes, keys in zip(line, pairs):
            for row in (row for row in ours if row.graph == graph):
                mark, colour = _MARKS[row.work]
                for key, face in zip(keys, (colour, "none")):
                    if (value := getattr(row, key)) is not None and value > 0:
                        y = names[graph].index(row.case)
                        axes.plot(value, y, mark, color=colour, markerfacecolor=face, markersize=6)
            axes.axvline(1, color="#888888", linewidth=1)
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        line[0].set_yticks(range(len(names[graph])), names[graph], fontsize=8)
        line[0].set_ylim(len(names[graph]) - 0.5, -0.5)
        line[0].set_title(graph, fontsize=10, loc="left")
        line[0].set_xlabel("times faster (peer / ours)", fontsize=8)
        line[1].set_xlabel("peak memory (ours / peer)", fontsize=8)
    for work, (mark, colour) in _MARKS.items():
        if any(row.work == work for row in ours):
            panels[0, 0].plot([], [], mark, color=colour, label=work)
    panels[0, 0].plot([], [], "o", color="#555555", label="fastest peer")
    panels[0, 0].plot([], [], "o", color="#555555", markerfacecolor="none", label="plain peer")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=5, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lstrip(".") or "png", dpi=150)
    write_atomically(path, buffer.getvalue())

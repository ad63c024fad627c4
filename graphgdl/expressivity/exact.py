"""The verdict `exact`: untrained models in float64, the gap between two graphs against the spread over relabelled copies.

A graph is embedded once for each draw of the weights, however many pairs it is in; pairs are then judged by arithmetic on
centres and tolerances. Two graphs are apart in a draw if

    max_k |c_G - c_H|_k  >  max(t_G, t_H),   t = max(ratio * spread, floor * scale),

with c the mean over a graph's copies, the spread the largest deviation from it, the scale the largest output.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.relabel import Copies, relabelled_arcs
from graphgdl.expressivity.rpc import ModelClass, check_output
from graphgdl.expressivity.settings import ExactSettings
from graphgdl.expressivity.workers import Workers


@dataclass(frozen=True)
class Embedding:
    """Outputs of the untrained model: r draws of the weights, g graphs, d channels.

    Args:
        centre: (r, g, d) mean over a graph's copies.
        spread: (r, g) largest deviation of a copy from it; NaN if an output was not finite.
        scale: (r, g) largest absolute output.
        settings: how they were made.
    """

    centre: np.ndarray
    spread: np.ndarray
    scale: np.ndarray
    settings: ExactSettings

    @property
    def tolerance(self) -> np.ndarray:
        """(r, g): the gap that a graph's own copies demand; infinite where an output was not finite."""
        wanted = np.maximum(self.settings.ratio * self.spread, self.settings.floor * self.scale)
        return np.where(np.isfinite(wanted), wanted, np.inf)

    @property
    def reliable(self) -> np.ndarray:
        """(g,) bool: finite and, in every draw, invariant to `floor` of the scale."""
        return np.asarray((self.spread <= self.settings.floor * self.scale).all(axis=0))

    def gaps(self, pairs: np.ndarray) -> np.ndarray:
        """(r, p) largest difference of the centres of each pair of graphs."""
        g, h = pairs.T
        return np.abs(self.centre[:, g] - self.centre[:, h]).max(axis=-1)

    def separates(self, pairs: np.ndarray) -> np.ndarray:
        """(p,) bool for (p, 2) pairs of graphs: one draw of the weights parts them."""
        g, h = pairs.T
        tolerance = self.tolerance
        with np.errstate(invalid="ignore"):
            return (self.gaps(pairs) > np.maximum(tolerance[:, g], tolerance[:, h])).any(axis=0)

    def merged(self, members: np.ndarray | None = None, keep: int = 0) -> tuple[int, np.ndarray]:
        """Unordered pairs, among all graphs or the given ones, that no draw parts.

        Returns:
            their number, and the first `keep` of them as (k, 2) graph indices, smaller index first, sorted.

        The graphs are sorted by one coordinate; only those within the largest tolerance of each other are compared.
        """
        members = np.arange(self.centre.shape[1]) if members is None else np.asarray(members)
        lead = self.centre[0, members, 0]
        finite = np.isfinite(lead)
        key = np.where(finite, lead, 0.0)
        reach = self.tolerance[0, members].max(initial=0.0)
        if not finite.all() or not math.isfinite(reach):
            reach = math.inf
        order = np.argsort(key, kind="stable")
        members, key = members[order], key[order]
        stop = np.searchsorted(key, key + reach, side="right") if math.isfinite(reach) else np.full(len(key), len(key))
        count, found = 0, []
        for i in range(len(members) - 1):
            others = members[i + 1 : stop[i]]
            if not len(others):
                continue
            pairs = np.stack([np.full(len(others), members[i]), others], axis=1)
            left = pairs[~self.separates(pairs)]
            count += len(left)
            if keep and len(left):
                found.append(np.sort(left, axis=1))
        pairs = np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)
        return count, pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))][:keep]


def embed(
    model_class: ModelClass,
    graphs: Sequence[Graph],
    settings: ExactSettings | None = None,
    workers: Workers | None = None,
    progress: Any = None,
) -> Embedding:
    """Embed every graph with every draw of the weights.

    Args:
        model_class: called as `model_class(in_channels=1, out_channels=settings.channels)`.
        graphs: the graphs.
        settings: the verdict's constants.
        workers: processes; none means this one.
        progress: called as progress(done, total), in nodes.

    Raises:
        TypeError, ValueError: the model's output is no float tensor of shape (num_graphs, channels).
    """
    settings = settings or ExactSettings()
    shape = len(settings.seeds), len(graphs)
    centre = np.zeros((*shape, settings.channels))
    spread, scale = np.zeros(shape), np.zeros(shape)
    total, done = sum(graph.n for graph in graphs), 0
    shared = model_class, tuple(graphs), settings
    for ids, parts in (workers or Workers()).run(_embed_some, shared, portions(graphs, settings)):
        centre[:, ids], spread[:, ids], scale[:, ids] = parts
        done += sum(graphs[i].n for i in ids)
        if progress is not None:
            progress(done, total)
    return Embedding(centre, spread, scale, settings)


def portions(graphs: Sequence[Graph], settings: ExactSettings) -> list[list[int]]:
    """Graphs, largest first, in portions of about `max_nodes` nodes."""
    portions: list[list[int]] = []
    nodes = settings.max_nodes
    for i in sorted(range(len(graphs)), key=lambda i: -graphs[i].n):
        if nodes + graphs[i].n * settings.copies > settings.max_nodes // 4:
            portions.append([])
            nodes = 0
        portions[-1].append(i)
        nodes += graphs[i].n * settings.copies
    return portions


@torch.no_grad()
def _embed_some(
    shared: tuple[ModelClass, tuple[Graph, ...], ExactSettings], ids: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    model_class, graphs, settings = shared
    first = settings.seeds[0]
    arcs = [a for i in ids for a in relabelled_arcs(graphs[i], settings.copies, np.random.default_rng([first, i]))]
    sizes = [graphs[i].n for i in ids for _ in range(settings.copies)]
    draws, chunks = [], None
    with torch.random.fork_rng(devices=[]):
        for seed in settings.seeds:
            torch.manual_seed(seed)
            model = model_class(in_channels=1, out_channels=settings.channels).double().eval()
            if chunks is None:
                chunks = Copies(model, arcs, sizes, torch.float64).chunks(0, len(arcs), 1, settings.max_nodes)
            torch.manual_seed(int(np.random.default_rng([seed, *ids]).integers(2**62)))
            out = [check_output(model(chunk), chunk.num_graphs, settings.channels) for chunk in chunks]
            draws.append(torch.cat(out).double().numpy())
    copies = np.stack(draws).reshape(len(draws), len(ids), settings.copies, settings.channels)
    with np.errstate(invalid="ignore", over="ignore"):
        # The mean of equal numbers need not be that number: deviations are taken from the first copy, then centred.
        offset = copies - copies[:, :, :1]
        mean = offset.mean(axis=2, keepdims=True)
        spread = np.abs(offset - mean).max(axis=(2, 3))
        scale = np.abs(copies).max(axis=(2, 3))
        return copies[:, :, 0] + mean[:, :, 0], np.where(np.isfinite(spread), spread, np.nan), scale

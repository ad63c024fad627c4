"""Reliable paired comparison of one pair of graphs: train a fresh model to part them, then test the gap for significance.

Source: Wang and Zhang (2023), "Towards better evaluation of GNN expressiveness with BREC dataset", section 4.
Differs: each pair and seed draws its own relabellings and its own fresh model, so that pairs can run in any order and
in parallel with the same result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.relabel import Copies, interleave, relabelled_arcs
from graphgdl.expressivity.settings import Settings
from graphgdl.expressivity.statistic import Verdict, judge

ModelClass = Callable[..., Module]


@dataclass(frozen=True)
class PairResult:
    """What one seed found on one pair.

    Args:
        verdicts: `rpc`, `rpc_eps`, `rpc_paper`.
        trained: False if only the reliability half was run; then no verdict separates.
        epochs: passes that were made.
        loss: mean loss of the last of them, NaN if none.
        visits: nodes (after the transform) that went through the model, training and evaluation.
        seconds: wall time.
    """

    verdicts: dict[str, Verdict]
    trained: bool
    epochs: int
    loss: float
    visits: int
    seconds: float


def compare_pair(
    model_class: ModelClass,
    graphs: tuple[Graph, Graph],
    settings: Settings,
    seed: int = 100,
    pair: int = 0,
    train: bool = True,
) -> PairResult:
    """Run the protocol on one pair.

    Args:
        model_class: called as `model_class(in_channels=1, out_channels=settings.channels)`; the module takes a PyG batch
            and returns (num_graphs, channels). An attribute `transform(data)` is applied once to each copy.
        graphs: the two graphs.
        settings: the protocol's knobs.
        seed, pair: seed the relabellings and the weights, together.
        train: False runs the reliability half alone, on an untrained model.

    Raises:
        TypeError, ValueError: the model's output is no float tensor of shape (num_graphs, channels).
    """
    start = time.perf_counter()
    rng = np.random.default_rng([seed, pair])
    g, h = graphs
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        model = model_class(in_channels=1, out_channels=settings.channels)
        epochs, loss, visits = 0, math.nan, 0
        pair_gap = np.zeros((settings.copies, settings.channels), dtype=np.float32)
        if train:
            arcs = interleave(relabelled_arcs(g, settings.copies, rng), relabelled_arcs(h, settings.copies, rng))
            steps = batches(model, arcs, [g.n, h.n] * settings.copies, settings)
            nodes = sum(chunk.num_nodes for step in steps for chunk in step)
            epochs, loss = _train(model, steps, settings)
            pair_gap = _differences(model, steps, settings)
            visits += (epochs + 1) * nodes
            del steps
        one = (g, h)[int(rng.integers(2))]
        arcs = interleave(relabelled_arcs(one, settings.copies, rng), relabelled_arcs(one, settings.copies, rng))
        steps = batches(model, arcs, [one.n] * (2 * settings.copies), settings)
        same_gap = _differences(model, steps, settings)
        visits += sum(chunk.num_nodes for step in steps for chunk in step)
    verdicts = judge(pair_gap, same_gap, settings)
    return PairResult(verdicts, train, epochs, loss, visits, time.perf_counter() - start)


def batches(model: Module, arcs: list[np.ndarray], sizes: list[int], settings: Settings) -> list[list[Batch]]:
    """Steps of `settings.couples` couples; each step a list of chunks of whole couples with at most `max_nodes` nodes."""
    copies = Copies(model, arcs, sizes)
    step = 2 * settings.couples
    return [
        copies.chunks(first, min(first + step, len(arcs)), 2, settings.max_nodes) for first in range(0, len(arcs), step)
    ]


def check_output(out: object, graphs: int, channels: int) -> Tensor:
    """The model's output, or the error that says what it should have been."""
    if not isinstance(out, Tensor) or not out.is_floating_point():
        kind = str(out.dtype) if isinstance(out, Tensor) else type(out).__name__
        raise TypeError(f"`model` must return a float tensor of shape (num_graphs, {channels}), got {kind}")
    if out.shape != (graphs, channels):
        raise ValueError(
            f"`model` must return one row of {channels} numbers for each graph, shape ({graphs}, {channels}), got "
            f"{tuple(out.shape)}; build it with the given `out_channels` and pool the nodes by `batch.batch`"
        )
    return out


def _train(model: Module, steps: list[list[Batch]], settings: Settings) -> tuple[int, float]:
    optimizer = torch.optim.Adam(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    model.train()
    mean = math.nan
    for epoch in range(1, settings.epochs + 1):
        total = 0.0
        for step in steps:
            couples = sum(chunk.num_graphs for chunk in step) // 2
            optimizer.zero_grad()
            for chunk in step:
                out = check_output(model(chunk), chunk.num_graphs, settings.channels)
                g, h = out.view(-1, 2, settings.channels).unbind(1)
                loss = (torch.cosine_similarity(g, h) - settings.margin).relu().sum()  # cosine embedding, target -1
                (loss / couples).backward()
                total += loss.item()
            optimizer.step()
        mean = total / settings.copies
        if math.isnan(mean) or mean < settings.loss_stop:
            return epoch, mean
    return settings.epochs, mean


@torch.no_grad()
def _differences(model: Module, steps: list[list[Batch]], settings: Settings) -> np.ndarray:
    model.eval()
    out = [check_output(model(chunk), chunk.num_graphs, settings.channels) for step in steps for chunk in step]
    embedded = torch.cat(out)
    return (embedded[0::2] - embedded[1::2]).numpy()

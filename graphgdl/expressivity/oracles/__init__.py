"""Exact oracles: colour refinements of the Weisfeiler-Leman hierarchy, on integers.

`ORACLES` maps names to `Oracle`s, from coarse to fine; `search_tree(depth)` makes one of any depth; `compare` and
`classes` run an oracle over many graphs.
"""

from functools import partial

from graphgdl.expressivity.oracles.compare import classes, compare, merged_pairs
from graphgdl.expressivity.oracles.distance import refine_gd_spd, refine_gd_walks, refine_rwse
from graphgdl.expressivity.oracles.fwl import refine_1fwl, refine_2fwl, refine_3fwl
from graphgdl.expressivity.oracles.local import refine_local_2fwl, refine_sswl
from graphgdl.expressivity.oracles.marking import refine_node_marking, refine_pair_marking
from graphgdl.expressivity.oracles.oracle import Oracle
from graphgdl.expressivity.oracles.tree import leaf_counts, parting_depth, search_tree
from graphgdl.expressivity.oracles.wl import refine_1wl, refine_kwl

__all__ = [
    "ORACLES",
    "Oracle",
    "classes",
    "compare",
    "leaf_counts",
    "merged_pairs",
    "parting_depth",
    "search_tree",
]

ORACLES: dict[str, Oracle] = {
    oracle.name: oracle
    for oracle in (
        Oracle("1-wl", "1-WL", "plain message passing (GCN, GIN, GAT)", refine_1wl),
        Oracle("1-fwl", "1-FWL (= 1-WL)", "plain message passing with a global node", refine_1fwl),
        Oracle("2-wl", "2-WL, oblivious (= 1-WL)", "2-GNN", partial(refine_kwl, k=2)),
        Oracle("gd-wl-spd", "GD-WL, shortest paths", "Graphormer", refine_gd_spd),
        Oracle("rwse-wl", "1-WL + closed walks, k <= 16", "message passing with RWSE", refine_rwse),
        Oracle("gd-wl-walks", "GD-WL, walk counts, k <= 16", "RRWP: GRIT, PPGT", refine_gd_walks),
        Oracle("node-marking", "node marking + 1-WL", "ID-GNN, NGNN, DS-GNN", refine_node_marking),
        Oracle("local-2-fwl", "local 2-FWL", "local 2-FGNN", refine_local_2fwl),
        Oracle("sswl", "SSWL", "SSWL subgraph GNN, SLFWL(2)", refine_sswl),
        Oracle("2-fwl", "2-FWL", "PPGN, Edge Transformer", refine_2fwl),
        Oracle("3-wl", "3-WL, oblivious (= 2-FWL)", "3-GNN", partial(refine_kwl, k=3)),
        Oracle("pair-marking", "(node, neighbour) marking + 1-WL", "I2-GNN", refine_pair_marking),
        Oracle("3-fwl", "3-FWL (= 4-WL)", "3-FGNN", refine_3fwl),
        *(search_tree(depth) for depth in (1, 2, 3)),
    )
}

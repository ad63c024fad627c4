"""Suites of graphs that a method has to tell apart: generated, read from a folder, or a user's own."""

from graphgdl.expressivity.suites.cfi import cfi_graph, cfi_pair, cfi_suite
from graphgdl.expressivity.suites.registry import SUITES, SuiteInfo, load_suite
from graphgdl.expressivity.suites.remote import fetch
from graphgdl.expressivity.suites.strongly_regular import godsil_mckay, srg_parameters, switch
from graphgdl.expressivity.suites.suite import Suite
from graphgdl.expressivity.suites.treewidth import treewidth

__all__ = [
    "SUITES",
    "Suite",
    "SuiteInfo",
    "cfi_graph",
    "cfi_pair",
    "cfi_suite",
    "fetch",
    "godsil_mckay",
    "load_suite",
    "srg_parameters",
    "switch",
    "treewidth",
]

"""What makes `graphgdl bench ops` short enough for a test."""

from __future__ import annotations

import gc

import pytest

from graphgdl.cli.bench.hot_path import clock

TINY = 0.002
QUIET = "ignore:.*[Ss]parse (invariant|CSR):UserWarning"


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Collections look at new objects only, and the copy is a short one."""
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "_COPY_BYTES", 2**22)
        patch.setattr(clock, "LEAST_SECONDS", 0.01)
        yield
    gc.unfreeze()

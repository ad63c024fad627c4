"""Downloading the files of a suite into a root folder, each with its checksum.

Sources: BREC, github.com/GraphPKU/BREC (MIT). Strongly regular graphs, B. McKay's and E. Spence's lists as kept in
github.com/twitter-research/cwn (MIT). Connected graphs, B. McKay's page. The bytes of these checksums were loaded and
checked against the exact facts; a file that has changed upstream is refused.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphgdl.datasets.download import Progress, download
from graphgdl.expressivity.suites.registry import SUITES

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Remote:
    """One file: its address, its place below the root, its checksum."""

    url: str
    path: str
    sha256: str


_BREC = "https://raw.githubusercontent.com/GraphPKU/BREC/d45190961b86548c626e5bc29ded4c67f5fa4f24/customize/Data/raw"
_CWN = "https://raw.githubusercontent.com/twitter-research/cwn"
_SRG_PAGE = "https://www.maths.gla.ac.uk/~es/srgraphs.php"


def _brec(file: str, sha256: str) -> Remote:
    return Remote(f"{_BREC}/{file}", f"brec/raw/{file}", sha256)


REMOTE: dict[str, tuple[Remote, ...]] = {
    "brec": (
        _brec("basic.npy", "adef7f761b803026b515d94172399f5db72fe73859b0e489a1edfaa5874aeec2"),
        _brec("regular.npy", "e9e85ff2003f50676e2a2ac7ef70b8ad919598c3042aaf8f5f6f43184bfdc663"),
        _brec("str.npy", "6de58d99b80b7ace4529d17cf8fe3d000b496b3c2a7ab7f59fe3f28f61746d6f"),
        _brec("extension.npy", "9b76b59842f997a502a83724daba033d793c5fbc9c2aa758834beb78d2309d4a"),
        _brec("cfi.npy", "e8d56d7c0a22768da8dfdcaae800bc8dc815fb10b1bf1b52dc7893ed68c4e92f"),
        _brec("4vtx.npy", "a9e593c485f3fa08d3db967d7c545a4f5cf7f417f016c9a77a5c1cc646786cea"),
        _brec("dr.npy", "11b861e1439ddee4c58fa04b523e874c25fdbb4ba867f3ac9104711cb3739d89"),
    ),
    "graph8c": (
        Remote(
            "https://users.cecs.anu.edu.au/~bdm/data/graph8c.g6",
            "graph8c/graph8c.g6",
            "0002354f1ab3344a2706626a037ad15367bf23a2163aa68f552c3a169ca9a036",
        ),
    ),
    "sr29": (
        Remote(
            f"{_CWN}/e9c8f7fb26a1ee7d3025df487553cd014f122957/datasets/SR_graphs/raw/sr291467.g6",
            "sr_graphs/sr291467.g6",
            "ea303aa60f98f01e6cc619884cd7d5716bfc00c38b7feaee080c7ff312781625",
        ),
    ),
    "sr35": (
        Remote(
            f"{_CWN}/cb1f6922090d9311e705bcd8bce803a159950a15/datasets/SR_graphs/sr351899.g6",
            "sr_graphs/sr351899.g6",
            "a63871afc7e8a3a0d390d705c38a40ecc58e22563dcec8fafc9ea2879a361eb7",
        ),
    ),
    "sr35-16": (
        Remote(
            f"{_CWN}/cb1f6922090d9311e705bcd8bce803a159950a15/datasets/SR_graphs/sr351668.g6",
            "sr_graphs/sr351668.g6",
            "1d5010ad4da362b1ba600abf02e9abfef9c4204226bcaf01db4926c71c4265b9",
        ),
    ),
}
BY_HAND = {
    "exp": "github.com/ralphabb/GNN-RNI publishes it as a pickle, which runs code; write its arrays to an npz file as "
    "graphgdl.expressivity.suites.exp describes and put it",
    "sr36": f"get it from {_SRG_PAGE} as graph6 and put it",
    "sr40": f"get it from {_SRG_PAGE} as graph6 and put it",
}


def fetch(name: str, root: str | Path, show_progress: bool = False) -> Path:
    """Downloads the files of suite `name` below `root`; files that are there already are checked and kept.

    Returns `root`, to be passed to `load_suite`.

    Raises:
        ValueError: an unknown or an embedded suite, one without a checksummed source (says what to put where by hand),
            a wrong checksum.
        ConnectionError: no network; names the address and where to put the file by hand.
        OSError: the disk is full; the file that did not fit leaves nothing behind.
    """
    root = Path(root)
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}; those with files are {', '.join([*REMOTE, *BY_HAND])}")
    if SUITES[name].embedded:
        raise ValueError(f"suite {name} is generated and needs no file; load_suite({name!r}) is all")
    if name in BY_HAND:
        raise ValueError(f"suite {name} has no checksummed source: {BY_HAND[name]} at {root / SUITES[name].paths[0]}")
    for remote in REMOTE[name]:
        with _bar(remote.path, show_progress) as progress:
            download(remote.url, root / remote.path, remote.sha256, progress)
    return root


@contextmanager
def _bar(title: str, show: bool) -> Iterator[Progress | None]:
    if not show:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with RichProgress(*columns) as bars:
        task = bars.add_task(title, total=None)
        yield lambda have, total: bars.update(task, completed=have, total=total)

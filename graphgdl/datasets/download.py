"""One file from the network: checksummed, atomic, resumable."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

CHUNK = 1 << 16
DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}

Progress = Callable[[int, "int | None"], None]


def download(url: str, path: str | Path, sha256: str, progress: Progress | None = None, timeout: float = 30) -> Path:
    """Downloads `url` to `path` unless it is there already.

    The bytes go to `path` + ".part" and get their name once their checksum is right, so `path` is never half a file.
    After an interruption the part stays and the next call goes on where it ended.

    Args:
        url: http or https.
        path: the file to write; its folder is created.
        sha256: what the file must hash to, in hex.
        progress: called with the bytes so far and the total, None if the server does not say.
        timeout: seconds without a byte before the connection counts as lost.

    Raises:
        ConnectionError: no network, the server refuses, or the connection is lost half-way; says where to put the file
            by hand.
        ValueError: the checksum is wrong, of a file that was there or of one that came; the latter is deleted.
        OSError: the disk is full, which leaves nothing behind, or the folder cannot be written.
    """
    path = Path(path)
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"`url` must start with http:// or https://, got {url!r}")
    if path.exists():
        if (found := _digest(path)) != sha256:
            raise ValueError(f"{path}: expected sha256 {sha256}, got {found}; delete it to have it downloaded again")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    resumed = _transfer(url, path, part, progress, timeout)
    found = _digest(part)
    if found != sha256 and resumed:  # the part was of something else: once more, whole
        part.unlink()
        _transfer(url, path, part, progress, timeout)
        found = _digest(part)
    if found != sha256:
        part.unlink()
        raise ValueError(f"{url}: expected sha256 {sha256}, got {found}; the file has changed there, nothing was kept")
    os.replace(part, path)
    return path


def _transfer(url: str, path: Path, part: Path, progress: Progress | None, timeout: float) -> bool:
    """Fills `part`; says whether it went on from bytes that were there."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(request, timeout=timeout) as response:
            resumed = response.status == 206 and _starts_at(response, have)
            if response.status == 206 and not resumed:
                raise ConnectionError(_failure(url, path, "the server sent another range than was asked for"))
            with open(part, "ab" if resumed else "wb") as file:
                _copy(response, file, have if resumed else 0, progress, url, path)
            return resumed
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing is left to send: the checksum decides
            return True
        raise ConnectionError(_failure(url, path, f"HTTP {error.code} {error.reason}")) from None
    except URLError as error:
        raise ConnectionError(_failure(url, path, str(error.reason))) from None
    except (TimeoutError, ConnectionResetError, ConnectionAbortedError, HTTPException) as error:
        raise ConnectionError(_failure(url, path, f"connection lost: {error!r}; run again to resume")) from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        part.unlink(missing_ok=True)
        raise OSError(
            error.errno, f"{path}: no space left on the disk, nothing was kept; free some and run again"
        ) from None


def _copy(response: HTTPResponse, file: BinaryIO, have: int, progress: Progress | None, url: str, path: Path) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length is not None else None
    while block := response.read(CHUNK):
        file.write(block)
        have += len(block)
        if progress is not None:
            progress(have, total)
    if total is not None and have < total:
        raise ConnectionError(
            _failure(url, path, f"connection lost after {have} of {total} bytes; run again to resume")
        )
    file.flush()
    os.fsync(file.fileno())


def _starts_at(response: HTTPResponse, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _failure(url: str, path: Path, reason: str) -> str:
    return f"cannot download {url} ({reason}); or get the file by hand and put it at {path}"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

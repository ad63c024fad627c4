"""download against a local server that interrupts, forgets ranges, lies and refuses."""

import builtins
import errno
import hashlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from graphgdl.datasets import download

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `cut` bytes into a response the connection drops; every Range header is remembered."""

    cut: int | None = None
    ranges = True
    shift = 0
    length = True
    content = CONTENT

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []

    def url(self, path="/file"):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address):
        pass


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.seen.append(asked)
        if self.path == "/missing":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start and start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            self.send_header("Content-Range", f"bytes {start + server.shift}-{len(server.content) - 1}/*")
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if server.cut is None else body[: server.cut])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_whole(server, tmp_path):
    steps = []
    path = download(
        server.url(), tmp_path / "a" / "b" / "file", SHA256, lambda have, total: steps.append((have, total))
    )
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file"]
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert steps == sorted(steps)
    assert download(server.url(), path, SHA256) == path
    assert server.seen == [None]  # the second call asked nobody


def test_a_server_that_does_not_say_how_long(server, tmp_path):
    server.length = False
    steps = []
    download(server.url(), tmp_path / "file", SHA256, lambda have, total: steps.append(total))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert set(steps) == {None}


def test_interrupted_and_resumed(server, tmp_path):
    server.cut = 100_000
    for have in (100_000, 200_000):
        message = (
            rf"cannot download {server.url()} \(connection lost after {have} of 300000 bytes; run again to resume\)"
        )
        with pytest.raises(ConnectionError, match=message):
            download(server.url(), tmp_path / "file", SHA256)
        assert names(tmp_path) == ["file.part"]
        assert (tmp_path / "file.part").read_bytes() == CONTENT[:have]
    server.cut = None
    steps = []
    download(server.url(), tmp_path / "file", SHA256, lambda have, total: steps.append((have, total)))
    assert server.seen == [None, "bytes=100000-", "bytes=200000-"]
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert steps[0][0] > 200_000
    assert steps[-1] == (300_000, 300_000)


def test_a_connection_that_is_reset_or_silent_keeps_the_part(server, tmp_path, monkeypatch):
    def lost(response, size=None):
        if len(blocks) == 2:
            raise error
        blocks.append(real(response, size))
        return blocks[-1]

    real = http.client.HTTPResponse.read
    for error in (ConnectionResetError(errno.ECONNRESET, "reset"), TimeoutError("timed out")):
        blocks = []
        with monkeypatch.context() as patch:
            patch.setattr(http.client.HTTPResponse, "read", lost)
            with pytest.raises(
                ConnectionError, match=rf"connection lost: {type(error).__name__}.*; run again to resume"
            ):
                download(server.url(), tmp_path / "file", SHA256)
    assert (tmp_path / "file.part").stat().st_size == 4 << 16
    download(server.url(), tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:5000])
    server.ranges = False
    download(server.url(), tmp_path / "file", SHA256)
    assert server.seen == ["bytes=5000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_of_something_else_is_dropped(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * 5000)
    download(server.url(), tmp_path / "file", SHA256)
    assert server.seen == ["bytes=5000-", None]
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"])
def test_a_part_that_is_whole_or_too_long(server, tmp_path, part):
    (tmp_path / "file.part").write_bytes(part)
    download(server.url(), tmp_path / "file", SHA256)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_another_range_than_asked_is_refused(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:5000])
    server.shift = 1
    with pytest.raises(ConnectionError, match="the server sent another range than was asked for"):
        download(server.url(), tmp_path / "file", SHA256)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:5000]


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(
        ValueError, match=rf"expected sha256 {SHA256}, got \w+; the file has changed there, nothing was kept"
    ):
        download(server.url(), tmp_path / "file", SHA256)
    assert names(tmp_path) == []


def test_a_file_of_the_users_that_differs_is_left_alone(server, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        ValueError, match=rf"file: expected sha256 {SHA256}, got \w+; delete it to have it downloaded again"
    ):
        download(server.url(), tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_text() == "mine"
    assert server.seen == []


def test_not_there(server, tmp_path):
    with pytest.raises(ConnectionError, match=r"\(HTTP 404 Not Found\); or get the file by hand and put it at .*file"):
        download(server.url("/missing"), tmp_path / "file", SHA256)
    assert names(tmp_path) == []


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/file"
    with pytest.raises(ConnectionError, match=rf"cannot download {url} \(.*\); or get the file by hand and put it at"):
        download(url, tmp_path / "file", SHA256, timeout=5)
    assert names(tmp_path) == []


@pytest.mark.parametrize("have", [0, 5000])
def test_a_full_disk_leaves_nothing(server, tmp_path, monkeypatch, have):
    if have:
        (tmp_path / "file.part").write_bytes(CONTENT[:have])
    real = builtins.open

    class Full:
        def __init__(self, file):
            self.file, self.room = file, 100_000

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, block):
            self.room -= len(block)
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.file.write(block)

    def full(path, mode="r", *args, **kwargs):
        file = real(path, mode, *args, **kwargs)
        return Full(file) if str(path).endswith(".part") and mode in ("ab", "wb") else file

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", full)
        with pytest.raises(OSError, match=r"file: no space left on the disk, nothing was kept") as caught:
            download(server.url(), tmp_path / "file", SHA256)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []
    download(server.url(), tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_other_errors_of_the_disk_pass_through(server, tmp_path):
    (tmp_path / "file.part").mkdir()
    with pytest.raises(OSError, match=r"file\.part"):
        download(server.url(), tmp_path / "file", SHA256)


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`url` must start with http:// or https://, got 'file:///etc/hosts'"):
        download("file:///etc/hosts", tmp_path / "file", SHA256)

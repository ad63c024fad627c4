"""fetch: what it asks for, where it puts it, what it says when it cannot."""

import contextlib
import functools
import hashlib
import http.server
import threading

import pytest

from graphgdl.expressivity.suites import SUITES, fetch, load_suite
from graphgdl.expressivity.suites import remote as module
from graphgdl.expressivity.suites.families import chang, triangular
from graphgdl.expressivity.suites.registry import _srg


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A family of two graphs behind a local server, under the name sr29."""
    monkeypatch.setenv("no_proxy", "*")
    source = tmp_path / "source"
    source.mkdir()
    text = "".join(graph.graph6() + "\n" for graph in (triangular(8), *chang()))
    (source / "list.g6").write_bytes(text.encode())
    monkeypatch.setitem(SUITES, "sr29", _srg("sr29", "sr291467.g6", (28, 12, 6, 4), 4))
    with served(source) as address:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        file = module.Remote(f"{address}/list.g6", "sr_graphs/sr291467.g6", sha256)
        monkeypatch.setitem(module.REMOTE, "sr29", (file,))
        yield file


@pytest.mark.parametrize("show_progress", [False, True])
def test_fetched_and_loaded(remote, tmp_path, capsys, show_progress):
    root = fetch("sr29", tmp_path / "root", show_progress=show_progress)
    assert load_suite("sr29", root).graphs == (triangular(8), *chang())
    assert ("sr_graphs/sr291467.g6" in capsys.readouterr().out) == show_progress


def test_a_changed_file_is_not_kept(remote, tmp_path):
    (tmp_path / "source" / "list.g6").write_text("changed")
    with pytest.raises(ValueError, match=f"expected sha256 {remote.sha256}, got"):
        fetch("sr29", tmp_path / "root")
    with pytest.raises(FileNotFoundError, match=r"suite sr29: expected sr_graphs/sr291467\.g6"):
        load_suite("sr29", tmp_path / "root")


def test_what_cannot_be_fetched(tmp_path):
    with pytest.raises(ValueError, match="unknown suite 'x'; those with files are brec, graph8c"):
        fetch("x", tmp_path)
    with pytest.raises(ValueError, match="suite csl is generated and needs no file"):
        fetch("csl", tmp_path)
    for name in ("exp", "sr36", "sr40"):
        with pytest.raises(
            ValueError, match=f"suite {name} has no checksummed source: .* put it at .*{SUITES[name].paths[1]}"
        ):
            fetch(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_suite_with_files_is_fetched_or_says_how():
    assert {name for name, info in SUITES.items() if not info.embedded} == {*module.REMOTE, *module.BY_HAND}
    for files in module.REMOTE.values():
        for file in files:
            assert file.url.startswith("https://")
            assert len(bytes.fromhex(file.sha256)) == 32


@pytest.mark.data
def test_checksums_are_those_of_the_files_that_were_checked(data_root):
    for name, files in module.REMOTE.items():
        for file in files:
            assert hashlib.sha256((data_root / file.path).read_bytes()).hexdigest() == file.sha256, name

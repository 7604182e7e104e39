"""Downloads against a server on this machine: whole, interrupted, resumed, wrong, absent."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from neurometa.errors import UserError
from neurometa.tasks.download import Source, fetch
from neurometa.tasks.locate import locate
from tests.tasks.drawn import one_line

CONTENT = bytes(range(256)) * 1500  # several chunks


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT, as badly as the test asks."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.resumes else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        self.wfile.write(server.content[start : server.stops_after])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(HTTPServer):
    content = CONTENT
    stops_after: int | None = None
    resumes = True
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def source(self) -> Source:
        return Source(f"http://127.0.0.1:{self.server_port}/file.zip", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def refused(source: Source, target: Path) -> str:
    with pytest.raises(UserError) as raised:
        fetch(source, target, lambda _: None)
    assert not target.exists(), "a file that is not whole and checked is never put in place"
    return one_line(raised)


def test_a_file_arrives_whole_and_its_progress_is_reported(server: Server, tmp_path: Path) -> None:
    reported: list[int] = []
    target = tmp_path / "new" / "file.zip"
    fetch(server.source, target, reported.append)
    assert target.read_bytes() == CONTENT
    assert reported == sorted(reported)
    assert reported[-1] == len(CONTENT)
    assert len(reported) > 3
    assert [path.name for path in target.parent.iterdir()] == ["file.zip"]


def test_an_interrupted_download_is_resumed_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.stops_after = 100_000
    assert f"stopped after 100000 of {len(CONTENT)} bytes" in refused(server.source, tmp_path / "f")
    assert (tmp_path / "f.part").read_bytes() == CONTENT[:100_000]
    server.stops_after = None
    fetch(server.source, tmp_path / "f", lambda _: None)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_that_ignores_range_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT[:5000])
    server.resumes = False
    fetch(server.source, tmp_path / "f", lambda _: None)
    assert server.asked == ["bytes=5000-"]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_whole_part_left_behind_is_checked_without_asking_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT)
    fetch(server.source, tmp_path / "f", lambda _: None)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert server.asked == []


def test_a_part_that_is_too_long_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT + b"more")
    fetch(server.source, tmp_path / "f", lambda _: None)
    assert server.asked == [None]
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("resumed", [False, True])
def test_wrong_bytes_are_deleted_and_the_next_run_starts_clean(server: Server, tmp_path: Path, resumed: bool) -> None:
    if resumed:
        (tmp_path / "f.part").write_bytes(b"x" * 5000)
    else:
        server.content = b"x" + CONTENT[1:]
    assert "expected " + server.source.sha256 in refused(server.source, tmp_path / "f")
    assert not (tmp_path / "f.part").exists()
    server.content = CONTENT
    fetch(server.source, tmp_path / "f", lambda _: None)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_another_file_at_the_address_is_refused_before_it_is_written(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>log in to this network</html>"
    assert f"35 bytes long, expected {len(CONTENT)}" in refused(server.source, tmp_path / "f")
    assert not (tmp_path / "f.part").exists()


def test_a_missing_address_is_named_with_its_status(server: Server, tmp_path: Path) -> None:
    server.status = 404
    message = refused(server.source, tmp_path / "f")
    assert server.source.url in message
    assert "404" in message


def test_a_part_that_the_server_refuses_to_continue_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT[:5000])
    server.status = 416
    assert "416" in refused(server.source, tmp_path / "f")
    assert not (tmp_path / "f.part").exists()


def no_server() -> Source:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return Source(f"http://127.0.0.1:{port}/file.zip", 10, "0" * 64)


def test_no_network_is_said_in_a_line(tmp_path: Path) -> None:
    assert "cannot be reached" in refused(no_server(), tmp_path / "f")


def test_a_folder_that_cannot_be_written_is_said_in_a_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refused(server.source, tmp_path / "file" / "f")


class Home:
    """A home directory of its own, and no $NEUROMETA_DATA."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cached = path / ".cache" / "neurometa" / "a" / "b.zip"
        monkeypatch.setenv("HOME", str(path))
        monkeypatch.delenv("NEUROMETA_DATA", raising=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path / "home", monkeypatch)


def test_a_named_directory_comes_before_the_environment_and_that_before_the_cache(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path / "given", tmp_path / "environment", home.cached.parents[1]):
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "b.zip").touch()
    assert locate(None, "a/b.zip", no_server()) == home.cached
    monkeypatch.setenv("NEUROMETA_DATA", str(tmp_path / "environment"))
    assert locate(None, "a/b.zip", no_server()) == tmp_path / "environment" / "a" / "b.zip"
    assert locate(tmp_path / "given", "a/b.zip", no_server()) == tmp_path / "given" / "a" / "b.zip"


@pytest.mark.parametrize("by", ["--data", "$NEUROMETA_DATA"])
def test_a_directory_without_the_file_is_refused_without_a_download(
    home: Home, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setenv("NEUROMETA_DATA", str(tmp_path))
    with pytest.raises(UserError) as raised:
        locate(tmp_path if by == "--data" else None, "a/b.zip", server.source)
    assert one_line(raised).startswith(f"{by} is {tmp_path}, which has no a/b.zip")
    assert server.asked == []


def test_what_is_nowhere_is_downloaded_into_the_cache_once(home: Home, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert locate(None, "a/b.zip", server.source) == home.cached
    assert home.cached.read_bytes() == CONTENT
    locate(None, "a/b.zip", server.source)
    assert len(server.asked) == 1
    assert capsys.readouterr().out == "", "progress goes to the error stream"


def test_without_data_or_network_the_message_names_both_ways_out(home: Home) -> None:
    with pytest.raises(UserError) as raised:
        locate(None, "a/b.zip", no_server())
    message = one_line(raised)
    for said in ("a/b.zip", "--data", "$NEUROMETA_DATA", "network"):
        assert said in message

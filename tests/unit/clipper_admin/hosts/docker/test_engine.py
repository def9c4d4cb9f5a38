"""The connection to the Docker engine: what is said when there is none, and that nothing of it stays open."""

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingUnixStreamServer

import pytest

from clipper_admin import ClipperException, DockerContainerManager

INFORMATION = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"ApiVersion": "1.45"}'


@contextmanager
def engine(path: Path, handler: type[BaseRequestHandler]) -> Iterator[None]:
    """Somebody who listens at `path`, as an engine would."""
    with ThreadingUnixStreamServer(str(path), handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,), name="engine")
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()


def refusal() -> str:
    """What a manager says that finds no engine; nothing of the attempt is referred to any more."""
    with pytest.raises(ClipperException) as refused:
        DockerContainerManager()
    return refused.value.msg


def nobody(directory: Path) -> str:
    return f"unix://{directory / 'nobody.sock'}"


def a_file(directory: Path) -> str:
    (directory / "engine.txt").touch()
    return f"unix://{directory / 'engine.txt'}"


def a_left_socket(directory: Path) -> str:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(directory / "left.sock"))
    return f"unix://{directory / 'left.sock'}"


def a_closed_port(directory: Path) -> str:
    return "tcp://127.0.0.1:1"


@pytest.mark.parametrize("address", [nobody, a_file, a_left_socket, a_closed_port])
def test_without_an_engine_the_manager_says_what_to_do_and_leaves_nothing_open(
    address: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address(tmp_path))

    assert "Start one or set DOCKER_HOST; ProcessContainerManager runs the same cluster without Docker" in refusal()
    # What is collected while it is open is a ResourceWarning, and so a failure.
    gc.collect()


def test_an_engine_that_hangs_up_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine(tmp_path / "engine.sock", BaseRequestHandler):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'engine.sock'}")
        assert "No Docker engine answers" in refusal()
    gc.collect()


def test_a_manager_that_nobody_holds_any_more_has_closed_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()

    class Answering(StreamRequestHandler):
        def handle(self) -> None:
            if self.rfile.readline().startswith(b"GET /version "):
                self.wfile.write(INFORMATION)
                self.rfile.read()
                closed.set()

    with engine(tmp_path / "engine.sock", Answering):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'engine.sock'}")
        manager = DockerContainerManager()
        assert not closed.is_set()

        del manager

        assert closed.wait(timeout=40)

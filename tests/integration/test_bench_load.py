"""The benchmark's load generators: each counts what was answered, whole, and fails with the first call that does."""

import json
import shutil
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.rig import probes
from bench.rig.errors import BenchmarkError
from bench.rig.load import Generator, PythonLoad, native, rest
from bench.rig.payloads import PREDICT, framed, framed_size, json_request, vector_request
from bench.rig.processes import Process
from clipper_admin.hosts.process import ports

_MESSAGE = vector_request("anything").SerializeToString()
_ANSWER = b"an answer of some bytes"
_NOWHERE = "/clipper.v1.QueryService/Nothing"
_SECONDS = 0.2

needs_h2load = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load (nghttp2-client) is not installed")


@pytest.fixture(scope="module")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of the baseline, which answers Predict with _ANSWER."""
    directory = tmp_path_factory.mktemp("baseline")
    answers = directory / "answers.json"
    answers.write_text(json.dumps({"Predict": b64encode(_ANSWER).decode()}))
    [port] = ports.free_ports(1)
    address = ports.address(port)
    command = [sys.executable, "-m", "bench.studies.floors.baseline", address, str(answers)]
    with Process("baseline", command, {}, directory / "log") as process:
        process.wait_until(partial(probes.is_serving, address), "the baseline's start")
        yield address


@pytest.fixture(scope="module")
def rest_server() -> Iterator[str]:
    """host:port of a server that answers /app/predict with _ANSWER."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    thread = threading.Thread(target=server.serve_forever, name="REST server")
    thread.start()
    yield "{}:{}".format(*server.server_address)
    server.shutdown()
    thread.join()
    server.server_close()


def _native(in_python: bool, address: str, path: str, scratch: Path) -> Generator:
    if in_python:
        return PythonLoad("native", f"http://{address}{path}", framed([_MESSAGE]), 4, scratch)
    return native(address, path, [_MESSAGE], 4, scratch)


def _rest(in_python: bool, address: str, application: str, scratch: Path) -> Generator:
    if in_python:
        return PythonLoad("rest", f"http://{address}/{application}/predict", json_request(), 4, scratch)
    return rest(address, application, 4, scratch)


_GENERATORS = pytest.mark.parametrize(
    "in_python", [pytest.param(False, marks=needs_h2load), True], ids=["h2load", "Python"]
)


@_GENERATORS
def test_native_answers_are_counted_with_their_frames(in_python: bool, bare_server: str, tmp_path: Path) -> None:
    _check_counts(_native(in_python, bare_server, PREDICT, tmp_path), framed_size([_ANSWER]))


@_GENERATORS
def test_answers_over_rest_are_counted_without_their_headers(in_python: bool, rest_server: str, tmp_path: Path) -> None:
    _check_counts(_rest(in_python, rest_server, "app", tmp_path), len(_ANSWER))


@_GENERATORS
def test_a_call_over_rest_that_fails_makes_the_run_fail(in_python: bool, rest_server: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError):
        _rest(in_python, rest_server, "nothing", tmp_path).run(_SECONDS)


def test_a_native_call_that_fails_makes_the_run_of_python_threads_fail(bare_server: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="UNIMPLEMENTED"):
        _native(True, bare_server, _NOWHERE, tmp_path).run(_SECONDS)


@needs_h2load
def test_what_h2load_takes_for_an_answer_though_grpc_failed_shows_in_the_bytes(
    bare_server: str, tmp_path: Path
) -> None:
    load = _native(False, bare_server, _NOWHERE, tmp_path).run(_SECONDS)
    assert load.calls > 0
    assert load.answer_bytes == 0


def _check_counts(generator: Generator, answer_bytes: int) -> None:
    load = generator.run(_SECONDS)
    assert load.calls > 0
    assert load.answer_bytes == load.calls * answer_bytes
    assert 0 < load.p50_s <= load.p99_s


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_known = self.path == "/app/predict" and body == json_request()
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Length", str(len(_ANSWER)))
        self.end_headers()
        self.wfile.write(_ANSWER)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

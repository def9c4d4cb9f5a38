"""The benchmark's generator by REST: more calls outstanding than connections, answers in pieces, defaults, errors."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from bench.rig.generator import run
from bench.rig.jobs import Job
from bench.rig.payloads import http_request
from bench.rig.questions import Question, write

_OUTSTANDING = 8
_PREDICTED = {"query_id": 0, "output": 1, "default": False}
_DEFAULT = {"output": "none", "default": True, "default_explanation": "The query service is overloaded"}


class _Answering(BaseHTTPRequestHandler):
    """Answers two inputs, of which the second one gets the default output, in two pieces."""

    protocol_version = "HTTP/1.1"
    status: ClassVar[int] = 200

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, len(body["input_batch"])) == ("/app/predict", 2)
        answer = json.dumps({"batch_predictions": [_PREDICTED, _DEFAULT]}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[:10])
        self.wfile.flush()
        self.wfile.write(answer[10:])

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def _serving(status: int) -> Iterator[str]:
    """host:port of a server whose answers have this status."""
    handler = type("Answering", (_Answering,), {"status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, name="REST server")
    thread.start()
    yield "{}:{}".format(*server.server_address)
    server.shutdown()
    thread.join()
    server.server_close()


def _job(address: str, directory: Path) -> Job:
    file = write([Question(http_request(address, "app", 2), ("1", "1"))], directory)
    return Job(address, str(file), 2, 60.0, seconds=0.2, outstanding=_OUTSTANDING, connections=2)


def test_every_call_by_rest_is_answered_and_judged(tmp_path: Path) -> None:
    with _serving(200) as address:
        outcome = run(_job(address, tmp_path))
    assert outcome.calls >= _OUTSTANDING
    assert (outcome.asked, outcome.answered) == (2 * outcome.calls, 2 * outcome.calls)
    assert (outcome.good, outcome.wrong) == (outcome.calls, 0)
    assert outcome.defaults == {"FRONT_OVERLOADED": outcome.calls}


def test_an_error_by_rest_is_no_answer(tmp_path: Path) -> None:
    with _serving(503) as address, pytest.raises(ValueError, match="503"):
        run(_job(address, tmp_path))

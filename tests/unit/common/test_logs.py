"""Log lines."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.common.logs import JsonFormatter

_REPOSITORY = Path(__file__).parents[3]


def _line(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The last record of a log as the service "query" writes it."""
    text = JsonFormatter("query").format(caplog.records[-1])
    assert "\n" not in text
    line: dict[str, Any] = json.loads(text)
    return line


def test_a_line_says_when_who_where_and_what(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("some.module").warning("%d of %s", 3, "é")
    line = _line(caplog)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "WARNING", "service": "query", "logger": "some.module", "message": "3 of é"}


def test_the_time_is_utc_in_milliseconds(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().warning("now")
    caplog.records[-1].created = 1_700_000_000.042
    caplog.records[-1].msecs = 42.0
    assert _line(caplog)["time"] == "2023-11-14T22:13:20.042Z"


def test_extras_are_fields_even_when_json_does_not_know_them(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().warning("ready", extra={"port": 7000, "kinds": {1}})
    line = _line(caplog)
    assert (line["port"], line["kinds"]) == (7000, "{1}")


def test_every_line_has_what_the_formatter_was_given(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().warning("ready", extra={"port": 7000})
    line = json.loads(JsonFormatter("query", process_index=3).format(caplog.records[-1]))
    assert (line["process_index"], line["port"]) == (3, 7000)


def test_an_exception_stays_on_the_line(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("no\nnumber")
    except ValueError:
        logging.getLogger().exception("failed")
    assert _line(caplog)["exception"].endswith("ValueError: no\nnumber")


def test_a_configured_process_writes_json_from_its_level_up_to_standard_error() -> None:
    program = (
        "import logging; from services.common import logs; logs.configure('query', 'info');"
        "logging.getLogger('a').debug('no'); logging.getLogger('a').info('yes')"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=_REPOSITORY, capture_output=True, text=True, check=True
    )
    assert process.stdout == ""
    assert [json.loads(line)["message"] for line in process.stderr.splitlines()] == ["yes"]


_OF_GRPCIO = {
    "a header that is no UTF-8": ("core.error('Invalid encoding on %s', b'\\xff')", False),
    "an answer to a client that has gone": ("fail(cygrpc.ExecuteBatchError('Failed \"execute_batch\": (...)'))", False),
    "an answer that cannot be sent": ("fail(cygrpc.ExecuteBatchError('Failed grpc_call_start_batch: 10'))", True),
    "anything else": ("core.error('something else')", True),
}


@pytest.mark.parametrize(("statement", "is_logged"), _OF_GRPCIO.values(), ids=_OF_GRPCIO)
def test_what_a_client_makes_grpcio_log_is_not_logged(statement: str, is_logged: bool) -> None:
    program = f"""
import logging
from grpc._cython import cygrpc
from services.common import logs

def fail(error):
    try:
        raise error
    except cygrpc.ExecuteBatchError:
        core.exception('ExecuteBatchError raised in core by servicer method []')

logs.configure('query', 'info')
core = logging.getLogger(cygrpc.__name__)
{statement}
"""
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=_REPOSITORY, capture_output=True, text=True, check=True
    )
    assert len([json.loads(line)["message"] for line in process.stderr.splitlines()]) == is_logged

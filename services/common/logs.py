"""Logs: one JSON object a line on standard error, with the service's name and whatever a call gave as `extra`."""

import json
import logging
import sys
import time
from typing import Any

# grpcio logs each header that is not UTF-8, and each answer whose client has gone so lately that nobody has told yet,
# with a stack, and goes on: whoever wants to could fill the logs.
_CORE = "grpc._cython.cygrpc"
_BAD_HEADER = "Invalid encoding on"
_CLIENT_GONE = 'Failed "execute_batch"'
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes a log record as one line of JSON: time (UTC), level, service, logger, message, extras, exception.

    Args:
        service: the service's name.
        everywhere: extras that every line has.
    """

    def __init__(self, service: str, **everywhere: object) -> None:
        super().__init__()
        self._service = service
        self._everywhere = everywhere

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, without the line's end."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **self._everywhere,
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(service: str, level: str, **everywhere: object) -> None:
    """Sends every logger of this process to standard error, from `level` up, with what every line is to have."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service, **everywhere))
    handler.addFilter(_is_ours)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name != _CORE or not _is_of_a_clients_making(record)


def _is_of_a_clients_making(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return str(record.msg).startswith(_BAD_HEADER) or str(error).startswith(_CLIENT_GONE)

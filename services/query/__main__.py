"""`python -m services.query`: a query service, until SIGTERM."""

import logging
import os
import sys

from services.common import grpc_core, logs
from services.common.errors import InvalidInput
from services.common.lifecycle import StopSignal
from services.common.settings import from_environment

grpc_core.do_io_on_waiting_threads()

from services.query.server import QueryServer  # noqa: E402
from services.query.settings import Settings  # noqa: E402

_LOG = logging.getLogger("services.query")


def main() -> int:
    """Runs the service; returns the exit code."""
    try:
        settings = from_environment(Settings, os.environ)
    except InvalidInput as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    logs.configure("query", settings.log_level)
    stop = StopSignal()
    try:
        server = QueryServer(settings)
    except OSError as error:
        _LOG.error(str(error))
        return 1
    stop.drain()
    stop.wait()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

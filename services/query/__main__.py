"""`python -m services.query`: a query service, until SIGTERM.

With more than one process this is the parent, which starts the same command again for each child. A process loads only
what it is to be: the parent, which never serves, does without grpc.
"""

import logging
import os
import sys
from multiprocessing.connection import Connection

from services.common import allocator, grpc_core, logs
from services.common.errors import InvalidInput
from services.common.lifecycle import StopSignal, become_child_of
from services.common.settings import from_environment
from services.query.processes.pipes import CHILD
from services.query.settings import Settings

_LOG = logging.getLogger("services.query")


def main() -> int:
    """Runs the service, or the process of it that the arguments name; returns the exit code."""
    try:
        settings = from_environment(Settings, os.environ)
    except InvalidInput as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    allocator.keep_freed_memory()
    grpc_core.do_io_on_waiting_threads()
    if sys.argv[1:2] == [CHILD]:
        return _serve_as_child(settings, *map(int, sys.argv[2:]))
    logs.configure("query", settings.log_level)
    return _serve(settings) if settings.processes == 1 else _have_children_serve(settings)


def _serve(settings: Settings) -> int:
    from services.query.server import QueryServer

    stop = StopSignal()
    try:
        server = QueryServer(settings)
    except OSError as error:
        return _not_started(error)
    stop.drain()
    stop.wait()
    server.close()
    return 0


def _have_children_serve(settings: Settings) -> int:
    from services.query.processes.parent import Processes

    stop = StopSignal()
    try:
        processes = Processes(settings)
    except OSError as error:
        return _not_started(error)
    if failed := processes.wait_until_serving():
        processes.kill()
        return failed.exit_code
    stop.drain()
    stop.wait()
    processes.drain()
    return processes.exit_code


def _serve_as_child(settings: Settings, index: int, parent: int, orders: int, questions: int, life: int) -> int:
    become_child_of(parent)
    from services.query.processes.heartbeat import Heart
    from services.query.processes.parent_link import ParentLink
    from services.query.server import QueryServer

    logs.configure("query", settings.log_level, process_index=index)
    Heart(life)
    link = ParentLink(Connection(orders), Connection(questions))
    try:
        server = QueryServer(settings, link)
    except OSError as error:
        return _not_started(error)
    link.wait_for_drain()
    server.close()
    link.close()
    return 0


def _not_started(error: OSError) -> int:
    _LOG.error(str(error))
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""How grpcio's core does its I/O in a process: decided by the environment when grpcio is first imported.

By default the core's event engine reads and writes sockets on a pool of threads of its own and wakes the thread that
waits for a call. Where one thread waits for everything it can as well do the I/O itself, which the core's pollers do
when the event engine is off (grpcio 1.85.1; docs/decisions/0005-grpc-pollers.md has the measurement).
"""

import os

_VARIABLE = "GRPC_EXPERIMENTS"
_EVENT_ENGINE_OFF = "-event_engine_client,-event_engine_listener"


def do_io_on_waiting_threads() -> None:
    """Turns the event engine off, unless the environment says otherwise. To be called before grpc is first imported."""
    os.environ.setdefault(_VARIABLE, _EVENT_ENGINE_OFF)

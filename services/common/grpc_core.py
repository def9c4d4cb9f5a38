"""How grpcio's core does its I/O in a process: decided by the environment when grpcio is first imported.

By default the core's event engine reads and writes sockets on a pool of threads of its own and wakes the thread that
waits for a call. Where one thread waits for everything it can as well do the I/O itself, which the core's pollers do
when the event engine is off; of these the one that stands on poll(2) wakes fewest threads (grpcio 1.85.1;
docs/decisions/0005-grpc-pollers.md has the measurements).
"""

import os

_IO_ON_WAITING_THREADS = {
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
    "GRPC_POLL_STRATEGY": "poll",
}


def do_io_on_waiting_threads() -> None:
    """Spares the process the threads of the core; the environment has the last word. Call it before importing grpc."""
    for variable, value in _IO_ON_WAITING_THREADS.items():
        os.environ.setdefault(variable, value)

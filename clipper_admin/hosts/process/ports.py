"""Ports on the loopback interface: free ones, and whether a wanted one is free."""

import os
import random
import socket
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from clipper_admin.exceptions import ClipperException

LOOPBACK = "127.0.0.1"
_PORTS = range(10_000, 65_536)
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_MOST_TRIED = 1_000


def free_ports(count: int, avoided: Collection[int] = ()) -> list[int]:
    """Different free ports that nobody is given unasked.

    They lie outside the range from which the system takes ports for outgoing connections (if that leaves any): one of
    those could be gone before its process listens there, or while the process is being started again.

    Args:
        count: how many.
        avoided: free or not, none of these.

    Raises:
        ClipperException: there are not so many.
    """
    free: list[int] = []
    with ExitStack() as held:
        for port in _candidates():
            if len(free) == count:
                break
            if port in avoided:
                continue
            try:
                held.enter_context(socket.create_server((LOOPBACK, port)))
            except OSError:
                continue
            free.append(port)
    if len(free) < count:
        raise ClipperException(f"There are no {count} free ports on {LOOPBACK}")
    return free


def ensure_free(port: int, purpose: str) -> None:
    """Returns when somebody could listen on `port`.

    Raises:
        ClipperException: somebody else does, or the port is not ours to take.
    """
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise ClipperException(
            f"Port {port}, wanted for {purpose}, cannot be used: {os.strerror(error.errno or 0)}. "
            "Stop what listens there or choose another port"
        ) from error


def address(port: int) -> str:
    """The address of a local port, host:port."""
    return f"{LOOPBACK}:{port}"


def port_of(address: str) -> int:
    """The port of an address, host:port."""
    return int(address.rpartition(":")[2])


def _candidates() -> list[int]:
    """The ports to try, in an order of its own for each caller, so that two at once do not meet."""
    first, last = map(int, _OUTGOING.read_text().split())
    candidates = [port for port in _PORTS if not first <= port <= last] or list(_PORTS)
    return random.SystemRandom().sample(candidates, min(_MOST_TRIED, len(candidates)))

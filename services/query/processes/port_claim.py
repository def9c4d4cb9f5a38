"""The claim on a port that several processes of one service share, and nobody else.

The kernel lets any process of the same user bind a port that others have bound with SO_REUSEPORT, be it another service
started there by mistake. So the parent first takes the port for itself alone, as a service of one process does, and
opens it to its children then: with a socket that stays bound and never listens. Whoever takes a port for himself alone
is refused for as long as that socket is there, and every service begins by that.
"""

import contextlib
import socket
from typing import Any


class PortClaim:
    """A port that is kept for the children.

    Attributes:
        address: host:port, with the port that was bound.
    """

    def __init__(self, address: str) -> None:
        """Takes the port.

        Args:
            address: host:port; port 0 takes a free one.

        Raises:
            OSError: it cannot be bound, or is another service's.
        """
        host, _, port = address.rpartition(":")
        try:
            self._socket = _claim(host.strip("[]"), int(port))
        except OSError as error:
            raise OSError(f"cannot bind {address}: {error.strerror}") from error
        self.address = f"{host}:{self._socket.getsockname()[1]}"

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Gives the port up; safe to repeat."""
        self._socket.close()


def _claim(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with contextlib.ExitStack() as on_failure, _bound(family, address) as exclusive:
        # Only a listening socket shuts out everybody: the last connections of a predecessor must not.
        exclusive.listen()
        exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        claim = on_failure.enter_context(_bound(family, exclusive.getsockname(), reuse_port=True))
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        on_failure.pop_all()
        return claim


def _bound(family: int, address: tuple[Any, ...], *, reuse_port: bool = False) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound

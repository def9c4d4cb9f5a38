"""What needs a cluster says so while there is none."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from clipper_admin.exceptions import UnconnectedException


class Connection(Protocol):
    """Anything that knows whether it is connected."""

    connected: bool


_Connection = TypeVar("_Connection", bound=Connection)
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def needs_connection(
    method: Callable[Concatenate[_Connection, _Arguments], _Result],
) -> Callable[Concatenate[_Connection, _Arguments], _Result]:
    """Makes a method raise UnconnectedException while there is no connection."""

    @functools.wraps(method)
    def checked(self: _Connection, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        if not self.connected:
            raise UnconnectedException
        return method(self, *args, **kwargs)

    return checked

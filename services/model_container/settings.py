"""Settings of the model container."""

from dataclasses import dataclass

from services.common.errors import InvalidInput
from services.common.names import check_name, parse_input_type
from services.model_runtime.settings import ModelSettings

_WILDCARD_HOSTS = ("", "0.0.0.0", "[::]", "*")  # noqa: S104 - they are refused, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ModelSettings):
    """What can be set, each from the environment variable CLIPPER_ and its name; what the model runs with, besides.

    Raises:
        InvalidInput: a value cannot be served with.
    """

    model_name: str
    """The model this container is a replica of."""

    model_version: str
    """The version of the model."""

    input_type: str
    """What the model takes: an input type's name or alias."""

    model_python: str = ""
    """The interpreter of the model's own environment: it runs in a process of that, beside this one. Empty: in this."""

    address: str = "127.0.0.1:0"
    """host:port to serve gRPC on; port 0 takes a free one."""

    advertised_host: str = ""
    """The host at which query services reach this container, with the port that is bound. Empty: the bound host."""

    management_address: str = ""
    """host:port of the management service. Empty: no lease; the container is reached by hand."""

    drain_grace_s: float = 10.0
    """How long query services may take to end their streams after SIGTERM."""

    def __post_init__(self) -> None:
        ModelSettings.__post_init__(self)
        check_name("model name", self.model_name)
        check_name("model version", self.model_version)
        parse_input_type(self.input_type)
        host, colon, port = self.address.rpartition(":")
        if not colon or not port.isdecimal():
            raise InvalidInput(f"CLIPPER_ADDRESS must be host:port: '{self.address}'")
        if self.management_address and not self.advertised_host and host in _WILDCARD_HOSTS:
            raise InvalidInput(
                f"CLIPPER_ADVERTISED_HOST must be set: query services cannot reach this container at '{self.address}'"
            )
        if not self.drain_grace_s >= 0:
            raise InvalidInput(f"CLIPPER_DRAIN_GRACE_S must not be negative: '{self.drain_grace_s}'")

    def reached_at(self, port: int) -> str:
        """The address, host:port, at which query services reach this container when it is bound to `port`."""
        return f"{self.advertised_host or self.address.rpartition(':')[0]}:{port}"

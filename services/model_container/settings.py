"""Settings of the model container."""

import logging
import math
from dataclasses import dataclass
from enum import StrEnum

from services.common.errors import InvalidInput
from services.common.names import check_name, parse_input_type

_WILDCARD_HOSTS = ("", "0.0.0.0", "[::]", "*")  # noqa: S104 - they are refused, not bound


class NonFinite(StrEnum):
    """What becomes of NaN and of infinite numbers, which JSON does not have, inside an output."""

    NULL = "null"
    TEXT = "text"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set, each from the environment variable CLIPPER_ and its name.

    Raises:
        InvalidInput: a value cannot be served with.
    """

    model_name: str
    """The model this container is a replica of."""

    model_version: str
    """The version of the model."""

    input_type: str
    """What the model takes: an input type's name or alias."""

    model_path: str = "/model"
    """The model directory."""

    address: str = "127.0.0.1:0"
    """host:port to serve gRPC on; port 0 takes a free one."""

    advertised_host: str = ""
    """The host at which query services reach this container, with the port that is bound. Empty: the bound host."""

    management_address: str = ""
    """host:port of the management service. Empty: no lease; the container is reached by hand."""

    log_level: str = "INFO"
    """The least level that is logged."""

    drain_grace_s: float = 10.0
    """How long query services may take to end their streams after SIGTERM."""

    load_timeout_s: float = 0.0
    """A model that has not been loaded, and warmed up, within so long ends the process. 0: none does."""

    predict_timeout_s: float = 60.0
    """A model that has not returned for so long, and for which nobody waits, ends the process. 0: none does."""

    non_finite: str = "null"
    """What becomes of NaN and of infinite numbers inside an output: null, text ("NaN", "Infinity") or error."""

    def __post_init__(self) -> None:
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
        if self.log_level.upper() not in logging.getLevelNamesMapping():
            raise InvalidInput(f"CLIPPER_LOG_LEVEL must be a log level: '{self.log_level}'")
        if not self.drain_grace_s >= 0:
            raise InvalidInput(f"CLIPPER_DRAIN_GRACE_S must not be negative: '{self.drain_grace_s}'")
        if not 0 <= self.load_timeout_s < math.inf:
            raise InvalidInput(
                f"CLIPPER_LOAD_TIMEOUT_S must be a number of seconds, or 0 for no limit: '{self.load_timeout_s}'"
            )
        if not 0 <= self.predict_timeout_s < math.inf:
            raise InvalidInput(
                f"CLIPPER_PREDICT_TIMEOUT_S must be a number of seconds, or 0 for no limit: '{self.predict_timeout_s}'"
            )

        if self.non_finite not in tuple(NonFinite):
            raise InvalidInput(f"CLIPPER_NON_FINITE must be one of {', '.join(NonFinite)}: '{self.non_finite}'")

    def reached_at(self, port: int) -> str:
        """The address, host:port, at which query services reach this container when it is bound to `port`."""
        return f"{self.advertised_host or self.address.rpartition(':')[0]}:{port}"

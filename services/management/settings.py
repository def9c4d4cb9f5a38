"""Settings of the management service."""

import math
from dataclasses import dataclass

from services.common.errors import InvalidInput
from services.common.names import check_policy_prefixes


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set, each from the environment variable CLIPPER_ and its name.

    Raises:
        InvalidInput: a value is out of range.
    """

    redis_url: str
    """Where the configuration is kept, as redis://host:port/db."""

    address: str
    """host:port to serve gRPC on; port 0 takes a free one."""

    lease_ttl_s: float = 5.0
    """How long a replica's lease runs without a renewal. It bounds how long a replica that vanished stays registered,
    and must outlast a container's pause (a long garbage collection, a model that holds the interpreter)."""

    drain_grace_s: float = 10.0
    """How long requests may take to finish after SIGTERM."""

    log_level: str = "INFO"
    """The least level that is logged."""

    policy_prefixes: tuple[str, ...] = ()
    """Modules and packages whose classes may be named as selection policies by their path, "package.module:Class".
    None by default; to be the same for the query services, which import them."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lease_ttl_s) and self.lease_ttl_s > 0):
            raise InvalidInput(f"The lease's time to live must be positive, but it is {self.lease_ttl_s} seconds")
        if not (math.isfinite(self.drain_grace_s) and self.drain_grace_s >= 0):
            raise InvalidInput(f"The drain's grace must not be negative, but it is {self.drain_grace_s} seconds")
        check_policy_prefixes(self.policy_prefixes)

"""Settings of the query service."""

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
    """Where the configuration is, as redis://host:port/db."""

    address: str = "127.0.0.1:7000"
    """host:port to serve gRPC on; port 0 takes a free one."""

    metrics_address: str = "127.0.0.1:0"
    """host:port to serve Prometheus text on; port 0 takes a free one."""

    processes: int = 1
    """How many processes serve on the one address. Each has a cache and queues of its own, of the sizes below."""

    cache_size_bytes: int = 32 * 1024 * 1024
    """Capacity of the prediction cache, bookkeeping included; 0 turns it off."""

    queue_capacity: int = 100_000
    """Most inputs that may wait for one model version: what a query service can move in some seconds. Those who would
    wait longer are told at once."""

    max_inputs: int = 4_096
    """Most inputs of one request, and most items of feedback. More are refused before anything is made of them: they
    would have the one thread for themselves."""

    max_message_bytes: int = 64 * 1024 * 1024
    """Largest request. Envoy refuses larger REST bodies earlier."""

    awaited_predictions: int = 500_000
    """Most predictions of one application that wait for their feedback and are in its event log; the oldest make way.
    Each is some 70 bytes of Redis's memory and 200 of its append-only file, and more with long outputs."""

    lame_duck_s: float = 1.0
    """How long calls are still accepted after SIGTERM while health checks say NOT_SERVING, so that load balancers turn
    elsewhere before calls are refused. Several of their health check intervals."""

    drain_grace_s: float = 10.0
    """How long requests may take to finish after SIGTERM."""

    log_level: str = "INFO"
    """The least level that is logged."""

    policy_prefixes: tuple[str, ...] = ()
    """Modules and packages whose classes may be named as selection policies by their path, "package.module:Class".
    None by default, since a module that is imported may do anything; to be the same for the management service."""

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise InvalidInput(f"There must be one process or more, but CLIPPER_PROCESSES is {self.processes}")
        if self.max_inputs < 1:
            raise InvalidInput(f"A request must be allowed an input, but CLIPPER_MAX_INPUTS is {self.max_inputs}")
        if self.awaited_predictions < 1:
            raise InvalidInput(
                f"A prediction must be allowed to wait, but CLIPPER_AWAITED_PREDICTIONS is {self.awaited_predictions}"
            )
        check_policy_prefixes(self.policy_prefixes)

"""What one replica of a model may use of the engine's machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of one replica; None limits nothing and grants no GPU.

    Attributes:
        cpus: processors' worth of time, such as 1.5.
        memory_bytes: of everything it allocates, its temporary files included; a replica that wants more is killed.
        gpus: how many; -1: all of the machine's.
    """

    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None

    @classmethod
    def of(cls, host_config: Mapping[str, Any]) -> Self:
        """The limits of a container, from what the engine says of it."""
        requests = host_config.get("DeviceRequests") or []
        return cls(
            cpus=host_config["NanoCpus"] / _NANO if host_config["NanoCpus"] else None,
            memory_bytes=host_config["Memory"] or None,
            gpus=requests[0]["Count"] if requests else None,
        )

    def options(self) -> dict[str, Any]:
        """The limits as the Docker library takes them."""
        options: dict[str, Any] = {}
        if self.cpus is not None:
            options["nano_cpus"] = round(self.cpus * _NANO)
        if self.memory_bytes is not None:
            # Equal limits for memory alone and for memory with swap: none is swapped.
            options |= {"mem_limit": self.memory_bytes, "memswap_limit": self.memory_bytes}
        if self.gpus is not None:
            options["device_requests"] = [{"count": self.gpus, "capabilities": [["gpu"]]}]
        return options

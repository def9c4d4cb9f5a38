"""What the supervisor is told about a process: how to start it, when to call it ready, how to stop it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Self


class Tier(IntEnum):
    """The order of starting: a tier starts when those below that are awaited are ready, and stops before all below."""

    STORE = 0
    MANAGEMENT = 1
    REPLICA = 2
    QUERY = 3
    EDGE = 4

    @property
    def is_awaited(self) -> bool:
        """Whether the next tier waits for it: a model may take minutes to load, or fail, and the rest does without."""
        return self is not Tier.REPLICA


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process of a cluster.

    Attributes:
        name: unique in the cluster; names its log file.
        command: program and arguments.
        tier: when it starts and stops.
        environment: variables on top of the supervisor's own.
        ready_port: accepts connections on the loopback once the process is ready.
        stop_grace_s: from SIGTERM to SIGKILL.
        give_up_after: so many early deaths in a row, and it is not started again; None: never give up.
        model_id: "name:version" for a replica, "" for a service.
    """

    name: str
    command: tuple[str, ...]
    tier: Tier
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_port: int = 0
    stop_grace_s: float = 10.0
    give_up_after: int | None = None
    model_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """The specification as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The specification that `to_json` wrote."""
        return cls(**{**values, "command": tuple(values["command"]), "tier": Tier(values["tier"])})

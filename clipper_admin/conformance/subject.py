"""The container that is looked at, and what is known of it."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clipper_admin import direct
from clipper_admin.conformance.management import Management
from clipper_admin.conformance.probes import Probe, Reply
from clipper_admin.conformance.program import Program
from clipper_admin.conformance.stream import SERVICE, Ending, Stream
from clipper_admin.conformance.verdicts import Broken, NotLookedAt

SERVING = "SERVING"
MODEL_NAME, MODEL_VERSION = "checked", "1"
# So long that a container ends since its streams do.
LONG_GRACE_S = 60.0
_HEALTH_TIMEOUT_S = 1.0
_LOOKS_EVERY_S = 0.02
_TOLD_APART = 2
_Status = health_pb2.HealthCheckResponse.ServingStatus


@dataclass(frozen=True, slots=True)
class Started:
    """A container that the kit starts and ends, and whose lease it keeps."""

    program: Program
    management: Management


@dataclass(slots=True)
class Subject:
    """The container.

    Attributes:
        address: host:port where it serves.
        input_type: what its model takes.
        probes: what it is asked.
        patience_s: how long an answer may take.
        load_timeout_s: how long its model may load.
        ping_interval_s: how often a query service pings an idle stream.
        started: its process; None: somebody else's.
        is_steady: whether it answers the same input the same; None: that is not known.
        is_answering: whether it answered after the last check.
    """

    address: str
    input_type: str
    probes: Sequence[Probe]
    patience_s: float
    load_timeout_s: float
    ping_interval_s: float
    started: Started | None = None
    is_steady: bool | None = field(default=None, init=False)
    is_answering: bool = field(default=True, init=False)

    @property
    def good(self) -> list[Probe]:
        """What has an output when it is asked alone."""
        return [probe for probe in self.probes if probe.alone is not None and probe.alone.failure is None]

    @property
    def bad(self) -> list[Probe]:
        """What fails when it is asked alone."""
        return [probe for probe in self.probes if probe.alone is not None and probe.alone.failure is not None]

    @property
    def life(self) -> Started:
        """Its process, and the keeper of its lease.

        Raises:
            NotLookedAt: they are somebody else's.
        """
        if self.started is None:
            raise NotLookedAt("with --start COMMAND the container is started here, and this is looked at")
        return self.started

    def asked(self) -> Sequence[Probe]:
        """What it is asked where its answers have to be right; those of a model that is not steady are not compared.

        Raises:
            NotLookedAt: nobody knows what is right.
        """
        if self.is_steady is None:
            raise NotLookedAt("what the model answers to single inputs is not known")
        return self.good or self.probes

    def check_outputs(self) -> None:
        """Returns when two inputs are known that have different outputs, so that places and batches can be told apart.

        Raises:
            NotLookedAt: there are none.
        """
        if self.is_steady and len({probe.alone for probe in self.good}) < _TOLD_APART:
            raise NotLookedAt(
                "nothing is wrong that could be seen, but no two inputs are known for which the model has different "
                "outputs; --expect FILE with some helps"
            )

    def learn(self, replies: Sequence[Reply]) -> None:
        """Keeps what it says to each input alone."""
        self.is_steady = True
        self.probes = [
            dataclasses.replace(probe, alone=reply) for probe, reply in zip(self.probes, replies, strict=True)
        ]

    def stream(self, **options: Any) -> Stream:
        """A new stream to it."""
        return Stream(self.address, self.input_type, self.patience_s, **options)

    def health(self) -> str:
        """What it says of its health: SERVING, or something else."""
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        with direct.channel(self.address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(request, timeout=_HEALTH_TIMEOUT_S)  # type: ignore[attr-defined]
            except grpc.RpcError as error:
                return str(Ending(error.code(), error.details() or ""))
        return str(_Status.Name(answer.status))

    def is_serving(self) -> bool:
        """Whether it says that it serves."""
        return self.health() == SERVING

    def start(self, grace_s: float = LONG_GRACE_S) -> None:
        """Starts it, and returns as soon as it says that it serves.

        Args:
            grace_s: how long it may serve on after SIGTERM.

        Raises:
            Broken: it ends before, or does not serve in time.
            NotLookedAt: it is not started here.
        """
        life = self.life
        life.management.forget()
        life.program.start(CLIPPER_DRAIN_GRACE_S=f"{grace_s:g}")
        deadline_s = time.monotonic() + self.load_timeout_s
        while (health := self.health()) != SERVING:
            if life.program.ending:
                raise Broken(f"The container {life.program.ending} before it said that it serves")
            if time.monotonic() > deadline_s:
                raise Broken(
                    f"The container says {health} for '{SERVICE}', and not SERVING within {self.load_timeout_s:g} s"
                )
            time.sleep(_LOOKS_EVERY_S)

    def answers(self) -> bool:
        """Whether it answers a batch on a new stream, be the answer right or wrong."""
        try:
            with self.stream() as stream:
                stream.send(stream.batch(self.probes[:1]))
                return not isinstance(stream.next(), Ending)
        except Broken:
            return False

    def revive(self) -> None:
        """Has it serve, if it does no longer.

        Raises:
            NotLookedAt: it does not.
        """
        if self.answers():
            return
        if self.started is None:
            raise NotLookedAt("the container does not answer, and has to be started again")
        try:
            self.start()
        except Broken as broken:
            raise NotLookedAt(f"the container cannot be started again: {broken}") from None

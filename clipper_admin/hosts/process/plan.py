"""Which processes make up a cluster, with their commands and environments."""

import dataclasses
from pathlib import Path

from clipper_admin.cluster import plan
from clipper_admin.cluster.host import Artefact
from clipper_admin.hosts.process import executables
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.environments import services_python
from clipper_admin.hosts.process.images import Image
from clipper_admin.hosts.process.ports import LOOPBACK, address
from clipper_admin.hosts.process.process import ProcessSpec, Tier

# A replica that cannot even load its model is not started for ever.
_REPLICA_GIVES_UP_AFTER = 5
# Some time after services have drained.
_KILL_GRACE_S = 10.0


def redis(directory: ClusterDirectory, port: int) -> ProcessSpec:
    """Redis, with its data in the cluster's directory."""
    command = (executables.redis_server(), *plan.redis(port, str(directory.redis), bind=LOOPBACK))
    return ProcessSpec(name="redis", command=command, tier=Tier.STORE, ready_port=port)


def management(port: int, redis_port: int) -> ProcessSpec:
    """The management service."""
    return _service(
        name="management",
        module="services.management",
        tier=Tier.MANAGEMENT,
        port=port,
        environment=plan.management(address(redis_port), address(port)),
    )


def query(index: int, port: int, metrics_port: int, redis_port: int, cache_size_bytes: int) -> ProcessSpec:
    """One of the query services."""
    return _service(
        name=f"query-{index}",
        module="services.query",
        tier=Tier.QUERY,
        port=port,
        environment=plan.query(address(redis_port), address(port), address(metrics_port), cache_size_bytes),
    )


def envoy(configuration: Path, query_port: int) -> ProcessSpec:
    """Envoy; it is ready when it takes predictions."""
    command = (executables.envoy(), *plan.envoy(str(configuration)))
    return ProcessSpec(name="envoy", command=command, tier=Tier.EDGE, ready_port=query_port)


def replica(
    artefact: Artefact, *, index: int, load_timeout_s: float, image: Image, port: int, management: str
) -> ProcessSpec:
    """A model container.

    Args:
        artefact: what it runs.
        index: tells it from the version's other replicas on this machine.
        load_timeout_s: how long it may load its model.
        image: what it is started from.
        port: where it is to listen, also after a restart.
        management: host:port of the management service.
    """
    return ProcessSpec(
        name=f"{artefact.model_name}_{artefact.version}-{index}",
        model_id=artefact.model_id,
        command=image.command,
        tier=Tier.REPLICA,
        environment={
            **image.environment,
            **plan.replica(artefact, load_timeout_s, str(image.model), management, address(port)),
            **({plan.MODEL_PYTHON: image.model_python} if image.model_python else {}),
        },
        ready_port=port,
        stop_grace_s=_KILL_GRACE_S,
        give_up_after=_REPLICA_GIVES_UP_AFTER,
    )


def moved_replica(spec: ProcessSpec, port: int, management: str) -> ProcessSpec:
    """A replica of an earlier life, for a cluster in which it listens elsewhere, and management does."""
    moves = {plan.MANAGEMENT_ADDRESS: management, plan.ADDRESS: address(port)}
    return dataclasses.replace(spec, environment={**spec.environment, **moves}, ready_port=port)


def _service(*, name: str, module: str, tier: Tier, port: int, environment: dict[str, str]) -> ProcessSpec:
    # -P keeps the directory that the cluster is started from off the import path.
    return ProcessSpec(
        name=name,
        command=(services_python(), "-P", "-m", module),
        tier=tier,
        environment=environment,
        ready_port=port,
        stop_grace_s=_KILL_GRACE_S,
    )

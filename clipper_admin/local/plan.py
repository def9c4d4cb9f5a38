"""Which processes make up a cluster, with their commands and environments."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from clipper_admin.local import executables
from clipper_admin.local.directory import ClusterDirectory
from clipper_admin.local.environments import services_python
from clipper_admin.local.ports import LOOPBACK, address
from clipper_admin.local.specification import ProcessSpec, Tier

# A replica that cannot even load its model is not started for ever.
_REPLICA_GIVES_UP_AFTER = 5
# Services drain for as long as this at most, and are killed some time after.
_DRAIN_GRACE_S = 5.0
_KILL_GRACE_S = 10.0
# The transcoder gains nothing from a second worker as long as one query service is the narrower place (deploy/envoy).
_ENVOY_WORKERS = 1
_CACHE_SIZE = "CLIPPER_CACHE_SIZE_BYTES"


def redis(directory: ClusterDirectory, port: int) -> ProcessSpec:
    """The store; what it has acknowledged survives its own death, and the machine's."""
    options = {
        "--bind": LOOPBACK,
        "--port": str(port),
        "--dir": str(directory.redis),
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--save": "",
    }
    command = (executables.redis_server(), *(word for option in options.items() for word in option))
    return ProcessSpec(name="redis", command=command, tier=Tier.STORE, ready_port=port)


def management(port: int, redis_port: int) -> ProcessSpec:
    """The management service."""
    return _service(
        name="management",
        module="services.management",
        tier=Tier.MANAGEMENT,
        port=port,
        environment={"CLIPPER_REDIS_URL": _redis_url(redis_port), "CLIPPER_ADDRESS": address(port)},
    )


def query(index: int, port: int, metrics_port: int, redis_port: int, cache_size_bytes: int) -> ProcessSpec:
    """One of the query services."""
    return _service(
        name=f"query-{index}",
        module="services.query",
        tier=Tier.QUERY,
        port=port,
        environment={
            "CLIPPER_REDIS_URL": _redis_url(redis_port),
            "CLIPPER_ADDRESS": address(port),
            "CLIPPER_METRICS_ADDRESS": address(metrics_port),
            _CACHE_SIZE: str(cache_size_bytes),
        },
    )


def cache_size_bytes(specs: Iterable[ProcessSpec]) -> int:
    """The prediction cache of the first query service among these; 0 when there is none."""
    return next((int(spec.environment[_CACHE_SIZE]) for spec in specs if _CACHE_SIZE in spec.environment), 0)


def envoy(configuration: Path, query_port: int) -> ProcessSpec:
    """The edge."""
    options = {"-c": str(configuration), "--concurrency": str(_ENVOY_WORKERS), "-l": "warn"}
    command = (executables.envoy(), *(word for option in options.items() for word in option), "--disable-hot-restart")
    return ProcessSpec(name="envoy", command=command, tier=Tier.EDGE, ready_port=query_port)


def replica(
    *, model_name: str, version: str, index: int, input_type: str, model: Path, python: str, port: int, management: str
) -> ProcessSpec:
    """A model container.

    Args:
        model_name: the model's name.
        version: its version.
        index: tells it from the version's other replicas on this machine.
        input_type: what the model takes.
        model: the directory of the model's files.
        python: the interpreter that has the model's packages.
        port: where it is to listen, also after a restart.
        management: host:port of the management service.
    """
    return ProcessSpec(
        name=f"{model_name}_{version}-{index}",
        model_id=f"{model_name}:{version}",
        command=(python, "-P", "-m", "services.model_container"),
        tier=Tier.REPLICA,
        environment={
            "CLIPPER_MODEL_NAME": model_name,
            "CLIPPER_MODEL_VERSION": version,
            "CLIPPER_INPUT_TYPE": input_type,
            "CLIPPER_MODEL_PATH": str(model),
            "CLIPPER_MANAGEMENT_ADDRESS": management,
            "CLIPPER_ADDRESS": address(port),
            **_drain(),
        },
        ready_port=port,
        stop_grace_s=_KILL_GRACE_S,
        give_up_after=_REPLICA_GIVES_UP_AFTER,
    )


def moved_replica(spec: ProcessSpec, port: int, management: str) -> ProcessSpec:
    """A replica of an earlier life, for a cluster in which it listens elsewhere, and management does."""
    moves = {"CLIPPER_MANAGEMENT_ADDRESS": management, "CLIPPER_ADDRESS": address(port)}
    return dataclasses.replace(spec, environment={**spec.environment, **moves}, ready_port=port)


def _service(*, name: str, module: str, tier: Tier, port: int, environment: dict[str, str]) -> ProcessSpec:
    # -P keeps the directory that the cluster is started from off the import path.
    return ProcessSpec(
        name=name,
        command=(services_python(), "-P", "-m", module),
        tier=tier,
        environment={**environment, **_drain()},
        ready_port=port,
        stop_grace_s=_KILL_GRACE_S,
    )


def _drain() -> dict[str, str]:
    return {"CLIPPER_DRAIN_GRACE_S": str(_DRAIN_GRACE_S)}


def _redis_url(port: int) -> str:
    return f"redis://{address(port)}"

"""Which containers make up a cluster, with their images, commands and environments."""

import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipper_admin import edge
from clipper_admin.docker import labels
from clipper_admin.docker.labels import Role
from clipper_admin.docker.networks import Networks
from clipper_admin.docker.resources import Resources
from clipper_admin.docker.specification import DATA, HOME, ORDINARY_USER, ContainerSpec

# What listens where, inside of the containers.
_REDIS_PORT = 6379
_SERVICE_PORT = 7000
_METRICS_PORT = 7002
QUERY_PORT = 1337
MANAGEMENT_PORT = 1338
_ENVOY_ADMIN_PORT = 9901
PROMETHEUS_PORT = 9090

# Services and replicas drain for as long as this at most.
_DRAIN_GRACE_S = 5.0
# The transcoder gains nothing from a second worker as long as one query service is the narrower place (deploy/envoy).
_ENVOY_WORKERS = 1
_SCRAPE_INTERVAL = "5s"
_STORE = "CLIPPER_REDIS_URL"
_CACHE_SIZE = "CLIPPER_CACHE_SIZE_BYTES"


@dataclass(frozen=True, slots=True)
class Images:
    """What the services are started from."""

    query: str
    management: str
    redis: str
    envoy: str
    prometheus: str

    @classmethod
    def chosen(cls, query: str, management: str) -> "Images":
        """These two, and the others as REDIS_IMAGE, ENVOY_IMAGE and PROMETHEUS_IMAGE say."""
        return cls(
            query=query,
            management=management,
            redis=os.environ.get("REDIS_IMAGE") or "redis:7.2.5-bookworm",
            envoy=os.environ.get("ENVOY_IMAGE") or "envoyproxy/envoy:v1.40.0",
            prometheus=os.environ.get("PROMETHEUS_IMAGE") or "prom/prometheus:v2.53.1",
        )


def redis(image: str, networks: Networks) -> ContainerSpec:
    """The store; what it has acknowledged survives its own death, and the machine's."""
    number = _number()
    options = {
        "--port": str(_REDIS_PORT),
        "--dir": DATA,
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--save": "",
        # Its network is its protection; without a password Redis would otherwise serve its own machine only.
        "--protected-mode": "no",
    }
    return ContainerSpec(
        role=Role.REDIS,
        name=f"redis-{number}",
        host=f"redis-{number}",
        image=image,
        networks=(networks.store,),
        entrypoint=("redis-server",),
        command=tuple(word for option in options.items() for word in option),
        keeps_data=True,
        user=ORDINARY_USER,
    )


def redis_url(store: ContainerSpec) -> str:
    """Where services find the store."""
    return f"redis://{store.host}:{_REDIS_PORT}"


def management(image: str, networks: Sequence[str], redis_address: str) -> ContainerSpec:
    """The management service."""
    number = _number()
    host = f"management-{number}"
    return ContainerSpec(
        role=Role.MANAGEMENT,
        name=f"mgmt_frontend-{number}",
        host=host,
        image=image,
        networks=tuple(networks),
        labels={labels.MANAGEMENT_FRONTEND: "", labels.MANAGEMENT_ADDRESS: f"{host}:{_SERVICE_PORT}"},
        environment={_STORE: redis_address, **_serving()},
    )


def query(image: str, networks: Sequence[str], redis_address: str, cache_size_bytes: int) -> ContainerSpec:
    """One of the query services."""
    number = _number()
    return ContainerSpec(
        role=Role.QUERY,
        name=f"query_frontend-{number}",
        host=f"query-{number}",
        image=image,
        networks=tuple(networks),
        labels={labels.QUERY_FRONTEND: ""},
        environment={
            _STORE: redis_address,
            "CLIPPER_METRICS_ADDRESS": f"0.0.0.0:{_METRICS_PORT}",
            _CACHE_SIZE: str(cache_size_bytes),
            **_serving(),
        },
    )


def query_options(variables: Mapping[str, str]) -> dict[str, object]:
    """The cache and the store of a query service with this environment, by the names of start_clipper's arguments."""
    return {
        "cache_size": int(variables.get(_CACHE_SIZE) or 0),
        "redis_ip:redis_port": variables.get(_STORE, "").removeprefix("redis://"),
    }


def envoy(
    image: str,
    networks: Networks,
    *,
    query_port: int,
    management_port: int,
    query_services: Sequence[ContainerSpec],
    management_service: ContainerSpec,
) -> ContainerSpec:
    """The edge, the only one that serves the outside."""
    number = _number()
    configuration = edge.configuration(
        listen_address="0.0.0.0",  # noqa: S104 - of the container; what is published is another matter
        query_port=QUERY_PORT,
        admin_port=MANAGEMENT_PORT,
        envoy_admin_port=_ENVOY_ADMIN_PORT,
        descriptor=f"{HOME}/clipper.binpb",
        query_services=[f"{service.host}:{_SERVICE_PORT}" for service in query_services],
        management_service=f"{management_service.host}:{_SERVICE_PORT}",
    )
    options = {"-c": f"{HOME}/envoy.yaml", "--concurrency": str(_ENVOY_WORKERS), "-l": "warn"}
    return ContainerSpec(
        role=Role.ENVOY,
        name=f"envoy-{number}",
        host=f"envoy-{number}",
        image=image,
        networks=(networks.shared,),
        labels={labels.QUERY_PORT: str(query_port), labels.MANAGEMENT_PORT: str(management_port)},
        entrypoint=("envoy",),
        command=(*(word for option in options.items() for word in option), "--disable-hot-restart"),
        ports={QUERY_PORT: query_port, MANAGEMENT_PORT: management_port},
        files={"envoy.yaml": configuration.encode(), "clipper.binpb": edge.descriptor_set()},
        user=ORDINARY_USER,
    )


def prometheus(image: str, networks: Networks, port: int, query_services: Sequence[ContainerSpec]) -> ContainerSpec:
    """Collects the metrics of all query services."""
    number = _number()
    targets = [f"{service.host}:{_METRICS_PORT}" for service in query_services]
    configuration = {
        "global": {"scrape_interval": _SCRAPE_INTERVAL, "evaluation_interval": _SCRAPE_INTERVAL},
        "scrape_configs": [{"job_name": "query", "static_configs": [{"targets": targets}]}],
    }
    return ContainerSpec(
        role=Role.PROMETHEUS,
        name=f"metric_frontend-{number}",
        host=f"prometheus-{number}",
        image=image,
        networks=(networks.shared,),
        labels={labels.METRIC_PORT: str(port)},
        entrypoint=("prometheus",),
        command=(f"--config.file={HOME}/prometheus.yml", f"--storage.tsdb.path={DATA}"),
        ports={PROMETHEUS_PORT: port},
        # What is JSON is YAML too.
        files={"prometheus.yml": json.dumps(configuration).encode()},
        keeps_data=True,
        user=ORDINARY_USER,
    )


def replica(
    *,
    model_name: str,
    version: str,
    input_type: str,
    image: str,
    user: int | None,
    network: str,
    management_address: str,
    resources: Resources,
) -> ContainerSpec:
    """A model container.

    Args:
        model_name: the model's name.
        version: its version.
        input_type: what the model takes.
        image: what build_model made, or any that keeps the model container's contract.
        user: the number of the user that it runs as; None: the image's.
        network: the name of the network on which management and the query services are.
        management_address: host:port of management on it.
        resources: what it may use.
    """
    number = _number()
    host = f"replica-{number}"
    return ContainerSpec(
        role=Role.REPLICA,
        name=f"{model_name}_{version}-{number}",
        host=host,
        image=image,
        networks=(network,),
        labels={labels.MODEL: labels.model_label(model_name, version)},
        environment={
            "CLIPPER_MODEL_NAME": model_name,
            "CLIPPER_MODEL_VERSION": version,
            "CLIPPER_INPUT_TYPE": input_type,
            "CLIPPER_MODEL_PATH": "/model",
            "CLIPPER_MANAGEMENT_ADDRESS": management_address,
            "CLIPPER_ADVERTISED_HOST": host,
            # Libraries that keep a cache at home find a place that can be written.
            "HOME": "/tmp",  # noqa: S108 - the container's own
            **_serving(),
        },
        user=user,
        resources=resources,
    )


def replica_address(host: str) -> str:
    """The address, host:port, under which the replica of this host name reports itself."""
    return f"{host}:{_SERVICE_PORT}"


def _serving() -> dict[str, str]:
    return {"CLIPPER_ADDRESS": f"0.0.0.0:{_SERVICE_PORT}", "CLIPPER_DRAIN_GRACE_S": str(_DRAIN_GRACE_S)}


def _number() -> int:
    """Tells a container from all others of its kind on the engine."""
    return random.SystemRandom().randrange(10**8)

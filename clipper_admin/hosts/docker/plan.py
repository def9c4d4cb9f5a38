"""Which containers make up a cluster, with their images, commands and environments."""

import dataclasses
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass

from clipper_admin import edge
from clipper_admin.cluster import plan
from clipper_admin.cluster.check import MODULE
from clipper_admin.cluster.host import Artefact
from clipper_admin.hosts.docker import labels
from clipper_admin.hosts.docker.labels import Role
from clipper_admin.hosts.docker.networks import Networks
from clipper_admin.hosts.docker.resources import Resources
from clipper_admin.hosts.docker.specification import DATA, HOME, ORDINARY_USER, ContainerSpec

# What listens where, inside of the containers.
_REDIS_PORT = 6379
_SERVICE_PORT = 7000
_METRICS_PORT = 7002
QUERY_PORT = 1337
MANAGEMENT_PORT = 1338
_ENVOY_ADMIN_PORT = 9901
PROMETHEUS_PORT = 9090

_SCRAPE_INTERVAL = "5s"
_MODEL = "/model"
_SERVES_AT = f"0.0.0.0:{_SERVICE_PORT}"


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
    """The store."""
    number = _number()
    return ContainerSpec(
        role=Role.REDIS,
        name=f"redis-{number}",
        host=f"redis-{number}",
        image=image,
        networks=(networks.store,),
        entrypoint=("redis-server",),
        # Its network is its protection; without a password Redis would otherwise serve its own machine only.
        command=plan.redis(_REDIS_PORT, DATA, protected_mode="no"),
        keeps_data=True,
        user=ORDINARY_USER,
    )


def store_address(store: ContainerSpec) -> str:
    """Where services find the store, host:port."""
    return f"{store.host}:{_REDIS_PORT}"


def management(image: str, networks: Sequence[str], store: str) -> ContainerSpec:
    """The management service, for the store at host:port."""
    number = _number()
    host = f"management-{number}"
    return ContainerSpec(
        role=Role.MANAGEMENT,
        name=f"mgmt_frontend-{number}",
        host=host,
        image=image,
        networks=tuple(networks),
        labels={labels.MANAGEMENT_FRONTEND: "", labels.MANAGEMENT_ADDRESS: service_address(host)},
        environment=plan.management(store, _SERVES_AT),
    )


def query(image: str, networks: Sequence[str], store: str, cache_size_bytes: int) -> ContainerSpec:
    """One of the query services, for the store at host:port."""
    number = _number()
    return ContainerSpec(
        role=Role.QUERY,
        name=f"query_frontend-{number}",
        host=f"query-{number}",
        image=image,
        networks=tuple(networks),
        labels={labels.QUERY_FRONTEND: ""},
        environment=plan.query(store, _SERVES_AT, f"0.0.0.0:{_METRICS_PORT}", cache_size_bytes),
    )


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
        query_services=[service_address(service.host) for service in query_services],
        management_service=service_address(management_service.host),
        settings=edge.EdgeSettings.from_environment().placeholders,
    )
    return ContainerSpec(
        role=Role.ENVOY,
        name=f"envoy-{number}",
        host=f"envoy-{number}",
        image=image,
        networks=(networks.shared,),
        labels={labels.QUERY_PORT: str(query_port), labels.MANAGEMENT_PORT: str(management_port)},
        entrypoint=("envoy",),
        command=plan.envoy(f"{HOME}/envoy.yaml"),
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
    artefact: Artefact, *, user: int | None, network: str, management_address: str, resources: Resources
) -> ContainerSpec:
    """A model container.

    Args:
        artefact: what it runs; an image that build_model made, or any that keeps the model container's contract.
        user: the number of the user that it runs as; None: the image's.
        network: the name of the network on which management and the query services are.
        management_address: host:port of management on it.
        resources: what it may use.
    """
    number = _number()
    host = f"replica-{number}"
    name, version = artefact.model_name, artefact.version
    return ContainerSpec(
        role=Role.REPLICA,
        name=f"{name}_{version}-{number}",
        host=host,
        image=artefact.image,
        networks=(network,),
        labels={labels.MODEL: labels.model_label(artefact.model_id)},
        environment={
            **plan.replica(name, version, artefact.input_type, _MODEL, management_address, _SERVES_AT),
            "CLIPPER_ADVERTISED_HOST": host,
            # Libraries that keep a cache at home find a place that can be written.
            "HOME": "/tmp",  # noqa: S108 - the container's own
        },
        user=user,
        resources=resources,
    )


def check(replica: ContainerSpec) -> ContainerSpec:
    """What looks at the model of a replica before there is any."""
    # The one that the model runs with, which the image names where it is not the container's.
    command = ("sh", "-c", f'exec "${{{plan.MODEL_PYTHON}:-python}}" -P -m {MODULE}')
    return dataclasses.replace(replica, name=f"{replica.name}-check", command=command, attended=True)


def service_address(host: str) -> str:
    """Where the service or the replica of this host name is found, host:port."""
    return f"{host}:{_SERVICE_PORT}"


def _number() -> int:
    """Tells a container from all others of its kind on the engine."""
    return random.SystemRandom().randrange(10**8)

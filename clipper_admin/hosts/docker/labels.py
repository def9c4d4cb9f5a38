"""The labels by which a cluster's containers are found again, under Clipper's published names where it had any."""

from enum import StrEnum

CLUSTER = "ai.clipper.container.label"
# Of a replica: "name_version".
MODEL = "ai.clipper.model_container.label"
QUERY_FRONTEND = "ai.clipper.query_frontend.label"
MANAGEMENT_FRONTEND = "ai.clipper.management_frontend.label"
# Of whoever publishes it: the port on the engine's machine.
QUERY_PORT = "ai.clipper.query_frontend.query.port"
MANAGEMENT_PORT = "ai.clipper.management.port"
METRIC_PORT = "ai.clipper.metric.port"

ROLE = "ai.clipper.role"
# Of management: host:port at which replicas reach it.
MANAGEMENT_ADDRESS = "ai.clipper.management.address"
# Of a network that any cluster may have made, and the last one removes.
SHARED_NETWORK = "ai.clipper.network.shared"
# Of a network of a cluster whose services somebody else runs: replicas are to join this one.
REPLICAS_NETWORK = "ai.clipper.replicas.network"
# Of a volume that is a right which one program has at a time: who has it, in words and as a process.
CLAIMANT = "ai.clipper.claimant"
CLAIMING_PROCESS = "ai.clipper.claimant.process"
# Of an image that models' are based on: where in it the pins stand that the container is made of.
CONSTRAINTS = "ai.clipper.model_container.constraints"
# Docker Compose's own, of what it runs and alone should stop.
COMPOSE_PROJECT = "com.docker.compose.project"


class Role(StrEnum):
    """What a container is for, in the order of stopping: nobody is stopped while somebody still needs it."""

    ENVOY = "envoy"
    PROMETHEUS = "prometheus"
    QUERY = "query"
    REPLICA = "replica"
    MANAGEMENT = "management"
    REDIS = "redis"


def model_label(model_id: str) -> str:
    """The value of MODEL for a "name:version"."""
    return model_id.replace(":", "_")

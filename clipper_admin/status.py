"""How a cluster stands, as text for a person at a shell: where it listens, what runs, and what is registered."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from clipper_admin.connection import ClipperConnection
from clipper_admin.container_manager import Component
from clipper_admin.naming import NO_CONTAINER, model_id

_RUNNING = "running"


def lines(connection: ClipperConnection) -> Iterator[str]:
    """The text, line by line; what runs comes first, because it can be told while nothing answers.

    Args:
        connection: to the cluster.

    Raises:
        ClipperException: the cluster refused.
        requests.RequestException: it did not answer.
    """
    components = connection.cm.get_components()
    yield f"Cluster {connection.cm.cluster_identifier}"
    yield from _table(_addresses(connection), indent="  ")
    yield ""
    yield from _table([("SERVICE", "STATE"), *((each.name, each.state) for each in components if not each.model_id)])
    yield ""
    yield from _table([("APPLICATION", "INPUT", "OBJECTIVE", "MODELS"), *_applications(connection)])
    yield ""
    yield from _table([("MODEL", "CURRENT", "INPUT", "REPLICAS"), *_models(connection, components)])


def _addresses(connection: ClipperConnection) -> Iterator[tuple[str, str]]:
    yield "predictions", connection.get_query_addr()
    yield "administration", connection.cm.get_admin_addr()
    yield "metrics", connection.get_metric_addr()


def _applications(connection: ClipperConnection) -> Iterator[tuple[str, ...]]:
    for application in connection.get_all_apps(verbose=True):
        objective = f"{application['latency_slo_micros'] / 1_000:g} ms"
        models = ", ".join(application["linked_models"]) or "none"
        yield application["name"], application["input_type"], objective, models


def _models(connection: ClipperConnection, components: Sequence[Component]) -> Iterator[tuple[str, ...]]:
    leases = Counter(replica["model_id"] for replica in connection.get_all_model_replicas(verbose=True))
    for version in connection.get_all_models(verbose=True):
        label = model_id(version["model_name"], version["model_version"])
        current = "yes" if version["is_current_version"] else "no"
        yield label, current, version["input_type"], _replicas(version, leases[label], components)


def _replicas(version: Mapping[str, Any], leases: int, components: Sequence[Component]) -> str:
    """How many are alive of those that were asked for, and what has become of the others."""
    if version["container_name"] == NO_CONTAINER:
        return f"{leases} alive, not the cluster's own"
    label = model_id(version["model_name"], version["model_version"])
    asked = [component for component in components if component.model_id == label]
    dead = [f"{component.name} {component.state}" for component in asked if component.state != _RUNNING]
    # The lease of one that has just died lapses later than its process.
    alive = min(leases, len(asked) - len(dead))
    return ", ".join([f"{alive}/{len(asked)} alive", *dead])


def _table(rows: Iterable[tuple[str, ...]], indent: str = "") -> Iterator[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()

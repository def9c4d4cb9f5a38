"""What a cluster looks like at the begin of a life."""

from dataclasses import replace
from pathlib import Path

import pytest

from clipper_admin.cluster.host import Artefact
from clipper_admin.hosts.process import plan, ports
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.images import Image
from clipper_admin.hosts.process.layout import ClusterOptions, lay_out
from clipper_admin.hosts.process.process import ProcessSpec

OPTIONS = ClusterOptions(query_port=0, admin_port=0, metrics_port=0, query_services=2, cache_size_bytes=1000)


@pytest.fixture
def directory(tmp_path: Path) -> ClusterDirectory:
    """An empty directory of a cluster."""
    directory = ClusterDirectory(tmp_path)
    directory.prepare()
    return directory


def replica(port: int) -> ProcessSpec:
    return plan.replica(
        Artefact("sums", "1", "doubles", "image"),
        index=port,
        load_timeout_s=300.0,
        image=Image(Path("model"), ("python",), "", {"OWN": "1"}),
        port=port,
        management="127.0.0.1:1",
    )


def test_replicas_of_the_last_life_are_planned_as_they_were_but_for_where_they_and_management_are(
    directory: ClusterDirectory,
) -> None:
    state = lay_out(directory, OPTIONS, [replica(11_000), replica(11_001)])

    for last, spec in zip((replica(11_000), replica(11_001)), state.replicas(), strict=True):
        assert spec.environment["CLIPPER_ADDRESS"] == ports.address(spec.ready_port)
        assert spec.environment["CLIPPER_MANAGEMENT_ADDRESS"] == state.addresses.management_service
        moved = {name: last.environment[name] for name in ("CLIPPER_ADDRESS", "CLIPPER_MANAGEMENT_ADDRESS")}
        assert replace(spec, ready_port=last.ready_port, environment={**spec.environment, **moved}) == last


def test_no_port_is_given_twice_or_to_another_than_the_last_life_did(
    directory: ClusterDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few candidates, so that chance cannot hide a collision.
    [wanted, *few] = ports.free_ports(21)
    monkeypatch.setattr(ports, "_candidates", lambda: [wanted, *few])
    replicas = [replica(port) for port in few[:5]]

    state = lay_out(directory, replace(OPTIONS, query_port=wanted), replicas)

    taken = [record.spec.ready_port for record in state.processes]
    taken += [ports.port_of(address) for address in state.addresses.metrics]
    assert len(taken) == len(set(taken))
    assert not set(taken) & set(few[:5])
    assert state.addresses.query == ports.address(wanted)
    assert taken.count(wanted) == 1

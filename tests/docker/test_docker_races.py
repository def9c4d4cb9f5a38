"""Programs that deploy the same version of a model at once, on a Docker engine: one wins, and the others are told."""

import itertools
from collections.abc import Iterator

import docker
import pytest

from clipper_admin import ClipperConnection
from tests.fixtures import deployment_races
from tests.fixtures.deployment_races import SLO_MICROS, Race
from tests.fixtures.docker_clusters import NETWORK, manager

COUNTER = itertools.count()
CONNECTING = (
    "from clipper_admin import ClipperConnection, DockerContainerManager\n"
    "connection = ClipperConnection(DockerContainerManager({!r}, docker_network={!r}))\n"
    "connection.connect()"
)


def connect() -> ClipperConnection:
    """One more program's connection."""
    connection = ClipperConnection(manager("shared"))
    connection.connect()
    return connection


@pytest.fixture
def race(engine: docker.DockerClient, docker_cluster: ClipperConnection) -> Iterator[Race]:
    """An application whose model is deployed by a test; afterwards there is neither."""
    name, connecting = f"raced-{next(COUNTER)}", CONNECTING.format(docker_cluster.cm.cluster_identifier, NETWORK)
    [network] = engine.networks.list(names=[f"^{NETWORK}$"])
    docker_cluster.register_application(name, "doubles", "none", SLO_MICROS)
    yield Race(connect, connecting, network.attrs["IPAM"]["Config"][0]["Gateway"], name)
    docker_cluster.stop_models([name])
    docker_cluster.unregister_application(name)


def test_of_programs_that_deploy_a_version_at_once_one_wins_and_the_others_are_told(race: Race) -> None:
    deployment_races.one_wins_of_programs_that_deploy_at_once(race)


def test_a_program_that_deploys_while_anothers_model_loads_takes_nothing_from_it(race: Race) -> None:
    deployment_races.one_wins_where_another_comes_while_its_model_loads(race)


@pytest.mark.parametrize("input_type", ["doubles", "strings"])
def test_what_a_program_left_that_was_killed_while_its_model_loaded_serves_nobody(race: Race, input_type: str) -> None:
    deployment_races.the_living_wins_over_one_that_was_killed_while_its_model_loaded(race, input_type)


@pytest.mark.parametrize("input_type", ["doubles", "strings"])
def test_a_replica_of_another_image_or_input_type_is_not_taken_for_ones_own(race: Race, input_type: str) -> None:
    deployment_races.what_another_has_started_under_a_version_is_not_taken_for_ones_own(race, input_type)


def test_what_a_program_has_built_is_deployed_and_added_to_whoever_builds_the_version_again(race: Race) -> None:
    deployment_races.what_a_program_has_built_is_deployed_and_added_to_whoever_builds_the_version_again(race)


def test_a_replica_of_ones_own_image_is_taken_over_once_it_serves(race: Race) -> None:
    deployment_races.a_replica_of_ones_own_image_is_taken_over_once_it_serves(race)


def test_a_deployment_whose_replicas_another_program_stops_says_so(race: Race) -> None:
    deployment_races.a_deployment_whose_replicas_are_stopped_says_so(race)

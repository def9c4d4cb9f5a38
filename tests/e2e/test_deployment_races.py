"""Programs that deploy the same version at once: one wins and serves its own code, and the others are told."""

import itertools
from collections.abc import Iterator

import pytest

from clipper_admin import ClipperConnection
from tests.e2e.conftest import free_ports_manager
from tests.fixtures import deployment_races
from tests.fixtures.deployment_races import SLO_MICROS, Race

COUNTER = itertools.count()
CONNECTING = (
    "from clipper_admin import ClipperConnection, ProcessContainerManager\n"
    "connection = ClipperConnection(ProcessContainerManager({!r}))\n"
    "connection.connect()"
)


def connect(cluster_name: str) -> ClipperConnection:
    """One more program's connection."""
    connection = ClipperConnection(free_ports_manager(cluster_name))
    connection.connect()
    return connection


@pytest.fixture
def race(cluster: ClipperConnection) -> Iterator[Race]:
    """An application whose model is deployed by a test; afterwards there is neither."""
    name, cluster_name = f"raced-{next(COUNTER)}", cluster.cm.cluster_identifier
    cluster.register_application(name, "doubles", "none", SLO_MICROS)
    yield Race(lambda: connect(cluster_name), CONNECTING.format(cluster_name), "127.0.0.1", name)
    cluster.stop_models([name])
    cluster.unregister_application(name)


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

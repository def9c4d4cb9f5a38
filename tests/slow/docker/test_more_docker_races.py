"""Programs that deploy the same version of a model, one while the model of another loads, on a Docker engine."""

import pytest

from tests.fixtures import deployment_races
from tests.fixtures.deployment_races import Race
from tests.fixtures.docker_races import race

__all__ = ["race"]


def test_a_program_that_deploys_while_anothers_model_loads_takes_nothing_from_it(race: Race) -> None:
    deployment_races.one_wins_where_another_comes_while_its_model_loads(race)


def test_what_a_program_left_that_was_killed_while_its_model_loaded_serves_nobody(race: Race) -> None:
    deployment_races.the_living_wins_over_one_that_was_killed_while_its_model_loaded(race, "doubles")


@pytest.mark.parametrize("input_type", ["doubles", "strings"])
def test_a_replica_of_another_image_or_input_type_is_not_taken_for_ones_own(race: Race, input_type: str) -> None:
    deployment_races.what_another_has_started_under_a_version_is_not_taken_for_ones_own(race, input_type)


def test_a_replica_of_ones_own_image_is_taken_over_once_it_serves(race: Race) -> None:
    deployment_races.a_replica_of_ones_own_image_is_taken_over_once_it_serves(race)


def test_a_deployment_whose_replicas_another_program_stops_says_so(race: Race) -> None:
    deployment_races.a_deployment_whose_replicas_are_stopped_says_so(race)

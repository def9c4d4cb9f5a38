"""Programs that deploy the same version of a model at once, on a Docker engine: one wins, and the others are told.

What follows from what all hosts share is tested on processes (tests/e2e) and, on Docker, in tests/slow.
"""

from tests.fixtures import deployment_races
from tests.fixtures.deployment_races import Race
from tests.fixtures.docker_races import race

__all__ = ["race"]


def test_of_programs_that_deploy_a_version_at_once_one_wins_and_the_others_are_told(race: Race) -> None:
    deployment_races.one_wins_of_programs_that_deploy_at_once(race)


def test_what_a_program_left_that_was_killed_while_its_model_loaded_serves_nobody(race: Race) -> None:
    deployment_races.the_living_wins_over_one_that_was_killed_while_its_model_loaded(race, "strings")


def test_what_a_program_has_built_is_deployed_and_added_to_whoever_builds_the_version_again(race: Race) -> None:
    deployment_races.what_a_program_has_built_is_deployed_and_added_to_whoever_builds_the_version_again(race)

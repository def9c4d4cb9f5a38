"""What changes under a running client, versions, links and replicas, without one failed or default answer."""

import time
from collections.abc import Iterable, Iterator

import pytest

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import Answer
from tests.fixtures.functions import telling
from tests.fixtures.load import Load, answered_between, asked_between, defaults, errors, ids_are_unique
from tests.fixtures.waiting import wait_until

# Generous, since what a change costs is to be seen here and not what a busy machine does.
SLO_MICROS = 5_000_000


@pytest.fixture
def rollout(cluster: ClipperConnection, request: pytest.FixtureRequest) -> Iterator[str]:
    """An application and its model of the same name, version 1, for one test."""
    name = request.node.name.replace("_", "-")
    python_deployer.create_endpoint(
        cluster, name, "doubles", telling("1"), default_output="no prediction", slo_micros=SLO_MICROS, check=False
    )
    yield name
    cluster.stop_models([name])


def deploy(cluster: ClipperConnection, name: str, version: str) -> None:
    python_deployer.deploy_python_closure(cluster, name, version, "doubles", telling(version), check=False)


def said(answers: Iterable[Answer]) -> set[str]:
    return {answer.output["says"] if answer.is_prediction else str(answer) for answer in answers}


def pids(answers: Iterable[Answer]) -> set[int]:
    return {answer.output["pid"] for answer in answers}


def assert_all_predicted(answers: list[Answer]) -> None:
    assert errors(answers) == []
    assert defaults(answers) == []
    assert ids_are_unique(answers)


def test_versions_take_over_and_back_cleanly(cluster: ClipperConnection, rollout: str) -> None:
    def settled(load: Load) -> list[Answer]:
        """Waits for answers to what is asked from now on."""
        changed_s = time.monotonic()
        load.wait_for_more(asked_after_s=changed_s)
        return asked_between(load.answers, changed_s)

    with Load(cluster.get_query_addr(), rollout) as load:
        assert said(load.answers) == {"1"}
        deploy(cluster, rollout, "2")
        assert said(settled(load)) == {"2"}
        for version in ("1", "2", "1"):
            cluster.set_model_version(rollout, version)
            assert said(settled(load)) == {version}

    assert_all_predicted(load.answers)


def test_old_versions_can_be_stopped_while_the_new_one_serves(cluster: ClipperConnection, rollout: str) -> None:
    with Load(cluster.get_query_addr(), rollout) as load:
        deploy(cluster, rollout, "2")
        cluster.stop_inactive_model_versions([rollout])
        load.wait_for_more()

    assert_all_predicted(load.answers)
    assert cluster.get_all_models().count(f"{rollout}:1") == 0
    assert said(load.answers[-10:]) == {"2"}


def test_a_new_version_serves_all_applications_of_the_model(cluster: ClipperConnection, rollout: str) -> None:
    other = f"{rollout}-too"
    cluster.register_application(other, "doubles", "nothing", 2 * SLO_MICROS)
    cluster.link_model_to_app(other, rollout)
    address = cluster.get_query_addr()

    with Load(address, rollout) as one, Load(address, other) as two:
        deploy(cluster, rollout, "2")
        changed_s = time.monotonic()
        for load in (one, two):
            load.wait_for_more(asked_after_s=changed_s)

    assert_all_predicted(one.answers + two.answers)
    for load in (one, two):
        assert said(load.answers) == {"1", "2"}
        assert said(asked_between(load.answers, changed_s)) == {"2"}


def test_a_third_application_is_linked_and_unlinked_and_the_others_notice_nothing(
    cluster: ClipperConnection, rollout: str
) -> None:
    other = f"{rollout}-too"
    cluster.register_application(other, "doubles", "unlinked", SLO_MICROS)
    address = cluster.get_query_addr()

    with Load(address, rollout) as steady, Load(address, other) as changing:
        cluster.link_model_to_app(other, rollout)
        linked_s = time.monotonic()
        changing.wait_for_more(asked_after_s=linked_s)
        unlinking_s = time.monotonic()
        cluster.unlink_model_from_app(other, rollout)
        unlinked_s = time.monotonic()
        changing.wait_for_more(asked_after_s=unlinked_s)

    assert_all_predicted(steady.answers)
    assert errors(changing.answers) == []
    assert ids_are_unique(changing.answers + steady.answers)
    assert defaults(answered_between(changing.answers, linked_s, unlinking_s)) == []
    afterwards = asked_between(changing.answers, unlinked_s)
    assert {(answer.output, answer.explanation) for answer in afterwards} == {
        ("unlinked", "No connected models found for query")
    }


def test_replicas_come_and_go_unnoticed(cluster: ClipperConnection, rollout: str) -> None:
    with Load(cluster.get_query_addr(), rollout, interval_s=0.002) as load:
        cluster.set_num_replicas(rollout, 3)
        wait_until(lambda: len(pids(load.answers)) == 3)
        cluster.set_num_replicas(rollout, 1)
        scaled_down_s = time.monotonic()
        load.wait_for_more()

    assert_all_predicted(load.answers)
    assert len(pids(asked_between(load.answers, scaled_down_s))) == 1
    assert cluster.get_num_replicas(rollout) == 1

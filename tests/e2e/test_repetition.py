"""What is registered or deployed a second time is refused, and the refusal says what to do: what it says works."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import pytest

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import RestClient
from tests.fixtures.functions import feature_sum

COUNTER = itertools.count()
OPTIONS = {"slo_micros": 5_000_000, "selection_policy": "exp3", "policy_parameters": {"eta": 0.5}}


@pytest.fixture
def name(cluster: ClipperConnection) -> Iterator[str]:
    """A name that no other test uses, of an application and a model; afterwards there is neither."""
    name = f"again-{next(COUNTER)}"
    yield name
    cluster.stop_models([name])
    if name in cluster.get_all_apps():
        cluster.unregister_application(name)


@pytest.fixture
def endpoint(cluster: ClipperConnection, name: str) -> str:
    """The name, with a model behind it that sums."""
    python_deployer.create_endpoint(cluster, name, "doubles", feature_sum, slo_micros=5_000_000, check=False)
    return name


def count(inputs: Iterable[Iterable[float]]) -> list[str]:
    return [str(len(list(vector))) for vector in inputs]


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(ClipperException) as refused:
        action()
    return refused.value.msg


def output(cluster: ClipperConnection, application: str) -> object:
    with RestClient(cluster.get_query_addr(), application) as client:
        return client.ask([1.5, 2.0]).output


def test_an_application_that_is_just_like_the_registered_one_can_be_left(cluster: ClipperConnection, name: str) -> None:
    cluster.register_application(name, "ints", "0", **OPTIONS)  # type: ignore[arg-type]

    message = refusal(lambda: cluster.register_application(name, "ints", "0", **OPTIONS))  # type: ignore[arg-type]

    assert message.endswith("It is registered just like this, so go on without this call, or give exist_ok=True")
    assert f"application '{name}' already exists" in message


def test_an_application_that_differs_is_registered_again_after_it_was_unregistered(
    cluster: ClipperConnection, name: str
) -> None:
    cluster.register_application(name, "doubles", "0", 5_000_000)

    message = refusal(lambda: cluster.register_application(name, "doubles", "-1", 100_000, priority="high"))

    assert (
        "It is registered with default_output '0' instead of '-1', slo_micros 5000000 instead of 100000, priority "
        f"'normal' instead of 'high'. To change that, call unregister_application('{name}')"
    ) in message
    cluster.unregister_application(name)
    cluster.register_application(name, "doubles", "-1", 100_000, priority="high")


def test_an_application_that_is_refused_for_another_reason_is_told_that_alone(
    cluster: ClipperConnection, name: str
) -> None:
    cluster.register_application(name, "doubles", "0", 5_000_000)

    message = refusal(lambda: cluster.register_application(name, "doubles", "0", 5_000_000, priority="urgent"))

    assert "urgent" in message
    assert "registered" not in message


def test_a_version_with_the_same_options_can_be_left_or_followed_by_the_next(
    cluster: ClipperConnection, endpoint: str
) -> None:
    message = refusal(lambda: python_deployer.deploy_python_closure(cluster, endpoint, 1, "double", count))

    assert message.startswith(
        f"model with name '{endpoint}' and version '1' already exists. It is registered with the "
    )
    assert "If the model itself has not changed either, go on without this call, or give exist_ok=True" in message
    assert "What has changed is deployed as another version, such as '2' (version=None takes the next)" in message
    python_deployer.deploy_python_closure(cluster, endpoint, 2, "doubles", count, check=False)
    assert output(cluster, endpoint) == 2


def test_a_version_that_differs_is_deployed_again_after_it_was_stopped(
    cluster: ClipperConnection, endpoint: str
) -> None:
    def deploy() -> None:
        python_deployer.deploy_python_closure(
            cluster, endpoint, 1, "doubles", count, labels=["count"], batching_policy="aimd", check=False
        )

    message = refusal(deploy)

    assert "labels [] instead of ['count'], batching_policy '' instead of 'aimd'." in message
    assert "go on" not in message
    assert f"stop_versioned_models({{'{endpoint}': ['1']}})" in message
    cluster.stop_versioned_models({endpoint: ["1"]})
    deploy()
    cluster.link_model_to_app(endpoint, endpoint)
    assert output(cluster, endpoint) == 2


def test_a_registered_version_without_a_replica_is_told_how_to_get_one(
    cluster: ClipperConnection, endpoint: str
) -> None:
    cluster.cm.stop_models({endpoint: ["1"]})

    message = refusal(lambda: python_deployer.deploy_python_closure(cluster, endpoint, 1, "doubles", feature_sum))

    assert f"but without a replica: set_num_replicas('{endpoint}', 1, '1') starts one" in message
    cluster.set_num_replicas(endpoint, 1, "1")
    assert output(cluster, endpoint) == 3.5


def test_a_version_that_others_run_is_registered_once_and_the_second_time_compared(
    cluster: ClipperConnection, name: str
) -> None:
    cluster.register_model(name, 1, "doubles", image="mine")

    assert "the same options, but" in refusal(lambda: cluster.register_model(name, 1, "doubles", image="mine"))
    message = refusal(lambda: cluster.register_model(name, 1, "doubles"))
    assert "container_name 'mine' instead of 'NO_CONTAINER'" in message


def test_a_link_that_exists_can_be_left(cluster: ClipperConnection, endpoint: str) -> None:
    message = refusal(lambda: cluster.link_model_to_app(endpoint, endpoint))

    assert message.endswith("That is what was asked for, so go on without this call, or give exist_ok=True")


def test_another_model_is_linked_after_the_first_was_unlinked(cluster: ClipperConnection, endpoint: str) -> None:
    other = f"{endpoint}-other"
    python_deployer.deploy_python_closure(cluster, other, 1, "doubles", count, check=False)

    message = refusal(lambda: cluster.link_model_to_app(endpoint, other))

    assert f"Call unlink_model_from_app('{endpoint}', '{endpoint}') first" in message
    cluster.unlink_model_from_app(endpoint, endpoint)
    cluster.link_model_to_app(endpoint, other)
    assert output(cluster, endpoint) == 2
    cluster.stop_models([other])


def test_a_deployment_that_was_cut_off_before_it_was_registered_is_followed_by_what_is_deployed_now(
    cluster: ClipperConnection, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Whoever deploys is killed when the replicas run: all that is left of it is what the container manager has started.
    image = (cluster.get_model_info(endpoint, 1) or {})["container_name"]
    cluster.cm.deploy_model(endpoint, "2", "doubles", image, num_replicas=2)

    python_deployer.deploy_python_closure(cluster, endpoint, 2, "doubles", count, check=False)

    assert output(cluster, endpoint) == 2
    assert cluster.get_num_replicas(endpoint, 2) == 1
    assert any(f"Stopping 2 replicas of {endpoint}:2" in message for message in caplog.messages)

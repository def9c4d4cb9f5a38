"""ClipperConnection against a real cluster: what each method returns and refuses."""

import itertools
from collections.abc import Iterable, Iterator

import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException, replay
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.functions import feature_sum
from tests.fixtures.waiting import wait_until

COUNTER = itertools.count()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"admin-{next(COUNTER)}"


@pytest.fixture
def endpoint(cluster: ClipperConnection, name: str) -> Iterator[str]:
    """An application and a model of the same name, linked."""
    python_deployer.create_endpoint(
        cluster, name, "doubles", feature_sum, default_output="-1.0", labels=["sum"], check=False
    )
    yield name
    cluster.stop_models([name])
    cluster.unregister_application(name)


def predict(cluster: ClipperConnection, application: str, **body: object) -> dict[str, object]:
    answer: dict[str, object] = requests.post(
        f"http://{cluster.get_query_addr()}/{application}/predict", json=body, timeout=10
    ).json()
    return answer


def update(cluster: ClipperConnection, application: str, **body: object) -> None:
    url = f"http://{cluster.get_query_addr()}/{application}/update"
    assert requests.post(url, json=body, timeout=10).json() == {"feedback": "learned"}


def feature_sum_and_one(inputs: Iterable[Iterable[float]]) -> list[str]:
    return [str(sum(vector) + 1) for vector in inputs]


def test_an_application_is_described_as_registered(cluster: ClipperConnection, name: str) -> None:
    cluster.register_application(name, "ints", "none", 50_000)

    expected = {
        "name": name,
        "input_type": "integers",
        "default_output": "none",
        "latency_slo_micros": 50_000,
        "linked_models": [],
        "priority": "normal",
        "share": 1.0,
        "use_cache": True,
        "cache_ttl_micros": 0,
        "selection_policy": "single",
        "policy_parameters": {},
        "confidence_threshold": 0.0,
        "loss": "zero_one",
        "loss_scale": 1.0,
        "feedback_window_s": 3_600,
        "context_ttl_s": 2_592_000,
        "combine": "vote",
        "missing": "error",
        "schema": {},
    }
    assert cluster.get_app_info(name) == expected
    assert name in cluster.get_all_apps()
    assert expected in cluster.get_all_apps(verbose=True)
    with pytest.raises(ClipperException, match=r"^Received error status code: \d+ and message: .*already exists"):
        cluster.register_application(name, "ints", "none", 50_000)

    cluster.unregister_application(name)
    assert name not in cluster.get_all_apps()


def test_an_applications_options_are_described_as_registered(cluster: ClipperConnection, name: str) -> None:
    options = {
        "priority": "low",
        "share": 0.25,
        "use_cache": False,
        "cache_ttl_micros": 1_000_000,
        "selection_policy": "exp4",
        "policy_parameters": {"eta": 0.5},
        "confidence_threshold": 0.75,
        "loss": "absolute",
        "loss_scale": 10.0,
        "feedback_window_s": 60,
        "context_ttl_s": 600,
        "combine": "average",
    }
    cluster.register_application(name, "doubles", "none", 50_000, **options)  # type: ignore[arg-type]

    description = cluster.get_app_info(name)

    assert description is not None
    assert description.items() >= options.items()
    with pytest.raises(ClipperException, match="Invalid priority 'urgent'"):
        cluster.register_application(f"{name}-urgent", "doubles", "none", 50_000, priority="urgent")
    with pytest.raises(ClipperException, match=r"The share must be between 0\.001 and 1000"):
        cluster.register_application(f"{name}-greedy", "doubles", "none", 50_000, share=-1.0)
    with pytest.raises(ClipperException, match="Unknown parameter 'speed' of the selection policy"):
        cluster.register_application(
            f"{name}-fast", "doubles", "none", 50_000, selection_policy="exp4", policy_parameters={"speed": 1.0}
        )


def test_a_models_batching_is_described_as_deployed_and_it_predicts(cluster: ClipperConnection, name: str) -> None:
    python_deployer.create_endpoint(
        cluster, name, "doubles", feature_sum, batch_size=8, batching_policy="aimd", batch_delay_micros=500, check=False
    )
    try:
        description = cluster.get_model_info(name, 1)
        assert description is not None
        assert (description["batching_policy"], description["batch_delay_micros"]) == ("aimd", 500)
        assert predict(cluster, name, input=[1.0, 2.0])["output"] == 3.0
        with pytest.raises(ClipperException, match="The batching policy 'fixed' needs a positive batch size"):
            cluster.register_model(name, 2, "doubles", batching_policy="fixed")
    finally:
        cluster.stop_models([name])


def test_what_is_not_registered_is_none_or_refused(cluster: ClipperConnection, name: str) -> None:
    assert cluster.get_app_info(name) is None
    assert cluster.get_model_info(name, 1) is None
    assert cluster.get_model_replica_info(name, 1, 0) is None
    for refused in (
        lambda: cluster.get_linked_models(name),
        lambda: cluster.get_selection_state(name),
        lambda: cluster.delete_selection_state(name),
        lambda: cluster.get_selection_events(name),
        lambda: cluster.delete_application(name),
        lambda: cluster.set_model_version(name, 1),
        lambda: cluster.link_model_to_app(name, name),
        lambda: cluster.unlink_model_from_app(name, name),
    ):
        with pytest.raises(ClipperException, match="Received error status code"):
            refused()
    with pytest.raises(ClipperException, match=f"^No versions of model {name} registered with Clipper$"):
        cluster.get_current_model_version(name)
    with pytest.raises(ClipperException, match=f"^Cannot add container for non-registered model {name}:1$"):
        cluster.set_num_replicas(name, 2, version=1)


def test_a_deployed_model_is_described_with_its_replica(cluster: ClipperConnection, endpoint: str) -> None:
    description = cluster.get_model_info(endpoint, 1)

    assert description is not None
    assert description["container_name"].rpartition("/")[2].startswith(f"{endpoint}_1-")
    assert {key: description[key] for key in description if key != "container_name"} == {
        "model_name": endpoint,
        "model_version": "1",
        "input_type": "doubles",
        "labels": ["sum"],
        "model_data_path": "DEPRECATED",
        "is_current_version": True,
        "batching_policy": "",
        "batch_delay_micros": 0,
        "input_names": [],
    }
    assert f"{endpoint}:1" in cluster.get_all_models()
    assert description in cluster.get_all_models(verbose=True)
    assert f"{endpoint}:1:0" in cluster.get_all_model_replicas()
    assert cluster.get_model_replica_info(endpoint, 1, 0) == {
        "model_id": f"{endpoint}:1",
        "model_name": endpoint,
        "model_version": "1",
        "model_replica_id": 0,
        "input_type": "doubles",
    }


def test_an_update_takes_over_and_can_be_rolled_back(cluster: ClipperConnection, endpoint: str) -> None:
    def negative_sum(inputs: Iterable[Iterable[float]]) -> list[str]:
        return [str(-sum(vector)) for vector in inputs]

    python_deployer.deploy_python_closure(cluster, endpoint, 2, "doubles", negative_sum, check=False)
    assert cluster.get_current_model_version(endpoint) == "2"
    assert predict(cluster, endpoint, input=[1.0, 2.0])["output"] == -3.0

    cluster.set_model_version(endpoint, 1, num_replicas=2)
    assert cluster.get_num_replicas(endpoint) == 2
    assert predict(cluster, endpoint, input=[1.0, 2.0])["output"] == 3.0

    cluster.stop_inactive_model_versions([endpoint])
    assert cluster.get_model_info(endpoint, 2) is None
    assert cluster.get_num_replicas(endpoint, 2) == 0
    assert predict(cluster, endpoint, input=[4.0])["output"] == 4.0


def test_a_model_without_containers_is_registered_but_not_scaled(cluster: ClipperConnection, name: str) -> None:
    cluster.register_model(name, "Ext.1", "strings")

    description = cluster.get_model_info(name, "Ext.1")
    assert description is not None
    assert description["container_name"] == "NO_CONTAINER"
    assert cluster.get_num_replicas(name) == 0
    with pytest.raises(ClipperException, match=f"Cannot resize the replica set for containerless model {name}:Ext.1"):
        cluster.set_num_replicas(name, 1)

    cluster.stop_versioned_models({name: ["Ext.1"]})
    assert cluster.get_model_info(name, "Ext.1") is None


def test_a_link_is_made_once_and_can_be_undone(cluster: ClipperConnection, endpoint: str) -> None:
    assert cluster.get_linked_models(endpoint) == [endpoint]
    with pytest.raises(ClipperException, match="already linked"):
        cluster.link_model_to_app(endpoint, endpoint)

    cluster.unlink_model_from_app(endpoint, endpoint)

    assert cluster.get_linked_models(endpoint) == []
    assert predict(cluster, endpoint, input=[1.0])["default"] is True


def test_what_a_selection_policy_learned_is_seen_replayed_and_forgotten(cluster: ClipperConnection, name: str) -> None:
    models = {f"{name}-right": feature_sum, f"{name}-wrong": feature_sum_and_one}
    cluster.register_application(name, "doubles", "-1.0", 5_000_000, selection_policy="epsilon_greedy")
    for model, function in models.items():
        python_deployer.deploy_python_closure(cluster, model, 1, "doubles", function, check=False)
        cluster.link_model_to_app(name, model)
    assert cluster.get_linked_models(name) == sorted(models)

    right = 0
    for number in range(20):
        answer = predict(cluster, name, input=[float(number)], uid="ann")
        update(cluster, name, query_id=answer["query_id"], label=float(number))
        right += answer["output"] == number

    learned = cluster.get_selection_state(name, "ann")
    assert (learned["selection_policy"], learned["arms"]) == ("epsilon_greedy", sorted(models))
    assert learned["state"]
    assert cluster.get_selection_state(name)["state"] == {}
    # Feedback is stored when it is answered, predictions a moment later.
    wait_until(lambda: len(list(replay.logged(cluster, name))) == 40)
    events = list(replay.logged(cluster, name))
    assert sum(event["event"] == "feedback" for event in events) == 20
    assert replay.earned(events).value == pytest.approx(right / 20)
    page = cluster.get_selection_events(name, count=1)
    assert page["events"] == events[:1]
    assert cluster.get_selection_events(name, after=page["next"])["events"] == events[1:]
    wrong = replay.evaluate(events, replay.always(f"{name}-wrong"))
    assert wrong.events == 20
    assert f"of 20 events speak for asking {name}-wrong" in wrong.why_not

    cluster.delete_selection_state(name, "ann")

    assert cluster.get_selection_state(name, "ann")["state"] == {}
    assert list(replay.logged(cluster, name)) == []
    cluster.unregister_application(name)
    cluster.stop_models(models)


def test_stopped_models_are_unregistered_and_their_applications_answer_with_the_default(
    cluster: ClipperConnection, name: str
) -> None:
    python_deployer.create_endpoint(cluster, name, "doubles", feature_sum, default_output="-1.0", check=False)
    assert predict(cluster, name, input=[1.0, 2.0])["default"] is False

    cluster.stop_models([name])

    assert cluster.get_num_replicas(name, 1) == 0
    assert all(not replica.startswith(f"{name}:") for replica in cluster.get_all_model_replicas())
    answer = predict(cluster, name, input=[1.0, 2.0])
    assert (answer["output"], answer["default"]) == (-1.0, True)
    cluster.unregister_application(name)


@pytest.mark.parametrize(("model", "version"), [("Sum", 1), ("sum", "1.0")], ids=["upper case", "a dot"])
def test_names_that_cannot_be_deployed_are_refused(cluster: ClipperConnection, model: str, version: object) -> None:
    with pytest.raises(ClipperException, match="must be a valid DNS-1123  subdomain"):
        python_deployer.deploy_python_closure(cluster, model, version, "doubles", feature_sum)  # type: ignore[arg-type]


def test_a_negative_number_of_replicas_is_refused(cluster: ClipperConnection, endpoint: str) -> None:
    with pytest.raises(ClipperException, match="must not be negative: -1"):
        cluster.set_num_replicas(endpoint, -1)
